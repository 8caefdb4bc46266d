from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
import redis
from django.conf import settings
from django.core import signals
from django.db import connection
from django.test import override_settings

from backoffice.wsgi import application

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture
def sent() -> Iterator[list[Any]]:
    """The signals that were sent, in their order."""
    found: list[Any] = []

    def note(signal: Any, **_: Any) -> None:
        found.append(signal)

    both = signals.request_started, signals.request_finished
    for signal in both:
        signal.connect(note)
    yield found
    for signal in both:
        signal.disconnect(note)


def ask(path: str) -> tuple[str, dict[str, str]]:
    """Status and fields of the answer to a GET, read to its end."""
    environ: dict[str, Any] = {"PATH_INFO": path, "RAW_URI": path}
    setup_testing_defaults(environ)
    environ["HTTP_HOST"] = "testserver"
    said: list[Any] = []
    answer = application(environ, lambda *words: said.extend(words))
    with closing(answer):  # type: ignore[type-var]
        b"".join(answer)
    return said[0], dict(said[1])


@pytest.mark.parametrize("path", ["/api/proxy/echo/x", "/gate/check"])
def test_a_call_of_the_gate_is_answered_by_the_gate_without_signals(
    path: str, sent: list[Any]
) -> None:
    status, fields = ask(path)
    assert status[:3] in {"401", "403"}
    assert "X-Gate" in fields
    assert sent == []


@pytest.mark.parametrize("path", ["/", "/api/proxyx", "/livez", "//api/proxy/echo/x"])
def test_everything_else_has_its_signals(path: str, sent: list[Any]) -> None:
    ask(path)
    assert sent == [signals.request_started, signals.request_finished]


@pytest.mark.django_db(transaction=True)
def test_a_call_of_the_gate_leaves_no_old_connection_to_sql(
    store: redis.Redis,
) -> None:
    connection.ensure_connection()
    closed: list[bool] = []
    original = connection.close_if_unusable_or_obsolete
    connection.close_if_unusable_or_obsolete = lambda: closed.append(True)  # type: ignore[method-assign]
    try:
        ask("/api/proxy/echo/x")
    finally:
        connection.close_if_unusable_or_obsolete = original  # type: ignore[method-assign]
    assert closed == [True]


def test_a_setting_that_is_replaced_is_replaced_at_once() -> None:
    here = settings.SITE_URL
    for url in ("https://elsewhere.example", here):
        with override_settings(SITE_URL=url):
            assert url == settings.SITE_URL
    with pytest.raises(AttributeError):
        _ = settings.NOT_THERE
