"""An example internal API to put behind the gate, in a process of its own.

It trusts whoever reaches it, as internal APIs do: hence loopback only. Besides data
worth browsing it has ends that show what a proxy does: /v1/echo tells what arrived,
/v1/events streams, /v1/slow waits and /v1/status answers whatever one asks for.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote

from backoffice.demo.loopback import LoopbackServer, is_loopback
from backoffice.demo.messages import NO_STORE, Request, Response, json_response
from backoffice.demo.ports import LOOPBACK
from backoffice.demo.stop_signal import StopSignal
from backoffice.demo.upstream_data import (
    MEMBERS,
    ORDERS,
    Notes,
    daily_report,
    found_members,
    found_orders,
)

Item = TypeVar("Item")

PAGE_SIZE = 20
LONGEST_NOTE = 500
SHOWN_BODY_BYTES = 2048
MOST_EVENTS = 300
LONGEST_WAIT_SECONDS = 120.0
STAFF_NAME = "X-Staff-Name"

ENDS = {
    "members": "/v1/members?page=1&q=",
    "orders": "/v1/orders?page=1&q=",
    "report": "/v1/reports/daily",
    "echo": "/v1/echo",
    "events": "/v1/events?count=30",
    "slow": "/v1/slow?seconds=3",
    "status": "/v1/status/418",
}


class Problem(Exception):
    """A request that gets an error answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Upstream:
    """The API as a server on loopback."""

    def __init__(self, *, host: str = LOOPBACK, port: int = 0) -> None:
        self._notes = Notes()
        self._server = LoopbackServer(self._answer, host=host, port=port)
        self._ends: dict[str, Callable[[Request, list[str]], Response]] = {
            "members": self._members,
            "orders": orders,
            "reports": reports,
            "echo": echo,
            "events": events,
            "slow": slow,
            "status": status,
        }

    @property
    def origin(self) -> str:
        """Known once started."""
        return self._server.origin

    def start(self) -> Upstream:
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Response:
        if request.path == "/":
            return json_response({"name": "Example upstream", "ends": ENDS})
        _, version, *rest = [unquote(part) for part in request.path.split("/")]
        end = self._ends.get(rest[0]) if version == "v1" and rest else None
        try:
            if end is None:
                raise Problem(404, "no such end")
            return end(request, [part for part in rest[1:] if part])
        except Problem as problem:
            body = {"status": problem.status, "title": str(problem)}
            return json_response(body, problem.status)

    def _members(self, request: Request, rest: list[str]) -> Response:
        match rest:
            case []:
                reading(request)
                return page(request, found_members(request.query.get("q", "")))
            case [member_id]:
                reading(request)
                found = asdict(known(MEMBERS, member_id))
                return json_response({**found, "notes": self._notes.of(member_id)})
            case [member_id, "notes"] if request.method == "POST":
                return self._new_note(request, known(MEMBERS, member_id).id)
            case [member_id, "notes"]:
                reading(request, "POST")
                return json_response(self._notes.of(known(MEMBERS, member_id).id))
        raise Problem(404, "no such end")

    def _new_note(self, request: Request, member_id: str) -> Response:
        author = unquote(request.header(STAFF_NAME)) or "unknown"
        note = self._notes.add(member_id, note_text(request), author)
        return json_response(note, 201)


def orders(request: Request, rest: list[str]) -> Response:
    reading(request)
    match rest:
        case []:
            return page(request, found_orders(request.query.get("q", "")))
        case [order_id]:
            return json_response(asdict(known(ORDERS, order_id)))
    raise Problem(404, "no such end")


def reports(request: Request, rest: list[str]) -> Response:
    reading(request)
    match rest:
        case []:
            return json_response({"reports": ["daily"]})
        case ["daily"]:
            return json_response({"days": daily_report()})
    raise Problem(404, "no such report")


def echo(request: Request, rest: list[str]) -> Response:
    """What arrived, as it arrived; any path below and any method."""
    shown = request.body[:SHOWN_BODY_BYTES].decode("utf-8", "replace")
    return json_response(
        {
            "method": request.method,
            "target": request.target,
            "path": request.path,
            "query": request.query_pairs,
            "headers": request.headers,
            "body_size": request.body_size,
            "body": shown,
        }
    )


def events(request: Request, rest: list[str]) -> Response:
    """Server-sent events, one a second, at most MOST_EVENTS."""
    reading(request)
    count = min(whole(request, "count", 30), MOST_EVENTS)
    headers = (("Content-Type", "text/event-stream; charset=utf-8"), NO_STORE)
    return Response(200, headers, ticks(count))


def ticks(count: int) -> Iterator[bytes]:
    for number in range(count):
        if number:
            time.sleep(1)
        data = json.dumps({"number": number, "time": int(time.time())})
        yield f"id: {number}\nevent: tick\ndata: {data}\n\n".encode()


def slow(request: Request, rest: list[str]) -> Response:
    """An answer after `seconds`."""
    try:
        seconds = float(request.query.get("seconds", "1"))
    except ValueError as error:
        raise Problem(400, "seconds is not a number") from error
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise Problem(400, f"seconds is not between 0 and {LONGEST_WAIT_SECONDS:.0f}")
    time.sleep(seconds)
    return json_response({"waited_seconds": seconds})


def status(request: Request, rest: list[str]) -> Response:
    """An answer with the status asked for, and the header that belongs to it."""
    try:
        code = HTTPStatus(int(rest[0]))
    except (IndexError, ValueError) as error:
        raise Problem(404, "no such status") from error
    if code < HTTPStatus.OK:
        raise Problem(404, "an interim status is no answer")
    headers = []
    if code in range(300, 400) and code != HTTPStatus.NOT_MODIFIED:
        headers.append(("Location", "/v1/members"))
    if code == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", 'Bearer realm="upstream"'))
    return json_response({"status": int(code), "title": code.phrase}, code, headers)


def page(request: Request, items: list[dict[str, Any]]) -> Response:
    """One page of the items, and how many there are."""
    number = max(whole(request, "page", 1), 1)
    pages = max(-(-len(items) // PAGE_SIZE), 1)
    start = (number - 1) * PAGE_SIZE
    return json_response(
        {
            "page": number,
            "pages": pages,
            "total": len(items),
            "items": items[start : start + PAGE_SIZE],
        }
    )


def reading(request: Request, *also: str) -> None:
    """Refuse any method but GET, HEAD and these."""
    allowed = {"GET", "HEAD", *also}
    if request.method not in allowed:
        raise Problem(405, "method not allowed")


def known(items: Mapping[str, Item], key: str) -> Item:
    if key not in items:
        raise Problem(404, f"no {key}")
    return items[key]


def whole(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Problem(400, f"{name} is not a whole number")
    return int(text)


def note_text(request: Request) -> str:
    """The text of a note sent as {"text": …}."""
    if request.media_type != "application/json":
        raise Problem(415, "send application/json")
    try:
        text = request.json()["text"].strip()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Problem(400, 'send {"text": "…"}') from error
    if not 0 < len(text) <= LONGEST_NOTE:
        raise Problem(400, f"a note has 1 to {LONGEST_NOTE} characters")
    return str(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 1 and one line when it may not or cannot."""
    parser = argparse.ArgumentParser(prog="backoffice.demo.upstream")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop_signal = StopSignal()
    if not is_loopback(options.host):
        sys.stderr.write(f"{options.host} is not a loopback address\n")
        return 1
    try:
        upstream = Upstream(host=options.host, port=options.port).start()
    except OSError as error:
        sys.stderr.write(f"the example upstream cannot start: {error}\n")
        return 1
    sys.stdout.write(f"{upstream.origin}\n")
    sys.stdout.flush()
    stop_signal.wait()
    upstream.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
