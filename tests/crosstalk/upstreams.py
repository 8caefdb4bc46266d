"""Upstreams that send what nobody asked for, or at the wrong moment.

A request's target holds a mark, `n-<person>-<number>-z`. Whatever is sent because of a
request holds that mark and no other, so that each byte shows where it belongs.

`python -m tests.crosstalk.upstreams FILE` serves each kind on a port of its own, and
writes the ports into the file once all of them listen.
"""

from __future__ import annotations

import json
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fakes.upstream import Answer, Talk, Upstream, chunked

MARK = re.compile(rb"n-(\d+)-(\d+)-z")
SEEN_BY = "X-Seen-User"
MOST_LATE_SECONDS = 0.004
_REPEATED = 6


@dataclass(frozen=True, slots=True)
class Kind:
    """What one upstream does, and with which methods it is asked."""

    act: Answer | None
    methods: tuple[str, ...] = ("GET",)
    reads_bodies: bool = True


def mark(talk: Talk) -> bytes:
    found = MARK.search(talk.last.target)
    return found[0] if found else b""


def body(talk: Talk) -> bytes:
    return mark(talk) * _REPEATED


def whole(talk: Talk, content: bytes | None = None) -> bytes:
    """A proper response to what was asked last."""
    content = body(talk) if content is None else content
    return head(talk, f"Content-Length: {len(content)}") + content


def head(
    talk: Talk, *lines: str, status: str = "200 OK", version: str = "1.1"
) -> bytes:
    user = talk.last.get("X-Staff-User") or ""
    said = [f"HTTP/{version} {status}", f"{SEEN_BY}: {user}", *lines]
    marked = f"X-Mark: {mark(talk).decode()}"
    return "\r\n".join([*said, marked, "", ""]).encode()


def late() -> None:
    """While this thread sleeps, the next request may come on the connection."""
    time.sleep(random.uniform(0, MOST_LATE_SECONDS))  # noqa: S311 - no secret


def then(
    first: Callable[[Talk], bytes],
    *more: Callable[[Talk], bytes],
    pause: Callable[[], None] = late,
    goes_on: bool = True,
) -> Answer:
    """Sends these one after the other, with a pause before each but the first."""

    def act(talk: Talk) -> bool:
        talk.say(first(talk))
        for later in more:
            pause()
            talk.say(later(talk))
        return goes_on

    return act


def at_once(*parts: Callable[[Talk], bytes]) -> Answer:
    def act(talk: Talk) -> bool:
        talk.say(b"".join(part(talk) for part in parts))
        return True

    return act


def to_head(extra: Answer) -> Answer:
    """Behaves so for a HEAD, and properly for the rest."""

    def act(talk: Talk) -> bool | None:
        if talk.last.line.startswith(b"HEAD "):
            return extra(talk)
        talk.say(whole(talk))
        return True

    return act


def to_half(extra: Answer) -> Answer:
    """Behaves so half of the time, and properly else."""

    def act(talk: Talk) -> bool | None:
        if random.random() < 0.5:  # noqa: S311 - no secret
            return extra(talk)
        talk.say(whole(talk))
        return True

    return act


def bare(status: str) -> Callable[[Talk], bytes]:
    return lambda talk: head(talk, status=status)


def length_alone(talk: Talk) -> bytes:
    return head(talk, f"Content-Length: {len(body(talk))}")


def in_chunks(talk: Talk) -> bytes:
    return head(talk, "Transfer-Encoding: chunked") + chunked(body(talk))


def with_trailer(talk: Talk) -> bytes:
    end = b"0\r\nX-Trailer: " + mark(talk) + b"\r\n\r\n"
    start = head(talk, "Transfer-Encoding: chunked")
    return start + chunked(body(talk), end=end)


def interim(number: int) -> Callable[[Talk], bytes]:
    return lambda talk: head(talk, status=f"{number} Early")


def text(data: bytes) -> Callable[[Talk], bytes]:
    return lambda talk: data


def too_long(talk: Talk) -> bytes:
    return whole(talk) + body(talk)


def two_lengths(talk: Talk) -> bytes:
    length = len(body(talk))
    lines = f"Content-Length: {length}", f"Content-Length: {length * 2}"
    return head(talk, *lines) + body(talk) + whole(talk)


def length_and_chunks(talk: Talk) -> bytes:
    lines = "Content-Length: 5", "Transfer-Encoding: chunked"
    return head(talk, *lines) + chunked(body(talk))


def old_version(talk: Talk) -> bytes:
    lines = f"Content-Length: {len(body(talk))}", "Connection: keep-alive"
    return head(talk, *lines, version="1.0") + body(talk)


def says_close(talk: Talk) -> bytes:
    lines = f"Content-Length: {len(body(talk))}", "Connection: close"
    return head(talk, *lines) + body(talk)


def until_closed(talk: Talk) -> bytes:
    return head(talk) + body(talk)


def cut_short(talk: Talk) -> bool:
    talk.say(head(talk, f"Content-Length: {len(body(talk)) * 2}") + body(talk))
    return False


def reset(talk: Talk) -> bool:
    talk.say(head(talk, f"Content-Length: {len(body(talk)) * 2}") + body(talk))
    talk.reset()
    return False


def in_pieces(talk: Talk) -> bool:
    data = whole(talk) + whole(talk)
    for start in range(0, len(data), 40):
        talk.say(data[start : start + 40])
    return True


_lock = threading.Lock()
_behind: dict[Talk, bytes] = {}


def one_behind(talk: Talk) -> bool:
    """Gives each request on a connection the response to the one before it.

    Nothing but a connection for each request helps a person against that one.
    """
    with _lock:
        before = _behind.pop(talk, None)
        if before is None and len(_behind) > 10_000:
            _behind.clear()
        _behind[talk] = whole(talk)
    talk.say(before or whole(talk))
    return True


def idle() -> None:
    time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - no secret


HEAD_TOO = ("GET", "HEAD")
POST_TOO = ("GET", "POST")
KINDS: Mapping[str, Kind] = {
    "proper": Kind(at_once(whole), ("GET", "HEAD", "POST")),
    "stock-python": Kind(None, ("GET", "HEAD", "POST")),
    "head-body-late": Kind(to_head(then(length_alone, body)), HEAD_TOO),
    "head-body-at-once": Kind(to_head(at_once(length_alone, body)), HEAD_TOO),
    "head-response-late": Kind(to_head(then(length_alone, whole)), HEAD_TOO),
    "head-chunks-late": Kind(
        to_head(then(lambda t: head(t, "Transfer-Encoding: chunked"), whole)), HEAD_TOO
    ),
    "204-response-late": Kind(to_half(then(bare("204 No Content"), whole))),
    "204-response-at-once": Kind(to_half(at_once(bare("204 No Content"), whole))),
    "304-response-late": Kind(to_half(then(bare("304 Not Modified"), whole))),
    "304-body-late": Kind(to_half(then(bare("304 Not Modified"), body))),
    "second-at-once": Kind(at_once(whole, whole)),
    "second-late": Kind(then(whole, whole)),
    "second-while-idle": Kind(then(whole, whole, pause=idle)),
    "many-late": Kind(then(whole, whole, whole, whole)),
    "byte-late": Kind(then(whole, text(b"x"))),
    "line-late": Kind(then(whole, text(b"\r\n"))),
    "longer-at-once": Kind(at_once(too_long)),
    "longer-late": Kind(then(whole, body)),
    "after-last-chunk": Kind(at_once(in_chunks, whole)),
    "after-last-chunk-late": Kind(then(in_chunks, whole)),
    "after-trailer-late": Kind(then(with_trailer, whole)),
    "100-first": Kind(then(interim(100), whole)),
    "103-first-second-late": Kind(then(interim(103), whole, whole)),
    "100-late": Kind(then(whole, interim(100))),
    "101-unasked": Kind(at_once(interim(101), whole)),
    "two-lengths": Kind(at_once(two_lengths)),
    "length-and-chunks": Kind(at_once(length_and_chunks, whole)),
    "1.0-second-late": Kind(then(old_version, whole)),
    "close-second-late": Kind(then(says_close, whole)),
    "until-closed": Kind(then(until_closed, goes_on=False)),
    "cut-short": Kind(to_half(cut_short)),
    "reset": Kind(to_half(reset)),
    "in-pieces-twice": Kind(in_pieces),
    "unread-body": Kind(at_once(whole), POST_TOO, reads_bodies=False),
    "one-behind": Kind(one_behind),
}


class Stock(BaseHTTPRequestHandler):
    """Python's own server, with the line that many programs have in it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = MARK.search(self.path.encode())
        content = (found[0] if found else b"") * _REPEATED
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header(SEEN_BY, self.headers.get("X-Staff-User", ""))
        self.end_headers()
        self.wfile.write(content)

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


class StockServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Clients leave in the middle; that is what they are here for."""


def started(kind: Kind) -> int:
    """The port on which this kind is served from now on."""
    if kind.act is None:
        stock = StockServer(("127.0.0.1", 0), Stock)
        threading.Thread(target=stock.serve_forever, daemon=True).start()
        return int(stock.server_address[1])
    upstream = Upstream()
    act = kind.act

    def forgetting(talk: Talk) -> bool | None:
        # There will be very many requests.
        upstream.requests.clear()
        return act(talk)

    upstream.answers = [forgetting]
    upstream.hears = kind.reads_bodies
    # Ends with this process.
    upstream.__enter__()
    return upstream.port


def main(file: Path) -> None:
    ports = {name: started(kind) for name, kind in KINDS.items()}
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(ports), encoding="utf-8")
    partial.replace(file)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
