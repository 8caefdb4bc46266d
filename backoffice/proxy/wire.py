"""How one call travels: as a requests adapter, with what requests would do left out.

Its own adapter spells the path its own way, keeps waiting as long as a byte comes now
and then, keeps cookies, and believes a malformed head. This one does none of that.

A connection is used again only after a response that ended by its own framing to a
request without a body, and holds not one byte more; by whom, pool.py says.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

import requests
from requests.adapters import BaseAdapter

from backoffice.proxy.address import Address
from backoffice.proxy.answer import Answer
from backoffice.proxy.connection import Call, Connection, connect
from backoffice.proxy.pool import IDLE_SECONDS, Pool


def send(
    request: requests.PreparedRequest,
    call: Call,
    address: Address,
    ca_file: str | None = None,
) -> Answer:
    """The upstream's answer, its head read and its body still to come.

    The caller must read the body to its end or close it. `request` holds its fields as
    they shall be sent; framing is added here. Raises OSError (which requests' own
    errors are), and whatever the request's body raises while it is read.
    """
    return _adapter_for(address, ca_file).exchange(request, call)


class UpstreamAdapter(BaseAdapter):
    """Requests to one upstream, and the connections to it."""

    def __init__(self, address: Address, ca_file: str | None) -> None:
        super().__init__()
        self.address, self.ca_file = address, ca_file
        self.idle = Pool()

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, *, call: Call, **_: Any
    ) -> requests.Response:
        answer = self.exchange(request, call)
        response = requests.Response()
        response.status_code, response.raw = answer.status, answer
        return response

    def exchange(self, request: requests.PreparedRequest, call: Call) -> Answer:
        """As `send`, without a requests.Response around the answer."""
        connection = self._connection(call)
        connection.is_spoilt = _is_last(request, call)
        call.socket = connection.sock
        try:
            self._say(connection, request, call)
            return Answer(connection, call, str(request.method), self._take_back)
        except BaseException:
            call.socket = None
            connection.close()
            raise

    def close(self) -> None:
        self.idle.close()

    def _connection(self, call: Call) -> Connection:
        call.patience()
        kept = None if call.owner is None else self.idle.take(call.owner)
        connection = kept or connect(self.address, call, self.ca_file)
        connection.owner, connection.route = call.owner, call.route
        return connection

    def _take_back(self, connection: Connection, is_whole: bool) -> None:
        if is_whole and connection.unread:
            self.idle.suspect(connection.route)
        if connection.is_spoilt or connection.unread or not is_whole:
            connection.close()
            return
        self.idle.put(connection)
        _sweep_soon()

    def _say(
        self, connection: Connection, request: requests.PreparedRequest, call: Call
    ) -> None:
        head = self._head(request, call)
        body = cast("Iterable[bytes] | None", request.body)
        if body is None:
            connection.send(head, call)
            return
        is_chunked = "Content-Length" not in request.headers
        connection.send(head, call)
        for piece in body:
            data = b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
            try:
                connection.send(data, call)
            except (BrokenPipeError, ConnectionResetError):
                # It may have answered before the end, and closed: 413, or 401.
                connection.is_spoilt = True
                return
        if is_chunked:
            connection.send(b"0\r\n\r\n", call)

    def _head(self, request: requests.PreparedRequest, call: Call) -> bytes:
        lines = [f"{request.method} {call.target} HTTP/1.1"]
        lines.append(f"Host: {self.address.server}")
        fields: Mapping[str, str] = request.headers
        lines += [f"{name}: {value}" for name, value in fields.items()]
        if request.body is not None and "Content-Length" not in fields:
            lines.append("Transfer-Encoding: chunked")
        if _is_last(request, call):
            lines.append("Connection: close")
        text = "\r\n".join(lines)
        # One sign too many would be a field, or a request, of the client's own making.
        if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1:
            raise ValueError("a field holds a line break")
        return f"{text}\r\n\r\n".encode("latin-1")


def _is_last(request: requests.PreparedRequest, call: Call) -> bool:
    """Whether the connection ends with this request, whatever the response is.

    There may be no body in the response to a HEAD, and an upstream that does not read a
    request's body takes it for the next request: either way, what it sends afterwards
    is out of step with what it is asked.
    """
    return call.owner is None or request.method == "HEAD" or request.body is not None


_adapters: dict[tuple[Address, str | None], UpstreamAdapter] = {}
# Held by the thread that closes what lies idle.
_sweeping = threading.Lock()


def _adapter_for(address: Address, ca_file: str | None) -> UpstreamAdapter:
    # One for each upstream that the route table ever named, and none is forgotten.
    key = (address, ca_file)
    found = _adapters.get(key)
    return found or _adapters.setdefault(key, UpstreamAdapter(address, ca_file))


def _sweep_soon() -> None:
    """Has somebody close what lies idle too long, whatever upstream it leads to.

    The last one used is taken first, so after a busy moment the others are never asked
    for again; and a process that gets no more calls asks for none.
    """
    if not _sweeping.acquire(blocking=False):
        return
    try:
        threading.Thread(target=_sweep, name="idle upstreams", daemon=True).start()
    except RuntimeError:
        # No thread to be had: the next call tries again.
        _sweeping.release()


def _sweep() -> None:
    try:
        while _some_lie_idle():
            time.sleep(IDLE_SECONDS)
            now = time.monotonic()
            for adapter in list(_adapters.values()):
                adapter.idle.close_stale(now)
    finally:
        _sweeping.release()
    # One that was put back after the last look, by a thread that saw us sweeping.
    if _some_lie_idle():
        _sweep_soon()


def _some_lie_idle() -> bool:
    return any(adapter.idle for adapter in list(_adapters.values()))


@atexit.register
def close_idle() -> None:
    """Closes what no call is using."""
    for adapter in _adapters.values():
        adapter.close()
