"""SES-15: who only looks leaves nothing, wherever they look."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import keys

pytestmark = pytest.mark.django_db

SAMPLES = {"int": "1", "path": "x/y", "str": "oidc", "slug": "x", "uuid": "x"}
# Answered before the URL table is asked.
BESIDE = (
    "/livez",
    "/readyz",
    "/gate/check",
    "/api/proxy",
    "/no-such-page",
    "/static/x",
)


def addresses(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    """One address for each entry of the URL table."""
    for entry in resolver.url_patterns:
        here = before + sample(str(entry.pattern))
        if isinstance(entry, URLPattern):
            yield here
        else:
            yield from addresses(entry, here)


def sample(route: str) -> str:
    """Something that fits this part of a route."""
    filled = re.sub(
        r"<(?:(\w+):)?\w+>", lambda found: SAMPLES[found[1] or "str"], route
    )
    # Those of Django's admin that are regular expressions: a name, or anything.
    filled = re.sub(
        r"\(\?P<\w+>([^)]*)\)", lambda found: found[1].split("|")[0], filled
    )
    return (
        filled.removesuffix("\\Z")
        .removesuffix("$")
        .removeprefix("^")
        .replace(".*", "x")
    )


EVERYWHERE = sorted({*addresses(get_resolver()), *BESIDE})


def test_table_is_walked_as_a_whole() -> None:
    assert {"/", "/sign-in/", "/sso/complete/oidc/", "/sessions/"} <= set(EVERYWHERE)
    assert "/admin/accounts/livesession/" in EVERYWHERE
    assert "/api/proxy/x/y" in EVERYWHERE


# What is answered to a browser that nobody has signed in with. A page that is not here
# must ask for a session, also one that is added tomorrow.
PUBLIC = (
    "/sign-in/",
    "/sign-out/",
    "/signed-out/",
    "/sso/backchannel-logout/",
    "/sso/complete/oidc/",
    "/sso/frontchannel-logout/",
    "/sso/login/oidc/",
    "/language/",
    "/api/proxy/x/y",
)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("address", sorted({*addresses(get_resolver())} - {*PUBLIC}))
def test_page_without_a_session_leads_to_the_sign_in_page(
    client: Client, store: redis.Redis, address: str, method: str
) -> None:
    answer = getattr(client, method)(address)
    while answer.status_code in {301, 302} and "/sign-in/" not in answer["Location"]:
        assert answer["Location"].startswith("/admin/")
        answer = client.get(answer["Location"])
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/")
    assert answer.content == b""


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("address", EVERYWHERE)
def test_looking_without_a_cookie_leaves_no_session(
    client: Client, store: redis.Redis, address: str, method: str
) -> None:
    answer = getattr(client, method)(address)
    assert answer.status_code < 500
    # Forms need their token's cookie; it opens nothing.
    assert set(answer.cookies) <= {settings.CSRF_COOKIE_NAME}
    # A probe has the store fenced, as any process does at its start.
    assert set(store.scan_iter()) <= {keys.FENCED.encode()}
