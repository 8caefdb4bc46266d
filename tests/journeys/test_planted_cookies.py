"""C2 in a real browser: whatever somebody else could plant in it opens nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext

from tests.journeys.site import COOKIE, FINANCE, SIGN_IN_COOKIE, SUPPORT, Site
from tests.journeys.test_in_a_browser import sign_in

GATED = "/api/proxy/echo/"


def plant(
    person: BrowserContext, site: Site, value: str, path: str = "/", name: str = COOKIE
) -> None:
    """As a sibling host, or a hole in a page, could."""
    person.add_cookies(
        [{"name": name, "value": value, "domain": "localhost", "path": path}]
    )


def key_of(person: BrowserContext, path: str = "/") -> str:
    cookies = person.cookies()
    (value,) = [c["value"] for c in cookies if (c["name"], c["path"]) == (COOKIE, path)]
    return str(value)


def test_sign_in_leaves_a_planted_session_behind(
    person: BrowserContext, site: Site
) -> None:
    """Fixation: the attacker began a sign-in and gives its cookie to somebody else."""
    attacker = site.browser()
    attacker.choose_provider()
    planted = str(attacker.http.cookies.get(SIGN_IN_COOKIE))
    plant(person, site, planted, name=SIGN_IN_COOKIE)
    plant(person, site, "a" * 32)
    page = sign_in(person, SUPPORT)
    assert page.url == f"{site.url}/"
    assert key_of(person) != "a" * 32
    assert person.request.get(GATED).status == 200
    assert attacker.call(GATED).status_code == 401
    assert "/sign-in/" in attacker.get("/").url


@pytest.mark.parametrize("path", ["/api", "/api/proxy/echo"])
def test_planted_live_session_of_the_attacker_is_never_used(
    person: BrowserContext, site: Site, path: str
) -> None:
    """Tossing: it is sent first, and the person's own beside it. Neither is chosen."""
    attacker = site.browser()
    attacker.sign_in(FINANCE)
    page = sign_in(person, SUPPORT)
    plant(person, site, str(attacker.session_key), path)
    script = f"fetch('{GATED}').then(answer => answer.status)"
    assert page.evaluate(script) == 401
    page.goto("/")
    assert "박지훈" in page.content()


def test_planted_session_id_of_somebody_is_no_session(
    person: BrowserContext, site: Site
) -> None:
    """The public reference, which the desk shows, in place of the key."""
    victim = site.browser()
    victim.sign_in(SUPPORT)
    echoed = dict(victim.call(GATED).json()["headers"])
    reference = {name.lower(): value for name, value in echoed.items()}["x-session-id"]
    plant(person, site, reference)
    assert person.request.get(GATED).status == 401
