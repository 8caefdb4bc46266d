from __future__ import annotations

import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from backoffice.demo.children import Child
from backoffice.demo.ports import port_is_free
from tests.journeys.site import ROOT
from tests.ports import reserved_port
from tests.waiting import wait_until

APPLICATION = """
import os, threading
def broken():
    yield b"first"
    raise OSError("of the application's own")
def application(environment, start):
    if environment["PATH_INFO"] == "/breaks":
        start("200 OK", [])
        return broken()
    if environment["PATH_INFO"] == "/process":
        start("200 OK", [("Content-Length", str(len(str(os.getpid()))))])
        return [str(os.getpid()).encode()]
    body = str(threading.get_ident()).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One worker with two threads."""
    yield from serving(tmp_path_factory, "--threads", "2")


def serving(factory: pytest.TempPathFactory, *options: str) -> Iterator[int]:
    folder = factory.mktemp("worker")
    (folder / "threads.py").write_text(APPLICATION, encoding="utf-8")
    port = reserved_port()
    command = [sys.executable, "-m", "gunicorn", "threads"]
    command += ["-k", "backoffice.worker.LingeringWorker", *options]
    command += ["-b", f"127.0.0.1:{port}", "--pythonpath", f"{ROOT},{folder}"]
    server = Child("worker", command, log=folder / "log", folder=folder)
    try:
        wait_until(lambda: not port_is_free(port) or not server.is_alive())
        assert server.is_alive(), server.last_lines()
        yield port
    finally:
        server.stop()


def ask(sock: socket.socket) -> bytes:
    sock.sendall(GET)
    return answer(sock)


def answer(sock: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received or received.endswith(b"\r\n\r\n"):
        data = sock.recv(4096)
        if not data:
            break
        received += data
    return received.partition(b"\r\n\r\n")[2]


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60)


def test_more_connections_than_threads_are_all_served(port: int) -> None:
    lines = [opened(port) for _ in range(6)]
    for _ in range(20):
        for line in lines:
            line.sendall(GET)
        assert all(answer(line).isdigit() for line in lines)
    for line in lines:
        line.close()


def test_a_connection_that_pauses_is_served_again(port: int) -> None:
    with closing(opened(port)) as first, closing(opened(port)) as second:
        for _ in range(3):
            assert ask(first).isdigit()
            assert ask(second).isdigit()


def test_two_calls_at_once_are_answered_in_turn(port: int) -> None:
    with closing(opened(port)) as sock:
        sock.sendall(GET + GET)
        received = b""
        while received.count(b"200 OK") < 2:
            received += sock.recv(4096)


def test_a_client_that_leaves_costs_no_thread(port: int) -> None:
    for _ in range(8):
        sock = opened(port)
        assert ask(sock).isdigit()
        sock.close()
    with closing(opened(port)) as sock:
        assert ask(sock).isdigit()


def test_a_call_that_is_none_is_refused_and_ends_the_connection(port: int) -> None:
    with closing(opened(port)) as sock:
        assert ask(sock).isdigit()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nBroken\r\n\r\n")
        received = b""
        while data := sock.recv(4096):
            received += data
        assert received.startswith(b"HTTP/1.1 400 ")


def test_a_body_that_nobody_read_is_no_second_call(port: int) -> None:
    with closing(opened(port)) as sock:
        assert ask(sock).isdigit()
        smuggled = b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n"
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
        sock.sendall(head % len(smuggled) + smuggled)
        assert answer(sock).isdigit()
        assert ask(sock).isdigit()
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_an_application_that_fails_between_two_pieces_ends_the_connection(
    port: int,
) -> None:
    with closing(opened(port)) as sock:
        assert ask(sock).isdigit()
        sock.sendall(GET.replace(b"/", b"/breaks", 1))
        received = b""
        while data := sock.recv(4096):
            received += data
        assert received.count(b"HTTP/1.1") == 1
        assert received.endswith(b"\r\n5\r\nfirst\r\n")


def test_the_processes_share_the_connections(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = serving(tmp_path_factory, "--threads", "4", "--workers", "2")
    with closing(server):
        port = next(server)
        started: set[bytes] = set()
        while len(started) < 2:
            with closing(opened(port)) as sock:
                started.add(process(sock))

        def are_shared() -> bool:
            with ExitStack() as open_until_the_end:
                socks = [
                    open_until_the_end.enter_context(opened(port)) for _ in range(40)
                ]
                served = Counter(map(process, socks))
            # Even but for a few. On a busy machine one may wake too late now and then.
            return min(served[one] for one in started) >= 10

        assert wait_until(are_shared)


def process(sock: socket.socket) -> bytes:
    sock.sendall(GET.replace(b"/", b"/process", 1))
    return answer(sock)
