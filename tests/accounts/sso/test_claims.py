from __future__ import annotations

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import User
from accounts.sso.claims import laid_over, readable, verified_domain
from accounts.sso.providers import GOOGLE, Provider
from backoffice.demo.provider import Provider as Server
from tests.accounts.sso.conftest import set_up
from tests.accounts.sso.forger import Forger
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


# A groups claim that is one string ----------------------------------------------------


def test_string_is_one_group_where_the_provider_is_set_up_so(
    person: Person, idp: Server, settings: Settings
) -> None:
    """LemonLDAP::NG sends a list only to people in several groups."""
    set_up(settings, groups_string=True)
    idp.faults.add("groups-text")
    assert_signed_in(person.sign_in(), person)
    assert person.session["profile"]["groups"] == ["staff"]


def test_string_in_the_id_token_is_read_as_well(
    person: Person, forger: Forger, settings: Settings
) -> None:
    set_up(settings, groups_string=True, groups_separator=";")
    forger.changes = {"groups": " staff;night shift ;; "}
    assert_signed_in(person.sign_in(), person)
    assert person.session["profile"]["groups"] == ["staff", "night shift"]


def test_list_is_still_a_list_where_strings_are_accepted(
    person: Person, forger: Forger, settings: Settings
) -> None:
    set_up(settings, groups_string=True, groups_separator=";")
    forger.changes = {"groups": ["staff", "a; b"]}
    assert_signed_in(person.sign_in(), person)
    assert person.session["profile"]["groups"] == ["staff", "a; b"]


def test_string_of_one_provider_is_refused_at_another(
    person: Person, idp: Server, settings: Settings
) -> None:
    partner = Provider("partner", "https://x.example", "", "", groups_string=True)
    settings.PROVIDERS = (*settings.PROVIDERS, partner)
    idp.faults.add("groups-text")
    assert person.sign_in().status_code == 502


@pytest.mark.parametrize("value", [None, 5, True, {"staff": True}, ["staff", 5]])
def test_what_is_neither_list_nor_string_is_refused_all_the_same(
    person: Person, forger: Forger, settings: Settings, value: object
) -> None:
    set_up(settings, groups_string=True, groups_separator=";")
    forger.changes = {"groups": value}
    assert person.sign_in().status_code == 502


@pytest.mark.parametrize(
    ("separator", "said", "groups"),
    [
        ("", "staff", ["staff"]),
        ("", "night shift; staff", ["night shift; staff"]),
        ("", "", []),
        (";", "staff", ["staff"]),
        (";", " ; ", []),
        ("||", "a||b|c", ["a", "b|c"]),
        ("space", "a  b", ["a", "b"]),
    ],
)
def test_string_is_divided_at_the_separator_and_nowhere_else(
    separator: str, said: str, groups: list[str]
) -> None:
    provider = Provider("x", "", "", "", groups_string=True, groups_separator=separator)
    assert provider.with_groups_as_list({"groups": said}) == {"groups": groups}


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
