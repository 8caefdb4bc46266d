"""Two tabs of one browser come back from the provider in the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import pytest
import redis
import requests

from tests.journeys.site import (
    COOKIE,
    SIGN_IN_COOKIE,
    SUPPORT,
    Browser,
    Site,
    form_action,
    hidden_fields,
)


def callback(browser: Browser) -> str:
    """Signs in at the provider; gives the way back, not yet walked."""
    people = browser.choose_provider()
    if people.url.startswith(browser.url):
        raise AssertionError("came back already")
    data = {**hidden_fields(people.text, "/sign-in"), "sub": SUPPORT}
    target = urljoin(people.url, form_action(people.text, "/sign-in"))
    answer = browser.http.post(target, data=data, allow_redirects=False, timeout=60)
    return str(answer.headers["Location"])


@pytest.fixture
def two_answers(browser: Browser) -> list[str]:
    """The way back of two tabs of one browser, none of them walked yet."""
    answers = [callback(browser)]
    browser.http.cookies.clear(domain="127.0.0.1")
    return [*answers, callback(browser)]


def test_two_answers_at_once_make_one_session(
    site: Site, browser: Browser, two_answers: list[str]
) -> None:
    """I6: one session, no error page, and no live one that nobody has."""
    cookies = {SIGN_IN_COOKIE: str(browser.http.cookies.get(SIGN_IN_COOKIE))}
    assert browser.session_key is None

    def walk(address: str) -> requests.Response:
        return requests.get(address, cookies=cookies, allow_redirects=False, timeout=60)

    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(walk, two_answers))
    assert [each.status_code for each in came] == [302, 302]
    keys = [each.cookies.get(COOKIE) for each in came]
    (key,) = {key for key in keys if key}
    assert all(SIGN_IN_COOKIE in each.headers["Set-Cookie"] for each in came)
    with redis.Redis.from_url(site.store.url) as store:
        assert len(list(store.scan_iter("bo:{*}:s:*"))) == 1
    there = site.browser().call("/api/proxy/echo/", cookies={COOKIE: key})
    assert there.status_code == 200


def test_answer_that_left_before_the_other_one_was_done_ends_at_home(
    site: Site, browser: Browser, two_answers: list[str]
) -> None:
    """It was sent with the cookie of before, and answered with the new one set."""
    before = {SIGN_IN_COOKIE: str(browser.http.cookies.get(SIGN_IN_COOKIE))}
    browser.http.cookies.clear()

    def walk(address: str) -> requests.Response:
        answer = requests.get(
            address, cookies=before, allow_redirects=False, timeout=60
        )
        browser.http.cookies.update(answer.cookies)
        return answer

    first, second = map(walk, two_answers)
    assert (first.status_code, second.status_code) == (302, 302)
    # To delete the cookie of the session would sign the other tab out.
    assert COOKIE not in second.headers["Set-Cookie"].split("; ")[0]
    page = browser.get(urljoin(two_answers[1], second.headers["Location"]))
    assert (page.status_code, page.url) == (200, f"{site.url}/")


def test_one_response_at_once_four_times_makes_one_session(
    site: Site, browser: Browser
) -> None:
    address = callback(browser)
    cookies = {SIGN_IN_COOKIE: str(browser.http.cookies.get(SIGN_IN_COOKIE))}

    def walk(_: int) -> str | None:
        came = requests.get(address, cookies=cookies, allow_redirects=False, timeout=60)
        return came.cookies.get(COOKIE)

    with redis.Redis.from_url(site.store.url) as store:
        before = len(list(store.scan_iter("bo:{*}:s:*")))
        with ThreadPoolExecutor(4) as pool:
            keys = [key for key in pool.map(walk, range(4)) if key]
        assert len(keys) == 1
        assert len(list(store.scan_iter("bo:{*}:s:*"))) == before + 1
    assert walk(0) is None
