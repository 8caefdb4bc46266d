"""Two tabs of one browser come back from the provider in the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

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
    answer = browser.http.post(target, data=data, allow_redirects=False, timeout=20)
    return str(answer.headers["Location"])


def test_two_answers_at_once_make_one_session(site: Site, browser: Browser) -> None:
    """I6: one session, no error page, and no live one that nobody has."""
    answers = [callback(browser)]
    browser.http.cookies.clear(domain="127.0.0.1")
    answers.append(callback(browser))
    cookies = {SIGN_IN_COOKIE: str(browser.http.cookies.get(SIGN_IN_COOKIE))}
    assert browser.session_key is None

    def walk(address: str) -> requests.Response:
        return requests.get(address, cookies=cookies, allow_redirects=False, timeout=20)

    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(walk, answers))
    assert [each.status_code for each in came] == [302, 302]
    keys = [each.cookies.get(COOKIE) for each in came]
    (key,) = {key for key in keys if key}
    assert all(SIGN_IN_COOKIE in each.headers["Set-Cookie"] for each in came)
    with redis.Redis.from_url(site.store.url) as store:
        assert len(list(store.scan_iter("bo:{*}:s:*"))) == 1
    there = site.browser().call("/api/proxy/echo/", cookies={COOKIE: key})
    assert there.status_code == 200


def test_one_response_at_once_four_times_makes_one_session(
    site: Site, browser: Browser
) -> None:
    address = callback(browser)
    cookies = {SIGN_IN_COOKIE: str(browser.http.cookies.get(SIGN_IN_COOKIE))}

    def walk(_: int) -> str | None:
        came = requests.get(address, cookies=cookies, allow_redirects=False, timeout=20)
        return came.cookies.get(COOKIE)

    with redis.Redis.from_url(site.store.url) as store:
        before = len(list(store.scan_iter("bo:{*}:s:*")))
        with ThreadPoolExecutor(4) as pool:
            keys = [key for key in pool.map(walk, range(4)) if key]
        assert len(keys) == 1
        assert len(list(store.scan_iter("bo:{*}:s:*"))) == before + 1
    assert walk(0) is None
