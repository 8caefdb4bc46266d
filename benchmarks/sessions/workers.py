"""From a kill in one worker process to the refusal in another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter

from accounts import keys
from accounts.sessions import live
from accounts.sessions.store import SessionStore
from benchmarks.sessions import crowd, site
from benchmarks.sessions.timing import median, percentile

Answer = Callable[[str], object]


@dataclass(frozen=True)
class Refusals:
    """How many rounds were refused at once; milliseconds from kill to refusal."""

    rounds: int
    refused: int
    p50: float
    p99: float


def measure(url: str, rounds: int) -> Refusals:
    """Two processes with open connections: kill in one, then the other's next load."""
    with _Worker(url, _kill) as killer, _Worker(url, _is_live) as door:
        times, refused = [], 0
        for number in range(rounds):
            session_key, session_id = _begin(number)
            if not door.ask(session_key):
                raise RuntimeError("a new session was refused")
            start = perf_counter()
            killer.ask(session_id)
            refused += not door.ask(session_key)
            times.append((perf_counter() - start) * 1000)
    return Refusals(rounds, refused, median(times), percentile(times, 0.99))


class _Worker:
    """One process of its own that answers one kind of question."""

    def __init__(self, url: str, answer: Answer) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, far_end = spawn.Pipe()
        self.process = spawn.Process(
            target=_work, args=(far_end, url, answer), daemon=True
        )

    def __enter__(self) -> _Worker:
        self.process.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.pipe.send(None)
        self.process.join()

    def ask(self, question: str) -> object:
        self.pipe.send(question)
        return self.pipe.recv()


def _work(pipe: Connection, url: str, answer: Answer) -> None:
    site.use_store(url)
    site.use_database()
    while (question := pipe.recv()) is not None:
        pipe.send(answer(question))


def _kill(session_id: str) -> object:
    return live.end([session_id], by="benchmark").ended == [session_id]


def _is_live(session_key: str) -> object:
    return bool(SessionStore(session_key).load())


def _begin(number: int) -> tuple[str, str]:
    session = SessionStore()
    session.begin(
        crowd.content(number),
        person=keys.person(crowd.ISSUER, crowd.sub(number)),
        origin=None,
    )
    session.save()
    return str(session.session_key), str(session.session_id)
