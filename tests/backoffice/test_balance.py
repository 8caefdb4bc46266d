from __future__ import annotations

import time

import pytest

from backoffice.balance import FRESH_SECONDS, MOST_SECONDS, SLOTS, Board


@pytest.fixture
def board() -> Board:
    return Board()


def test_one_alone_never_waits(board: Board) -> None:
    board.tell(1, 500)
    assert board.patience(1, 500) == 0


def test_who_has_more_waits_and_who_has_fewer_does_not(board: Board) -> None:
    board.tell(1, 5)
    board.tell(2, 3)
    assert 0 < board.patience(1, 5) < board.patience(1, 6)
    assert board.patience(2, 3) == 0


def test_nobody_waits_long(board: Board) -> None:
    board.tell(1, 0)
    assert board.patience(2, 10_000) == MOST_SECONDS


def test_who_is_gone_is_not_waited_for(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.tell(1, 0)
    later = time.monotonic() + FRESH_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert board.patience(2, 10) == 0


def test_a_successor_takes_over_a_slot(board: Board) -> None:
    board.tell(1, 0)
    board.tell(1 + SLOTS, 9)
    assert board.patience(2, 9) == 0
