from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.proxy.cookies import to_browser, to_upstream

ALLOWED = frozenset({"theme", "tab"})
OURS = "Path=/api/proxy/members; HttpOnly; SameSite=Lax"


def set_by(*received: str, https: bool = False) -> list[str]:
    return to_browser(received, ALLOWED, "crm", "members", https)


def test_a_named_cookie_gets_its_own_name_and_path() -> None:
    line = "theme=dark; Path=/; Domain=corp.example; SameSite=None; Max-Age=60"
    assert set_by(line) == [f"crm.theme=dark; Max-Age=60; {OURS}"]


def test_over_https_no_neighbour_can_plant_it() -> None:
    assert set_by("theme=x", https=True) == [f"__Secure-crm.theme=x; {OURS}; Secure"]


def test_several_stay_several() -> None:
    assert len(set_by("theme=a", "tab=b", "tab=c")) == 3


@pytest.mark.parametrize(
    "line",
    [
        "session_id=x",
        "__Host-session_id=x",
        "Theme=x",
        "crm.theme=x",
        "theme",
        "=theme",
        "",
        "theme=a,b",
        'theme="a"',
        "theme=a b",
        "theme=é",
        "theme=" + "a" * 5000,
    ],
)
def test_any_other_cookie_stays_behind(line: str) -> None:
    assert set_by(line) == []


@pytest.mark.parametrize("life", ["Max-Age=x", "Max-Age=", "Expires=Thu, 01 Jan 1970"])
def test_a_life_that_is_no_number_is_a_session(life: str) -> None:
    assert set_by(f"theme=a; {life}") == [f"crm.theme=a; {OURS}"]


@given(st.text(max_size=40), st.booleans())
def test_nothing_an_upstream_sets_leaves_its_corner(line: str, https: bool) -> None:
    for cookie in set_by(f"theme={line}", https=https):
        name, *attributes = (part.strip() for part in cookie.split(";"))
        assert "crm.theme=" in name
        assert [part for part in attributes if part.startswith("Path=")] == [
            "Path=/api/proxy/members"
        ]
        assert not [part for part in attributes if part.lower().startswith("domain")]


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("crm.theme=dark", "theme=dark"),
        ("session_id=secret; crm.tab=2; crm.theme=x", "tab=2; theme=x"),
        ("theme=dark", ""),
        ("other.theme=dark", ""),
        ("crm.session_id=x", ""),
        ("crm.theme=a; crm.theme=b", ""),
        ("crm.theme=a b", ""),
        ("", ""),
    ],
)
def test_the_upstream_sees_its_own_cookies_only(sent: str, seen: str) -> None:
    assert to_upstream(sent, ALLOWED, "crm", https=False) == seen


def test_over_https_a_planted_name_is_not_seen() -> None:
    both = "crm.theme=planted; __Secure-crm.theme=own"
    assert to_upstream(both, ALLOWED, "crm", https=True) == "theme=own"
