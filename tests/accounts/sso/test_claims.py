from __future__ import annotations

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import User
from accounts.sso.claims import laid_over, readable, verified_domain
from accounts.sso.providers import GOOGLE, Provider
from backoffice.demo.provider import Provider as Server
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.person import (
    CONTRACTOR,
    Person,
    assert_refused,
    assert_signed_in,
)

MAIL = "kim@example.com"


@pytest.mark.parametrize("address", [MAIL, "Kim@EXAMPLE.com", "a.b+c@example.com"])
def test_domain_of_a_verified_address(address: str) -> None:
    assert verified_domain({"email": address, "email_verified": True}) == "example.com"


@pytest.mark.parametrize(
    "said",
    [
        {"email": MAIL},
        {"email": MAIL, "email_verified": False},
        {"email": MAIL, "email_verified": "true"},
        {"email": MAIL, "email_verified": 1},
        {"email": "example.com", "email_verified": True},
        {"email": "@example.com", "email_verified": True},
        {"email": "a@evil.example@example.com", "email_verified": True},
        {"email": [MAIL], "email_verified": True},
        {"email_verified": True},
    ],
)
def test_address_that_is_not_verified_or_none_has_no_domain(
    said: dict[str, Any],
) -> None:
    assert verified_domain(said) == ""


def test_verified_is_only_the_address_of_whoever_says_so() -> None:
    token = {"email": MAIL, "email_verified": True, "name": "Kim"}
    assert verified_domain(laid_over(token, {"name": "Kim Min"})) == "example.com"
    assert verified_domain(laid_over(token, {"email": MAIL})) == "example.com"
    assert verified_domain(laid_over(token, {"email": "x@evil.example"})) == ""


@pytest.mark.parametrize(
    ("hd", "is_ours"), [("example.com", True), (None, False), ("evil.example", False)]
)
def test_google_must_say_that_the_company_manages_the_account(
    hd: str | None, is_ours: bool
) -> None:
    ours = frozenset({"example.com"})
    google = Provider("oidc", GOOGLE, "", "", staff_domains=ours)
    said = {"email": MAIL, "email_verified": True, "hd": hd}
    assert google.has_domain_of(said) is is_ours


def test_name_keeps_its_letters_and_loses_what_would_rearrange_a_line() -> None:
    assert readable("박\u202e지\u0000훈\u200d ", 255) == "박지훈\u200d "
    assert readable("x" * 300, 255) == "x" * 255
    assert readable(["x"], 255) == ""


# STAFF_DOMAINS ------------------------------------------------------------------------


@pytest.fixture
def domains(settings: Settings, idp: Server) -> None:
    """No group counts; everyone of the demo has an address at example.com."""
    settings.STAFF_GROUPS = settings.ADMIN_GROUPS = frozenset()
    ours = frozenset({"example.com"})
    set_up(settings, staff_domains=ours, needs_groups=False)


@pytest.mark.usefixtures("domains")
def test_verified_address_of_a_staff_domain_gets_in(person: Person) -> None:
    assert_signed_in(person.sign_in(CONTRACTOR), person, CONTRACTOR)


@pytest.mark.usefixtures("domains")
def test_groups_may_be_missing_where_none_counts(person: Person, idp: Server) -> None:
    idp.faults.add("groups-missing")
    assert_signed_in(person.sign_in(), person)
    assert person.session["profile"]["groups"] == []


@pytest.mark.usefixtures("domains")
@pytest.mark.parametrize("fault", ["groups-null", "groups-text", "groups-overage"])
def test_groups_that_are_there_and_wrong_refuse_all_the_same(
    person: Person, idp: Server, fault: str
) -> None:
    idp.faults.add(fault)
    assert person.sign_in().status_code == 502


def test_address_of_another_domain_is_refused_without_a_trace(
    person: Person, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(settings, staff_domains=frozenset({"example.org", "sub.example.com"}))
    answer = person.sign_in(CONTRACTOR)
    assert_refused(answer, person, caplog, kind="not-staff", status=403)
    assert not User.objects.filter(sub=CONTRACTOR).exists()


def test_domain_is_of_its_own_provider(
    person: Person, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = Provider(
        "partner", "https://x.example", "", "", staff_domains=frozenset({"example.com"})
    )
    settings.PROVIDERS = (*settings.PROVIDERS, elsewhere)
    answer = person.sign_in(CONTRACTOR)
    assert_refused(answer, person, caplog, kind="not-staff", status=403)
