"""Two tabs of one browser come back from the provider in the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import pytest
import redis
import requests

from tests.journeys.site import (
    COOKIE,
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
    cookies = {COOKIE: str(browser.session_key)}

    def walk(address: str) -> requests.Response:
        return requests.get(address, cookies=cookies, allow_redirects=False, timeout=60)

    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(walk, two_answers))
    assert [each.status_code for each in came] == [302, 302]
    keys = [each.cookies.get(COOKIE) for each in came]
    (key,) = {key for key in keys if key}
    with redis.Redis.from_url(site.store.url) as store:
        assert len(list(store.scan_iter("bo:{*}:s:*"))) == 1
    there = site.browser().call("/api/proxy/echo/", cookies={COOKIE: key})
    assert there.status_code == 200


def test_answer_that_left_before_the_other_one_was_done_ends_at_home(
    site: Site, browser: Browser, two_answers: list[str]
) -> None:
    """It was sent with the cookie of before, and answered with the new one set."""
    before = {COOKIE: str(browser.session_key)}
    browser.http.cookies.clear()

    def walk(address: str) -> requests.Response:
        answer = requests.get(
            address, cookies=before, allow_redirects=False, timeout=60
        )
        browser.http.cookies.update(answer.cookies)
        return answer

    first, second = map(walk, two_answers)
    assert (first.status_code, second.status_code) == (302, 302)
    # To delete the cookie would sign the other tab out.
    assert "Set-Cookie" not in second.headers
    page = browser.get(urljoin(two_answers[1], second.headers["Location"]))
    assert (page.status_code, page.url) == (200, f"{site.url}/")


def test_answer_to_nothing_with_a_cookie_of_the_past_is_refused(
    site: Site, browser: Browser, two_answers: list[str]
) -> None:
    """It is sent once more: the cookie may be another one by then."""
    browser.http.cookies.clear()
    browser.http.cookies.set(COOKIE, "a" * 32, domain="localhost.local")
    page = browser.get(two_answers[0])
    assert page.status_code == 403
    assert len(page.history) == 1
