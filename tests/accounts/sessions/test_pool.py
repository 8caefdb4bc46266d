from __future__ import annotations

import os
import select
import threading

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.sessions.pool import Pool
from backoffice.demo.store import EmbeddedStore

pytestmark = pytest.mark.usefixtures("store")


def pool(url: str, size: int = 1) -> Pool:
    """One as the session store has it: no timeout of Python's (accounts.sockets)."""
    return Pool.from_url(
        url,
        max_connections=size,
        timeout=0.05,
        protocol=2,
        socket_timeout=None,
    )


def ask(pool: Pool, *command: object) -> object:
    connection = pool.take()
    try:
        connection.send_packed_command(connection.pack_command(*command))
        return connection.read_response()
    finally:
        pool.give(connection)


def test_same_connection_is_lent_again(store_server: EmbeddedStore) -> None:
    lending = pool(store_server.url)
    first = lending.take()
    lending.give(first)
    assert lending.take() is first


def test_nothing_free_says_so_and_loses_no_place(store_server: EmbeddedStore) -> None:
    lending = pool(store_server.url)
    only = lending.take()
    with pytest.raises(RedisConnectionError, match="No connection available"):
        lending.take()
    lending.give(only)
    assert ask(lending, "PING") in {b"PONG", "PONG"}


def test_connection_closed_by_the_store_is_opened_anew(
    store: redis.Redis, store_server: EmbeddedStore
) -> None:
    lending = pool(store_server.url)
    number = ask(lending, "CLIENT", "ID")
    store.client_kill_filter(_id=str(number))
    assert ask(lending, "CLIENT", "ID") != number


def test_connection_with_a_left_over_answer_is_not_lent(
    store_server: EmbeddedStore,
) -> None:
    lending = pool(store_server.url)
    connection = lending.take()
    connection.send_packed_command(connection.pack_command("ECHO", "another's"))
    # The answer is there, and nobody has read it.
    assert select.select([connection._sock], [], [], 60)[0]
    lending.give(connection)
    assert ask(lending, "ECHO", "mine") == b"mine"


def test_child_process_takes_no_connection_of_its_parent(
    store_server: EmbeddedStore,
) -> None:
    lending = pool(store_server.url)
    mine = ask(lending, "CLIENT", "ID")
    child = os.fork()
    if not child:
        os._exit(0 if ask(lending, "CLIENT", "ID") != mine else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_many_threads_share_few_connections(store_server: EmbeddedStore) -> None:
    lending = pool(store_server.url, size=3)
    found: list[object] = []

    def work(number: int) -> None:
        for turn in range(50):
            found.append(
                ask(lending, "ECHO", f"{number}-{turn}") == b"%d-%d" % (number, turn)
            )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 150
