"""RED-04: a write whose answer was lost may have been done, and is not sent again."""

from __future__ import annotations

import pytest

from accounts.sessions.errors import SessionStoreError
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import again, begin
from tests.fakes.store import Line, Proxy, resetting

pytestmark = pytest.mark.django_db


def done_and_unanswered(line: Line) -> bytes:
    """The store does it, and the line breaks before it can say so."""
    line.ask()
    return resetting(line)


def save(session: SessionStore) -> None:
    session["draft"] = "x"
    session.save()


@pytest.mark.parametrize(
    ("command", "act"),
    [
        (b"SET", lambda _: begin("u-2")),
        (b"ZADD", lambda _: begin("u-2")),
        (b"EVAL", save),
        (b"DEL", SessionStore.flush),
        (b"DEL", SessionStore.cycle_key),
    ],
)
def test_write_whose_answer_was_lost_is_not_sent_again(
    proxy: Proxy, command: bytes, act
) -> None:
    session = again(begin())
    session.open()
    proxy.heard.clear()
    proxy.breaks(done_and_unanswered, command)
    with pytest.raises(SessionStoreError):
        act(session)
    sent = proxy.heard.count(command)
    # A pipeline has several of one name, and the first ends it.
    assert sent == 1
    assert proxy.heard[-1] == command or command == b"ZADD"
