"""What carries the questions in nginx is there again after whatever has stopped it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.doors.conftest import fresh_key
from tests.doors.house import Door, House
from tests.doors.server import running_nginx
from tests.doors.test_outages import TARGET, statuses
from tests.waiting import wait_until

CONNECTIONS = 64


@pytest.mark.parametrize("name", ["check", "script"])
def test_a_worker_that_has_no_connection_left_recovers(
    house: House, name: str, tmp_path: Path
) -> None:
    key = fresh_key(house)
    with (
        running_nginx(house.site, tmp_path, name, connections=CONNECTIONS) as address,
        ExitStack() as crowd,
    ):
        door = Door(house, name, address)
        head = f"GET {TARGET} HTTP/1.1\r\nHost: {door.host}\r\n"
        head += f"Cookie: session_id={key}\r\n"
        socks = []
        for _ in range(4 * CONNECTIONS):
            socks.append(crowd.enter_context(door.connect()))
            with suppress(OSError):
                # With part of a head nginx cannot do without it.
                socks[-1].sendall(head.encode())
        log = tmp_path / "error.log"
        assert wait_until(lambda: "worker_connections" in log.read_text())
        # Each needs a connection more than there are, to ask and to pass.
        for sock in socks:
            with suppress(OSError):
                sock.sendall(b"\r\n")
        answers = set()
        for sock in socks:
            with suppress(OSError):
                answers.add(sock.recv(12)[9:])
        assert b"503" in answers
        crowd.close()
        assert wait_until(lambda: statuses(door, key) == {200})
