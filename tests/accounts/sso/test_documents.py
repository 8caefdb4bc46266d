from __future__ import annotations

import threading

import pytest
from social_core.exceptions import AuthProviderError

from accounts.sso.documents import (
    BURST,
    FRESH_SECONDS,
    GRACE_SECONDS,
    REFILL_SECONDS,
    RENEW_SECONDS,
    RETRY_SECONDS,
    Document,
    Renewals,
)
from tests.conftest import Travel

pytestmark = pytest.mark.usefixtures("travel")


class Source:
    """Gives one number higher each time, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False

    def __call__(self) -> int:
        self.asked += 1
        if self.is_down:
            raise AuthProviderError(None, "secret words", code="timeout")
        return self.asked


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def document() -> Document[int]:
    return Document("test")


def test_document_is_asked_for_once_while_it_is_fresh(
    document: Document[int], source: Source, travel: Travel
) -> None:
    assert document.get(source) == 1
    travel.shift(FRESH_SECONDS - 1)
    assert document.get(source) == 1
    travel.shift(2)
    assert document.get(source) == 2


def test_old_document_is_good_for_the_grace_and_no_longer(
    document: Document[int], source: Source, travel: Travel
) -> None:
    document.get(source)
    source.is_down = True
    travel.shift(FRESH_SECONDS + GRACE_SECONDS - 1)
    assert document.get(source) == 1
    travel.shift(2)
    with pytest.raises(AuthProviderError):
        document.get(source)


def test_failure_is_remembered_for_a_few_seconds_without_its_words(
    document: Document[int], source: Source, travel: Travel
) -> None:
    source.is_down = True
    for _ in range(3):
        with pytest.raises(AuthProviderError) as caught:
            document.get(source)
        assert (caught.value.code, caught.value.detail) == ("timeout", "")
    assert source.asked == 1
    source.is_down = False
    travel.shift(RETRY_SECONDS + 1)
    assert document.get(source) == 2


def test_renewed_document_is_the_one_from_then_on(
    document: Document[int], source: Source
) -> None:
    document.get(source)
    assert document.renew(source) == 2
    assert document.get(source) == document.settled() == 2


def test_renewal_that_fails_leaves_the_old_document(
    document: Document[int], source: Source
) -> None:
    document.get(source)
    source.is_down = True
    with pytest.raises(AuthProviderError):
        document.renew(source)
    assert document.get(source) == 1


def test_each_name_is_asked_for_once_a_minute(travel: Travel) -> None:
    renewals = Renewals()
    assert renewals.take("a")
    assert [renewals.take("a") for _ in range(100)] == [False] * 100
    assert renewals.is_taken("a")
    assert renewals.take("b")
    assert renewals.take(None)
    travel.shift(RENEW_SECONDS + 1)
    assert renewals.take("a")


def test_all_names_together_are_a_handful_and_then_a_trickle(travel: Travel) -> None:
    renewals = Renewals()
    assert sum(renewals.take(f"x{n}") for n in range(1000)) == BURST
    assert not renewals.is_taken("x999")
    travel.shift(REFILL_SECONDS + 1)
    assert sum(renewals.take(f"y{n}") for n in range(1000)) == 1
    travel.shift(24 * 3600)
    assert sum(renewals.take(f"z{n}") for n in range(1000)) == BURST


def test_many_threads_ask_once(document: Document[int], source: Source) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(document.get(source)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 16


def test_nobody_waits_for_a_renewal_while_the_old_one_is_good(
    document: Document[int], source: Source, travel: Travel
) -> None:
    document.get(source)
    travel.shift(FRESH_SECONDS + 1)
    asked, answer = threading.Event(), threading.Event()

    def slow() -> int:
        asked.set()
        answer.wait(60)
        return 7

    thread = threading.Thread(target=document.get, args=(slow,))
    thread.start()
    asked.wait(60)
    assert document.get(source) == 1
    answer.set()
    thread.join()
    assert document.get(source) == 7
