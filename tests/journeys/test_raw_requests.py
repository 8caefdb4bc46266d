"""What no client library would send, to the real web server, over a bare socket."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
import redis

from tests.journeys.site import COOKIE, SUPPORT, Browser, Site

TARGET = b"/api/proxy/echo/"


def answer_to(site: Site, *headers: bytes, target: bytes = TARGET) -> tuple[int, bytes]:
    """Sends exactly these bytes; gives the status and everything that came back."""
    parts = urlsplit(site.url)
    host = f"Host: {parts.netloc}".encode()
    lines = [b"GET " + target + b" HTTP/1.1", host, b"Connection: close", *headers]
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(b" ", 2)[1]), answer


@pytest.fixture
def key(site: Site, browser: Browser) -> bytes:
    browser.sign_in(SUPPORT)
    return str(browser.session_key).encode()


def cookie(*parts: bytes) -> bytes:
    return b"Cookie: " + b"; ".join(parts)


def test_one_proper_cookie_passes(site: Site, key: bytes) -> None:
    assert answer_to(site, cookie(b"session_id=" + key))[0] == 200
    assert answer_to(site, cookie(b"a=b", b"session_id=" + key, b"c=d"))[0] == 200


@pytest.mark.parametrize(
    "form",
    [
        [b"Cookie: session_id=%s; session_id=%s"],
        [b"Cookie: session_id=%s; session_id=other"],
        [b"Cookie: session_id=other; session_id=%s"],
        [b"Cookie: session_id=%s", b"Cookie: session_id=%s"],
        [b"Cookie: session_id=%s", b"Cookie: session_id=other"],
        [b'Cookie: session_id="%s"'],
        [b"Cookie: session_id=%s\x00"],
        [b"Cookie: session_id=%s%%00"],
        [b"Cookie: session_id=\xff%s"],
        [b"Cookie: session_id=%s \xe2\x80\xa8"],
        [b"Cookie: session_id=%sx"],
        [b"Cookie: Session_Id=%s"],
        [b"Cookie: __Host-session_id=%s"],
        [b"Cookie: __Secure-session_id=%s"],
        [b"Cookie:"],
        [b"Cookie: session_id="],
        [b"Cookie: =%s"],
        [b"Cookie: session_id=" + b"a" * 8192],
        [b"Cookie: " + b"; ".join(b"c%d=x" % n for n in range(200))],
        [b"X-Session-Id: %s"],
        [b"Authorization: Bearer %s"],
    ],
)
def test_any_other_cookie_is_refused_without_a_trace(
    site: Site, key: bytes, form: list[bytes]
) -> None:
    headers = [line.replace(b"%s", key).replace(b"%%", b"%") for line in form]
    before = asked_of_the_store(site)
    status, answer = answer_to(site, *headers)
    assert status in {400, 401}
    assert b"set-cookie" not in answer.lower()
    assert key not in answer
    assert asked_of_the_store(site) == before


def asked_of_the_store(site: Site) -> dict[str, int]:
    """How often each command came, but for the one that tells it.

    And but for what each process asks once a second, whatever the requests.
    """
    with redis.Redis.from_url(site.store.url) as store:
        found = store.info("commandstats")
    told = {"cmdstat_info", "cmdstat_hello", "cmdstat_client|setinfo", "cmdstat_exists"}
    return {name: facts["calls"] for name, facts in found.items() if name not in told}


@pytest.mark.parametrize(
    "target",
    [
        b"/api/proxy/echo/%2e%2e/members/",
        b"/api/proxy/echo/..%2fmembers",
        b"/api/proxy/../proxy/echo/",
        b"/api%2Fproxy/echo/",
        b"/api/proxy//echo/",
        b"/api/proxy/echo/\\..",
        b"/api/proxy/echo/%5c..",
        b"/api/proxy/echo/%00",
        b"/api/proxy/echo/%zz",
        b"/api/proxy/echo/%252e%252e/",
        b"/api/proxy/echo/..;/x",
        b"http://evil.example/api/proxy/echo/",
    ],
)
def test_ambiguous_path_is_400_with_a_live_session(
    site: Site, key: bytes, target: bytes
) -> None:
    status, answer = answer_to(site, cookie(b"session_id=" + key), target=target)
    assert status == 400
    assert b"x-staff-sub" not in answer.lower()


@pytest.mark.parametrize(
    "framing",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding : chunked"],
        [b"Content-Length: +4"],
    ],
)
def test_ambiguous_framing_is_refused(
    site: Site, key: bytes, framing: list[bytes]
) -> None:
    status, _ = answer_to(site, cookie(b"session_id=" + key), *framing)
    assert status in {400, 501}


def test_session_key_in_the_address_is_no_session(site: Site, key: bytes) -> None:
    target = TARGET + b"?session_id=" + key
    assert answer_to(site, target=target)[0] == 401
    assert COOKIE == "session_id"
