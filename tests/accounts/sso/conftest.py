from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts.sso import discovery, keyset, pipeline
from backoffice.demo.provider import Client, Provider
from tests.accounts.sso.forger import Forger
from tests.accounts.sso.person import COMPLETE, Person

SECRET = "p+q%&: ü"


@pytest.fixture(scope="module")
def company(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """The company's provider, one for all tests of a module."""
    client = Client(
        "backoffice",
        SECRET,
        redirect_uris=(f"http://localhost{COMPLETE}",),
        post_logout_redirect_uris=("http://localhost/signed-out/",),
    )
    with Provider(clients=[client]) as running:
        yield running


@pytest.fixture
def idp(
    company: Provider,
    settings: Settings,
    store: redis.Redis,
    db: None,
) -> Iterator[Provider]:
    """The provider the site is set up for, with a process that knows nothing of it."""
    use_provider(settings, company)
    discovery.forget()
    keyset.forget()
    pipeline.forget()
    company.requests.clear()
    staff = dict(company.state.staff)
    yield company
    company.faults.clear()
    company.state.staff = staff


def use_provider(settings: Settings, provider: Provider, **changes: Any) -> None:
    """Makes this the one provider of the site."""
    first = replace(
        settings.PROVIDERS[0], issuer=provider.issuer, client_secret=SECRET, **changes
    )
    settings.PROVIDERS = (first,)


def set_up(settings: Settings, **changes: Any) -> None:
    """Sets the first provider up in another way."""
    first, *others = settings.PROVIDERS
    settings.PROVIDERS = (replace(first, **changes), *others)


@pytest.fixture
def forger(idp: Provider) -> Iterator[Forger]:
    """The provider's keys, to sign with as one likes."""
    honest, idp.state.keys = idp.state.keys, Forger()
    yield idp.state.keys
    idp.state.keys = honest


@pytest.fixture
def person(idp: Provider) -> Iterator[Person]:
    person = Person(idp)
    yield person
    person.close()


@pytest.fixture
def another(idp: Provider) -> Iterator[Person]:
    person = Person(idp)
    yield person
    person.close()
