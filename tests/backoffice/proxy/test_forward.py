from __future__ import annotations

import dataclasses
import gzip
import io
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from backoffice.proxy.errors import Refusal, Refused, UpstreamCutShort
from backoffice.proxy.forward import ProxiedResponse, build_url, forward
from backoffice.proxy.route_values import KeepAlive
from backoffice.proxy.routes import Route
from tests.fakes.upstream import (
    HELLO,
    Answer,
    Talk,
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
from tests.waiting import wait_until

OK = b"HTTP/1.1 200 OK\r\n"
PERSON = ("https://id.example", "sub-1")


def request(method: str = "GET", body: bytes = b"", **options: Any) -> HttpRequest:
    kind = "application/octet-stream"
    return RequestFactory().generic(
        method, "/unused", body, content_type=kind, **options
    )


def call(
    route: Route, suffix: str = "/42", sent: HttpRequest | None = None
) -> ProxiedResponse:
    identity = {"X-Staff-User": "kim"}
    asked = sent or request()
    return forward(asked, route, suffix, identity, "sid-1", lambda: True, PERSON)  # type: ignore[return-value]


def read(response: ProxiedResponse) -> bytes:
    try:
        return b"".join(response)
    finally:
        response.close()


def refusal(route: Route, sent: HttpRequest | None = None) -> Refusal:
    with pytest.raises(Refused) as caught:
        call(route, sent=sent)
    return caught.value.refusal


def test_the_request_on_the_wire_holds_what_was_meant_and_no_more(
    route: Route, upstream: Upstream
) -> None:
    read(call(route, "/a%2fb?x=%20&y"))
    assert upstream.last.line == b"GET /v1/a%2fb?x=%20&y HTTP/1.1"
    assert upstream.last.fields == [
        ("host", f"127.0.0.1:{upstream.port}"),
        ("via", "1.1 backoffice"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "testserver"),
        ("x-staff-user", "kim"),
    ]


def test_the_clients_own_agent_and_codings_go_on(
    route: Route, upstream: Upstream
) -> None:
    sent = request(headers={"User-Agent": "curl", "Accept-Encoding": "br;q=1, gzip"})
    read(call(route, sent=sent))
    assert upstream.last.all("User-Agent") == ["curl"]
    assert upstream.last.all("Accept-Encoding") == ["br;q=1, gzip"]


def test_the_request_id_goes_on(route: Route, upstream: Upstream) -> None:
    sent = request(headers={"X-Request-Id": "forged"})
    sent.request_id = "r-1"  # type: ignore[attr-defined]
    read(call(route, sent=sent))
    assert upstream.last.all("X-Request-Id") == ["r-1"]


@pytest.mark.parametrize(
    ("mount", "suffix", "target"),
    [
        ("", "", "/"),
        ("", "?x=1", "/?x=1"),
        ("", "/a", "/a"),
        ("/v1", "", "/v1"),
        ("/v1", "/", "/v1/"),
        ("/v1", "?x=1", "/v1?x=1"),
        ("/v1", "/a?", "/v1/a?"),
        ("/v1", "/@evil:80", "/v1/@evil:80"),
    ],
)
def test_the_suffix_is_put_below_the_mount(
    mount: str, suffix: str, target: str
) -> None:
    route = Route("a", f"http://h:1{mount}")
    assert build_url(route, suffix) == (f"http://h:1{target}", target)


@pytest.mark.parametrize(
    "suffix",
    ["@evil/", ":80/", "x", "/../x", "/..", ".evil/", "\\x", "/\\x", "/a\\..\\b"],
)
@pytest.mark.parametrize("mount", ["", "/v1"])
def test_no_suffix_leads_elsewhere(mount: str, suffix: str) -> None:
    route = Route("a", f"http://h{mount}")
    try:
        url, _ = build_url(route, suffix)
    except Refused:
        return
    assert url.startswith("http://h/")
    assert mount == ""


def test_a_body_of_known_length_goes_on_with_its_length(
    route: Route, upstream: Upstream
) -> None:
    body = b"b" * 200_000
    read(call(route, sent=request("POST", body)))
    assert upstream.last.body == body
    assert upstream.last.all("Content-Length") == ["200000"]
    assert upstream.last.all("Transfer-Encoding") == []
    assert upstream.last.get("Content-Type") == "application/octet-stream"


def in_chunks(body: bytes) -> HttpRequest:
    """As gunicorn hands on a chunked body: no length, and the stream ends itself."""
    sent = request("POST", HTTP_TRANSFER_ENCODING="chunked")
    sent.META.update({"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True})
    return sent


def test_a_body_in_chunks_goes_on_in_chunks(route: Route, upstream: Upstream) -> None:
    read(call(route, sent=in_chunks(b"abcde")))
    assert upstream.last.body == b"5\r\nabcde\r\n0\r\n\r\n"
    assert upstream.last.all("Transfer-Encoding") == ["chunked"]
    assert upstream.last.all("Content-Length") == []


@pytest.mark.parametrize(("method", "lengths"), [("POST", ["0"]), ("DELETE", [])])
def test_an_absent_body_is_said_to_be_absent(
    route: Route, upstream: Upstream, method: str, lengths: list[str]
) -> None:
    read(call(route, sent=request(method)))
    assert upstream.last.all("Content-Length") == lengths


def test_a_body_that_says_it_is_too_large_reaches_nobody(
    route: Route, upstream: Upstream
) -> None:
    small = dataclasses.replace(route, max_body=10)
    assert refusal(small, request("POST", b"x" * 11)) is Refusal.BODY_TOO_LARGE
    assert upstream.connections == 0


def test_a_body_that_turns_out_too_large_is_never_finished(
    route: Route, upstream: Upstream
) -> None:
    small = dataclasses.replace(route, max_body=100_000)
    assert refusal(small, in_chunks(b"x" * 200_000)) is Refusal.BODY_TOO_LARGE
    assert read(call(route)) == b"hello"
    assert not any(sent.body.endswith(b"\r\n0\r\n\r\n") for sent in upstream.requests)


class Breaking(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError


@pytest.mark.parametrize("stream", [io.BytesIO(b"half"), Breaking()])
def test_a_body_that_breaks_off_is_the_clients_fault(
    route: Route, stream: io.BytesIO
) -> None:
    sent = request("POST", b"whole body")
    sent.META["wsgi.input"] = stream
    assert refusal(route, sent) is Refusal.BODY_CUT_SHORT


@pytest.mark.parametrize("length", ["+5", "-1", " 5", "1_0", "0x5", "five"])
def test_a_length_that_is_no_number_is_refused(route: Route, length: str) -> None:
    assert refusal(route, request(CONTENT_LENGTH=length)) is Refusal.BODY_CUT_SHORT


def test_chunks_of_a_server_that_does_not_end_them_are_not_read(
    route: Route, upstream: Upstream
) -> None:
    """Reading on past their end would be waiting for the next request."""
    sent = in_chunks(b"abcde")
    del sent.META["wsgi.input_terminated"]
    read(call(route, sent=sent))
    assert upstream.last.body == b""


def test_the_answer_comes_back_cleaned(route: Route, upstream: Upstream) -> None:
    fields = [("Content-Type", "text/csv"), ("Set-Cookie", "session_id=evil")]
    upstream.answers = [answer("418 Odd", [*fields, ("ETag", '"x"')], b"a,b")]
    response = call(route)
    assert read(response) == b"a,b"
    assert response.status_code == 418
    assert dict(response.items()) == {
        "Content-Type": "text/csv",
        "ETag": '"x"',
        "Content-Length": "3",
        "Cache-Control": "no-store",
        "Vary": "Cookie",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": response["Content-Security-Policy"],
    }


def test_fields_that_came_twice_leave_twice(route: Route, upstream: Upstream) -> None:
    links = [("Link", "</a>; rel=prev"), ("Link", "</b>; rel=next")]
    upstream.answers = [answer(fields=links)]
    response = call(route)
    assert [field for field in response.items() if field[0] == "Link"] == links
    del response["Link"]
    assert "Link" not in dict(response.items())


def test_what_has_no_type_is_given_none(route: Route, upstream: Upstream) -> None:
    upstream.answers = [answer()]
    assert "Content-Type" not in call(route)


def test_cookies_of_one_answer_are_not_sent_with_the_next_call(
    route: Route, upstream: Upstream
) -> None:
    upstream.answers = [answer(fields=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])]
    read(call(route))
    read(call(route, sent=request(headers={"Cookie": "session_id=secret"})))
    assert upstream.last.get("Cookie") is None


def test_a_redirect_is_returned_and_not_followed(
    route: Route, upstream: Upstream
) -> None:
    place = "http://169.254.169.254/latest/"
    upstream.answers = [answer("302 Found", [("Location", place)])]
    response = call(route)
    assert (response.status_code, response["Location"]) == (302, place)
    assert len(upstream.requests) == 1


def test_the_environment_has_no_say(
    route: Route, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert read(call(route)) == b"hello"
    assert upstream.last.get("Authorization") is None


def test_compressed_bytes_pass_untouched(route: Route, upstream: Upstream) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    upstream.answers = [answer(fields=[("Content-Encoding", "gzip")], body=bomb)]
    response = call(route)
    assert response["Content-Encoding"] == "gzip"
    assert read(response) == bomb


def test_head_has_the_length_and_no_body(route: Route, upstream: Upstream) -> None:
    upstream.answers = [answer(length=5)]
    response = call(route, sent=request("HEAD"))
    assert response["Content-Length"] == "5"
    assert read(response) == b""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_is_complete(
    route: Route, upstream: Upstream, status: str
) -> None:
    upstream.answers = [f'HTTP/1.1 {status}\r\nETag: "x"\r\n\r\n'.encode(), HELLO]
    response = call(route)
    assert (response.status_code, response["ETag"]) == (int(status[:3]), '"x"')
    assert read(response) == b""
    assert read(call(route)) == b"hello"
    assert upstream.connections == 2


def test_a_part_of_the_content_comes_as_a_part(
    route: Route, upstream: Upstream
) -> None:
    fields = [("Content-Range", "bytes 0-1/5"), ("Accept-Ranges", "bytes")]
    upstream.answers = [answer("206 Partial Content", fields, b"he")]
    response = call(route, sent=request(headers={"Range": "bytes=0-1"}))
    assert upstream.last.get("Range") == "bytes=0-1"
    assert (response.status_code, response["Content-Range"]) == (206, "bytes 0-1/5")


def test_an_event_arrives_while_the_next_is_not_there_yet(
    route: Route, upstream: Upstream
) -> None:
    goes_on = threading.Event()

    def events(talk: Talk) -> None:
        talk.say(OK + b"Content-Type: text/event-stream\r\n\r\n")
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            goes_on.wait(60)
            goes_on.clear()
            talk.say(event)

    upstream.answers = [events]
    # Before the first event there is already an answer, and an empty piece that
    # makes the web server send its head.
    pieces = iter(call(route))
    assert next(pieces) == b""
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        goes_on.set()
        assert next(pieces) == event
    assert next(pieces, None) is None


def test_a_piece_of_an_open_chunk_arrives_at_once(
    route: Route, upstream: Upstream
) -> None:
    half = OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\nfirst"
    upstream.answers = [hanging(half)]
    response = call(route)
    assert next(iter(response)) == b"first"
    response.close()


def test_closing_the_response_closes_the_upstream(
    route: Route, upstream: Upstream
) -> None:
    gone: list[bool] = []

    def endless(talk: Talk) -> None:
        talk.say(OK + b"\r\n" + b"x" * 1000)
        gone.append(talk.is_gone())

    upstream.answers = [endless]
    response = call(route)
    assert next(iter(response))
    response.close()
    assert wait_until(lambda: gone == [True])


def test_a_response_nobody_read_leaves_nothing_behind(
    route: Route, upstream: Upstream
) -> None:
    upstream.answers = [answer(body=b"a" * 1_000_000), HELLO]
    call(route).close()
    assert read(call(route)) == b"hello"


DOWN: dict[str, Answer] = {
    "closes": closing(b""),
    "resets": resetting(b""),
    "garbage": closing(b"garbage\r\n\r\n"),
    "cut-head": closing(OK + b"Content-Ty"),
    "no-body": closing(OK + b"Content-Length: 5\r\n\r\n"),
    "odd-chunk": closing(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "endless-head": closing(OK + b"X: y\r\n" * 1000),
    "upgrade": closing(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
}
SLOW: dict[str, Answer] = {
    "no-head": slow(2),
    "half-a-head": hanging(OK),
    "no-body": hanging(OK + b"Content-Length: 5\r\n\r\n"),
    "dripping-head": dripping(OK + b"X: " + b"y" * 1000),
}


@pytest.mark.parametrize("name", DOWN)
def test_an_upstream_that_fails_is_down(
    route: Route, upstream: Upstream, name: str
) -> None:
    upstream.answers = [DOWN[name], HELLO]
    assert refusal(route) is Refusal.UPSTREAM_DOWN
    assert read(call(route)) == b"hello"
    assert upstream.connections == 2


@pytest.mark.parametrize("name", SLOW)
def test_an_upstream_that_keeps_us_waiting_is_slow(
    route: Route, upstream: Upstream, name: str
) -> None:
    hasty = dataclasses.replace(route, read_timeout=0.3, total_timeout=0.5)
    upstream.answers = [SLOW[name], HELLO]
    assert refusal(hasty) is Refusal.UPSTREAM_SLOW
    assert read(call(route)) == b"hello"
    assert upstream.connections == 2


def test_an_upstream_that_does_not_take_its_body_is_slow(route: Route) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        hasty = dataclasses.replace(route, upstream=url, read_timeout=0.3)
        sent = request("POST", b"x" * 9_000_000)
        assert refusal(hasty, sent) is Refusal.UPSTREAM_SLOW


def test_an_upstream_that_refuses_is_down(route: Route, upstream: Upstream) -> None:
    upstream.__exit__()
    assert refusal(route) is Refusal.UPSTREAM_DOWN


def test_an_upstream_that_does_not_accept_is_slow(route: Route) -> None:
    with Unaccepting() as full:
        hasty = dataclasses.replace(route, upstream=full.url, connect_timeout=0.3)
        assert refusal(hasty) is Refusal.UPSTREAM_SLOW


def test_a_name_that_does_not_resolve_is_down(route: Route) -> None:
    lost = dataclasses.replace(route, upstream="http://absent.invalid")
    assert refusal(lost) is Refusal.UPSTREAM_DOWN


def test_a_call_that_may_have_arrived_is_not_made_twice(
    route: Route, upstream: Upstream
) -> None:
    upstream.answers = [HELLO, resetting(b""), HELLO]
    read(call(route))
    assert refusal(route, request("POST", b"pay")) is Refusal.UPSTREAM_DOWN
    assert len(upstream.requests) == 2


CUT: dict[str, Answer] = {
    "short": closing(OK + b"Content-Length: 99\r\n\r\nhalf"),
    "reset": resetting(OK + b"Content-Length: 99\r\n\r\nhalf"),
    "no-last-chunk": closing(
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"half", end=b"")
    ),
    "stalls": hanging(OK + b"Content-Length: 99\r\n\r\nhalf"),
}


@pytest.mark.parametrize("name", CUT)
def test_half_an_answer_never_looks_whole(
    route: Route, upstream: Upstream, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    hasty = dataclasses.replace(route, read_timeout=3.0)
    upstream.answers = [CUT[name], HELLO]
    pieces: Iterator[bytes] = iter(call(hasty))
    assert next(pieces) == b"half"
    with pytest.raises(UpstreamCutShort):
        next(pieces)
    assert "answer_cut_short route=members" in caplog.text
    assert read(call(route)) == b"hello"


def test_the_total_time_ends_an_answer_that_never_ends(
    route: Route, upstream: Upstream
) -> None:
    upstream.answers = [dripping(b"x" * 1000, after=OK + b"\r\nx")]
    hasty = dataclasses.replace(route, total_timeout=3.0)
    with pytest.raises(UpstreamCutShort):
        read(call(hasty))


def test_more_than_was_announced_is_not_passed_on(
    route: Route, upstream: Upstream
) -> None:
    upstream.answers = [answer(body=b"hello" + HELLO, length=5), HELLO]
    assert read(call(route)) == b"hello"
    assert read(call(route)) == b"hello"
    assert upstream.connections == 2


def test_what_comes_early_is_skipped(route: Route, upstream: Upstream) -> None:
    upstream.answers = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HELLO]
    assert read(call(route)) == b"hello"


def test_people_do_not_get_each_others_answers(
    route: Route, upstream: Upstream
) -> None:
    def echo(talk: Talk) -> None:
        talk.say(answer(body=(talk.last.get("X-Staff-User") or "").encode()))
        while talk.hear():
            talk.say(answer(body=(talk.last.get("X-Staff-User") or "").encode()))

    def ask_as(person: str) -> bytes:
        identity = {"X-Staff-User": person}
        who = ("https://id.example", person)
        call = forward(request(), shared, "/", identity, "sid-1", lambda: True, who)
        return read(call)  # type: ignore[arg-type]

    shared = dataclasses.replace(route, keepalive=KeepAlive.SHARED)
    upstream.answers = [echo]
    people = [f"person-{number % 9}" for number in range(90)]
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(ask_as, people))
    assert [body.decode() for body in bodies] == people
    assert upstream.connections <= 8


def test_the_log_holds_no_address_and_no_query(
    route: Route, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    upstream.__exit__()
    with pytest.raises(Refused) as caught:
        call(route, "/42?token=secret")
    assert caught.value.reason == "ConnectionRefusedError"
    assert "secret" not in caplog.text


def test_a_header_above_the_limit_is_not_forwarded(
    route: Route, upstream: Upstream
) -> None:
    small = dataclasses.replace(route, max_header=1024)
    sent = request(headers={"X-Trace": "a" * 1024})
    assert refusal(small, sent) is Refusal.HEADER_TOO_LARGE
    assert upstream.connections == 0


def test_named_cookies_go_both_ways_and_no_others(
    route: Route, upstream: Upstream
) -> None:
    with_cookies = dataclasses.replace(route, cookies=frozenset({"theme", "tab"}))
    fields = [("Set-Cookie", "theme=a"), ("Set-Cookie", "tab=b; Path=/x")]
    upstream.answers = [answer("200 OK", [*fields, ("Set-Cookie", "sid=c")], b"")]
    sent = request(headers={"Cookie": "session_id=secret; members.theme=x"})
    response = call(with_cookies, sent=sent)
    read(response)
    assert upstream.last.all("Cookie") == ["theme=x"]
    set_by = [value for name, value in response.items() if name == "Set-Cookie"]
    assert [value.split(";")[0] for value in set_by] == [
        "members.theme=a",
        "members.tab=b",
    ]


def test_a_unix_socket_answers_as_a_server_does(tmp_path: Any) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        heard: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(HELLO)

        thread = threading.Thread(target=serve)
        thread.start()
        assert read(call(Route("a", f"unix:{path}:/v1"))) == b"hello"
        thread.join()
    assert heard[0].startswith(b"GET /v1/42 HTTP/1.1\r\nHost: localhost\r\n")


def test_an_absent_socket_is_an_upstream_that_is_down(tmp_path: Any) -> None:
    absent = Route("a", f"unix:{tmp_path}/absent.sock")
    assert refusal(absent) is Refusal.UPSTREAM_DOWN
