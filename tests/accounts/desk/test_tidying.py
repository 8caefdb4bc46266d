from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from accounts.desk import tidying
from accounts.sessions import live
from tests.accounts.desk.conftest import opened
from tests.conftest import use_store

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("store"),
]

NOWHERE = "redis://127.0.0.1:1/0"


def test_goes_on_when_the_store_is_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(), opened("u-8")
    live.end_everyone(by="desk")
    url = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)

    def come_back(seconds: float) -> None:
        use_store(settings, url)

    # In place of the first pause the store comes back.
    monkeypatch.setattr("accounts.desk.tidying.time.sleep", come_back)
    tidying.begin().join(60)
    assert live.clear_up() == 0
    assert live.count() == 0


def test_gives_up_in_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("accounts.desk.tidying.time.sleep", pauses.append)
    use_store(settings, NOWHERE)
    thread = tidying.begin()
    thread.join(60)
    assert not thread.is_alive()
    assert tuple(pauses) == tidying.PAUSES
