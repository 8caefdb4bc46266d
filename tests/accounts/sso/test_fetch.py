"""How far one answer can go: not elsewhere, not on and on, not in the clear."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import requests

from accounts.sso import fetch
from accounts.sso.fetch import MAX_BYTES, Insecure, Redirected, TooLarge, is_secure
from tests.fakes.upstream import (
    HELLO,
    Answer,
    Unaccepting,
    Upstream,
    answer,
    chunked,
    closing,
    dripping,
    hanging,
    resetting,
    slow,
)

DOWN = "http://127.0.0.1:1"


def get(url: str, **options: Any) -> requests.Response:
    return fetch.fetch(requests.Request("GET", url), **options)


def fetched(*answers: bytes | Answer) -> requests.Response:
    with Upstream(*answers) as server:
        return get(server.url)


def test_answer_is_given_whole() -> None:
    found = fetched(answer(body=b'{"a": 1}'))
    assert (found.status_code, found.json()) == (200, {"a": 1})


def test_answer_in_chunks_is_given_whole() -> None:
    head = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = fetched(head + chunked(b"hel", b"lo"))
    assert (found.status_code, found.text) == (404, "hello")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_redirect_is_not_followed(status: int) -> None:
    with Upstream() as target:
        moved = answer(f"{status} Moved", [("Location", target.url)])
        with pytest.raises(Redirected):
            fetched(moved)
        assert target.requests == []


def test_body_of_a_redirect_is_not_read() -> None:
    # To its end it takes fifty seconds, and would be given up.
    with pytest.raises(Redirected):
        fetched(dripping(b"x" * 1000, after=answer("302 Found", length=1000)))


def test_answer_of_the_limit_is_read() -> None:
    assert len(fetched(answer(body=b"x" * MAX_BYTES)).content) == MAX_BYTES


@pytest.mark.parametrize("is_announced", [True, False])
def test_answer_beyond_the_limit_is_refused(is_announced: bool) -> None:
    body = b"x" * (MAX_BYTES + 1)
    endless = closing(b"HTTP/1.1 200 OK\r\n\r\n" + body)
    with pytest.raises(TooLarge):
        fetched(answer(body=body) if is_announced else endless)


def test_answer_that_unpacks_beyond_the_limit_is_refused() -> None:
    bomb = gzip.compress(b"0" * 50 * MAX_BYTES)
    with pytest.raises(TooLarge):
        fetched(answer(fields=[("Content-Encoding", "gzip")], body=bomb))


@pytest.mark.parametrize(
    "slowly",
    [
        slow(2),
        hanging(b"HTTP/1.1 200 OK\r\n"),
        hanging(HELLO[:-1]),
        dripping(b"X-Drip: " + b"x" * 100, after=b"HTTP/1.1 200 OK\r\n"),
        dripping(b"x" * 100, after=answer(length=100)),
    ],
    ids=["silent", "head-stops", "body-stops", "head-drips", "body-drips"],
)
def test_answer_has_until_the_deadline(
    monkeypatch: pytest.MonkeyPatch, slowly: Answer
) -> None:
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 0.3)
    # Each of them is an answer in the end, or comes in pieces that are never late.
    with pytest.raises(requests.Timeout):
        fetched(slowly)


def test_connection_that_is_not_made_has_a_limit_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 0.2)
    with Unaccepting() as server, pytest.raises(requests.ConnectTimeout):
        get(server.url)


@pytest.mark.parametrize(
    "broken",
    [closing(b""), closing(b"nonsense\r\n\r\n"), closing(HELLO[:-1]), resetting(b"")],
    ids=["nothing", "nonsense", "cut-short", "reset"],
)
def test_answer_that_breaks_off_is_an_error(broken: Answer) -> None:
    with pytest.raises(requests.ConnectionError):
        fetched(broken)


def test_environment_names_no_proxy_and_no_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, DOWN)
    with Upstream() as server:
        assert get(server.url).text == "hello"
        assert server.last.get("Authorization") is None


def test_proxy_that_is_set_is_used() -> None:
    with Upstream() as proxy:
        assert get(f"{DOWN}/x", proxies={"http": proxy.url}).text == "hello"
        assert proxy.last.target == f"{DOWN}/x".encode()


def test_nothing_is_kept_from_one_request_to_the_next() -> None:
    with Upstream(answer(fields=[("Set-Cookie", "a=b")])) as server:
        get(server.url)
        get(server.url)
        assert server.connections == 2
        assert server.last.get("Cookie") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/",
        "http://10.0.0.1/",
        "http://localhost.example/",
        "http://127.0.0.1@idp.example/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https:///",
        "https://[",
        "//127.0.0.1/",
        "",
        None,
        7,
    ],
)
def test_address_in_the_clear_is_not_asked(url: Any) -> None:
    assert not is_secure(url)
    with pytest.raises(Insecure):
        get(url)


@pytest.mark.parametrize(
    "url",
    ["https://idp.example/x", "http://localhost:8/", "http://[::1]:8/", "HTTPS://a/"],
)
def test_address_of_https_or_this_machine_is_secure(url: str) -> None:
    assert is_secure(url)
