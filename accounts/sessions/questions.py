"""Questions to the store, and no answers but to these very questions.

Each carries a ticket that its answer must bring back. An answer with another ticket was
meant for another question on the same connection (a time-out or a killed thread left it
there): without this, the next person would get it (RED-13).
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import count
from typing import Any

from redis.cluster import ClusterPipeline
from redis.exceptions import NoScriptError

from accounts.sessions.connections import Nonsense, client, is_cluster
from accounts.sessions.pool import Pool

_tickets = count()


def ask(script: str, names: list[str], arguments: list[Any]) -> list[Any]:
    """Runs a script in one round trip; gives what it returns after our ticket.

    The script must return `ARGV[1]` first.
    """
    ticket = b"%d" % next(_tickets)
    question = (len(names), *names, ticket, *arguments)
    try:
        answer = client().evalsha(_name_of(script), *question)
    except NoScriptError:
        # A new server, or one that was told to forget. It keeps what it is sent.
        answer = client().eval(script, *question)
    if not isinstance(answer, list) or not answer or answer[0] != ticket:
        raise Nonsense("an answer to another question")
    return answer[1:]


@cache
def _name_of(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


# Of whose identity nothing is known: in a Cluster the library chooses the connection.
SOME_PRIMARY = ""


def ask_about(value: str, mark: str) -> tuple[tuple[Any, Any, Any], str]:
    """GET and PEXPIRETIME of the one name, GET of the other, in one round trip.

    What every request asks. The library's own way of asking costs twice what the store
    and the wire take, so the question is written here, on a connection of its pool.
    Not one moment's answer but three in this order, which can only be more dead than
    the first was: whatever is ended in between is read as ended.

    With it comes the identity of the server that replied, or SOME_PRIMARY.
    """
    store = client()
    if is_cluster(store):
        found, expiry, other = ask(_ABOUT, [value, mark], [])
        return (found, expiry, other), SOME_PRIMARY
    command = _question(value.encode(), mark.encode())
    (found, expiry, other), server = _told(store, command, 3)
    return (found, expiry, other), server


def ask_about_each(
    names: list[tuple[str, str]],
) -> tuple[list[tuple[Any, Any, Any]], str]:
    """`ask_about` each pair of names: in one round trip, but in a Cluster."""
    store = client()
    if is_cluster(store):
        return [ask_about(*each)[0] for each in names], SOME_PRIMARY
    commands = b"".join(_question(v.encode(), m.encode()) for v, m in names)
    replies, server = _told(store, commands, 3 * len(names))
    each = iter(replies)
    return list(zip(each, each, each, strict=True)), server


def _told(store: Any, question: bytes, count: int) -> tuple[list[Any], str]:
    """The answers to these commands, so many, and to no others; and whose they are."""
    ticket = b"%d" % next(_tickets)
    pool = store.connection_pool
    is_ours = isinstance(pool, Pool)
    connection = pool.take() if is_ours else pool.get_connection()
    try:
        echo = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(ticket), ticket)
        connection.send_packed_command((question + echo,), check_health=False)
        found: list[Any]
        *found, last = connection._parser.read_each(count + 1)
        if last != ticket:
            raise Nonsense("answers to other questions")
        server: str = connection.identity
    except BaseException:
        # What is still to come on it was meant for nobody else.
        connection.disconnect()
        raise
    finally:
        if is_ours:
            pool.give(connection)
        else:
            pool.release(connection)
    return found, server


# In a Cluster the library finds the node, and a script is one command.
_ABOUT = """
return {ARGV[1], redis.call('GET', KEYS[1]), redis.call('PEXPIRETIME', KEYS[1]),
        redis.call('GET', KEYS[2])}
"""


def _question(value: bytes, mark: bytes) -> bytes:
    # RESP, as written by every client (https://valkey.io/topics/protocol/).
    named = b"$%d\r\n%b\r\n" % (len(value), value)
    return (
        b"*2\r\n$3\r\nGET\r\n%b*2\r\n$11\r\nPEXPIRETIME\r\n%b"
        b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n"
    ) % (named, named, len(mark), mark)


def answers(pipeline: Any) -> list[Any]:
    """Sends a pipeline; gives the answers to exactly its commands.

    The ticket again, as a last command. A Cluster has no one place to send it to.
    """
    if isinstance(pipeline, ClusterPipeline):
        return list(pipeline.execute())
    ticket = b"%d" % next(_tickets)
    pipeline.echo(ticket)
    *found, last = pipeline.execute()
    if last != ticket:
        raise Nonsense("answers to other questions")
    return list(found)


def whole_number(answer: Any) -> int:
    """An answer that must be a number; raises Nonsense."""
    if not isinstance(answer, int):
        raise Nonsense("not a number")
    return answer
