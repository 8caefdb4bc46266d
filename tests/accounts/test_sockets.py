from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from accounts.sockets import is_quiet, set_patience


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_read_waits_no_longer(pair: tuple[socket.socket, socket.socket]) -> None:
    set_patience(pair[0], 0.01)
    with pytest.raises(BlockingIOError):
        pair[0].recv(1)


def test_a_write_waits_no_longer(pair: tuple[socket.socket, socket.socket]) -> None:
    set_patience(pair[0], 0.01)
    with pytest.raises(BlockingIOError):
        pair[0].sendall(b"x" * 10_000_000)


def test_what_comes_in_time_is_read(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].settimeout(5)
    set_patience(pair[0], 30)
    pair[1].sendall(b"here")
    assert pair[0].recv(4) == b"here"


def test_hardly_any_time_is_not_for_ever(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    set_patience(pair[0], 0.0000001)
    with pytest.raises(BlockingIOError):
        pair[0].recv(1)


def test_who_says_nothing_is_quiet(pair: tuple[socket.socket, socket.socket]) -> None:
    assert is_quiet(pair[0])


def test_what_nobody_asked_for_is_noticed_and_left(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pair[1].sendall(b"more")
    assert not is_quiet(pair[0])
    assert pair[0].recv(4) == b"more"


def test_who_has_left_is_not_quiet(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    assert not is_quiet(pair[0])
