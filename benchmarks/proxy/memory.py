"""What a door holds on to: for connections that wait, and while much passes through."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.proxy import processes
from benchmarks.proxy.ground import BULK_BYTES
from benchmarks.proxy.subjects.subject import PATH, StartError, Subject

IDLE = 500
BLOCK = 64 * 1024
LOOK_SECONDS = 0.02
WARM_UP_BYTES = 4 * 1024 * 1024
# As a page of the site sends it, which a door asks of everything that writes.
PROOF = {"X-Backoffice": "1", "Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: after the load, per idle connection, and the growth while 100 MB pass."""

    rest: int
    idle: float
    download: int
    upload: int


def measure(door: Subject) -> Memory:
    """Raises StartError when a transfer does not arrive whole."""
    rest = processes.memory(door.pids)
    return Memory(
        rest=rest,
        idle=_per_idle_connection(door),
        download=_growth(door, _download),
        upload=_growth(door, _upload),
    )


def _per_idle_connection(door: Subject) -> float:
    before = processes.memory(door.pids)
    waiting = [_after_one_request(door) for _ in range(IDLE)]
    try:
        return (processes.memory(door.pids) - before) / IDLE
    finally:
        for connection in waiting:
            connection.close()


def _after_one_request(door: Subject) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", door.port), timeout=10)
    head = f"GET {PATH} HTTP/1.1\r\nHost: localhost:{door.port}\r\n"
    connection.sendall(f"{head}Cookie: {door.cookie}\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    if answer.status != 200 or not answer.read():
        raise StartError(f"{door.title}: {answer.status} for an idle connection")
    return connection


def _growth(door: Subject, transfer: Callable[[Subject, int], None]) -> int:
    transfer(door, WARM_UP_BYTES)
    before = processes.memory(door.pids)
    with _watched(door) as seen:
        transfer(door, BULK_BYTES)
    return max(seen) - before


@contextmanager
def _watched(door: Subject) -> Iterator[list[int]]:
    """The door's memory, looked at again and again meanwhile."""
    seen, over = [processes.memory(door.pids)], threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            seen.append(processes.memory(door.pids))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _download(door: Subject, size: int) -> None:
    headers = {"Cookie": door.cookie, "Range": f"bytes=0-{size - 1}"}
    connection = http.client.HTTPConnection("localhost", door.port, timeout=60)
    connection.request("GET", f"{PATH}bulk", headers=headers)
    answer = connection.getresponse()
    got = sum(len(block) for block in iter(lambda: answer.read(BLOCK), b""))
    connection.close()
    if got != size:
        raise StartError(f"{door.title}: {answer.status}, {got} of {size} bytes came")


def _upload(door: Subject, size: int) -> None:
    body = (bytes(BLOCK) for _ in range(size // BLOCK))
    headers = {"Cookie": door.cookie, "Content-Length": str(size), **PROOF}
    connection = http.client.HTTPConnection("localhost", door.port, timeout=60)
    connection.request("POST", "/api/proxy/sink/", body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200 or str(size).encode() not in text:
        raise StartError(f"{door.title}: {answer.status} {text[:200]!r} to an upload")
