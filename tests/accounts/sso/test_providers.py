"""Two providers at once: each for its own people, in its own words, by its own keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from pytest_django.fixtures import Settings

from accounts.models import User
from accounts.sso import providers
from accounts.sso.providers import Provider
from backoffice.demo.provider import Client
from backoffice.demo.provider import Provider as Server
from tests.accounts.sso.forger import Forger
from tests.accounts.sso.person import (
    ADMIN,
    COMPLETE,
    CONTRACTOR,
    SUPPORT,
    Person,
    assert_refused,
    assert_signed_in,
)

Log = pytest.LogCaptureFixture
PARTNER = "partner"
COMPLETE_PARTNER = "/sso/complete/partner/"
EXPIRED = {"kind": "expired", "status": 403}
ANSWER = {"kind": "provider-answer", "status": 502}


@pytest.fixture(scope="module")
def partner_server() -> Iterator[Server]:
    client = Client(
        "bo-at-partner", "another", (f"http://localhost{COMPLETE_PARTNER}",)
    )
    with Server(clients=[client]) as running:
        yield running


@pytest.fixture
def partner(
    partner_server: Server, idp: Server, settings: Settings
) -> Iterator[Server]:
    """A second company; its `support` are staff here, and nobody is an admin."""
    there = Provider(
        PARTNER, partner_server.issuer, "bo-at-partner", "another", label="Partner Ltd"
    )
    settings.PROVIDERS = (*settings.PROVIDERS, there)
    settings.STAFF_GROUPS = frozenset({"staff", "partner:support"})
    partner_server.requests.clear()
    yield partner_server
    partner_server.faults.clear()


@pytest.fixture
def guest(partner: Server) -> Iterator[Person]:
    """Somebody of the partner's company."""
    guest = Person(partner, name=PARTNER)
    yield guest
    guest.close()


def test_sign_in_page_offers_each_provider(partner: Server) -> None:
    page = Browser().get("/sign-in/").content.decode()
    assert 'action="/sso/login/oidc/"' in page
    assert 'action="/sso/login/partner/"' in page
    assert "Partner Ltd" in page


def test_each_signs_in_at_their_own_provider(person: Person, guest: Person) -> None:
    assert_signed_in(person.sign_in(), person)
    assert_signed_in(guest.sign_in(), guest)
    assert person.session["sign_in"]["provider"] == "oidc"
    assert guest.session["sign_in"]["provider"] == PARTNER


def test_each_provider_is_asked_as_the_client_that_it_knows(
    person: Person, guest: Person
) -> None:
    assert person.asked()["client_id"] == "backoffice"
    asked = guest.asked()
    assert asked["client_id"] == "bo-at-partner"
    assert asked["redirect_uri"] == f"http://localhost{COMPLETE_PARTNER}"


def test_same_sub_and_address_at_two_providers_are_two_people(
    person: Person, guest: Person
) -> None:
    person.sign_in()
    guest.sign_in()
    first, second = User.objects.filter(sub=SUPPORT).order_by("pk")
    assert first.email == second.email
    assert (first.issuer, second.issuer) == (
        person.provider.issuer,
        guest.provider.issuer,
    )


def test_partners_groups_are_in_the_partners_name(guest: Person) -> None:
    guest.sign_in()
    assert guest.session["profile"]["groups"] == ["partner:staff", "partner:support"]


def test_partners_security_admins_are_not_ours(
    guest: Person, settings: Settings
) -> None:
    settings.STAFF_GROUPS = frozenset({"staff", "partner:staff"})
    assert_signed_in(guest.sign_in(ADMIN), guest, ADMIN)
    user = User.objects.get(sub=ADMIN)
    assert not user.is_staff
    assert not user.groups.exists()


def test_partners_staff_are_not_ours(guest: Person, caplog: Log) -> None:
    """`staff` gets in at the first provider; here it is `support` that does."""
    answer = guest.sign_in("demo-1006")
    assert_refused(answer, guest, caplog, kind="not-staff", status=403)


def test_first_provider_cannot_speak_in_the_partners_name(
    partner: Server, settings: Settings
) -> None:
    first, second = settings.PROVIDERS
    assert first.groups(["staff", "partner:admins", "a:b"]) == ("staff", "a:b")
    assert second.groups(["oidc:x", "x"]) == ("partner:oidc:x", "partner:x")


def test_admin_group_of_a_partner_makes_admins_when_it_is_named(
    guest: Person, settings: Settings
) -> None:
    settings.STAFF_GROUPS = settings.ADMIN_GROUPS = frozenset({"partner:staff"})
    guest.sign_in()
    assert User.objects.get(sub=SUPPORT).is_staff


def test_unknown_provider_is_404(partner: Server) -> None:
    browser = Browser()
    assert browser.post("/sso/login/nobody/").status_code == 404
    assert browser.get("/sso/complete/nobody/?code=c&state=s").status_code == 404


def test_partner_that_is_down_does_not_matter_to_ours(
    person: Person, guest: Person, partner: Server, caplog: Log
) -> None:
    partner.faults.add("status-500")
    assert guest.begin().status_code == 502
    assert_signed_in(person.sign_in(), person)


def test_page_may_send_forms_to_every_provider() -> None:
    policy = Browser().get("/sign-in/")["Content-Security-Policy"]
    assert "form-action 'self' https: http://127.0.0.1:1;" in f"{policy};"


# Mix-up -------------------------------------------------------------------------------


def redirected(answer: str, path: str) -> str:
    """The same answer, brought to another callback."""
    parts = urlsplit(answer)
    return parts._replace(path=path).geturl()


def test_answer_of_one_provider_at_the_callback_of_the_other_is_refused(
    person: Person, partner: Server, caplog: Log
) -> None:
    """The state is bound to the provider to which the browser was sent."""
    answer = redirected(person.callback(), COMPLETE_PARTNER)
    assert_refused(person.come_back(answer), person, caplog, **EXPIRED)
    assert not [each for each in partner.requests if each.path == "/token"]


def test_answer_of_the_partner_at_our_callback_is_refused(
    guest: Person, idp: Server, caplog: Log
) -> None:
    answer = redirected(guest.callback(), COMPLETE)
    assert_refused(guest.come_back(answer), guest, caplog, **EXPIRED)
    assert not [each for each in idp.requests if each.path == "/token"]


def test_code_of_one_provider_is_not_shown_to_the_other(
    person: Person, guest: Person, partner: Server, caplog: Log
) -> None:
    """The partner turns attacker: it lets the browser bring our provider's answer."""
    honest = parse_qs(urlsplit(person.callback()).query)
    answer = guest.come_back(
        guest.callback(), code=honest["code"][0], iss=honest["iss"][0]
    )
    assert_refused(answer, guest, caplog, **ANSWER, why="claim=iss")
    assert not [each for each in partner.requests if each.path == "/token"]


def test_swapped_code_without_issuer_opens_nothing(
    person: Person, guest: Person, partner: Server, caplog: Log
) -> None:
    """And where it says nothing of `iss`, the code is worth nothing to it."""
    stolen = parse_qs(urlsplit(person.callback()).query)["code"][0]
    answer = guest.come_back(guest.callback(), code=stolen)
    assert answer.status_code in {403, 502}
    assert guest.signed_in_as is None


def test_browser_sent_on_to_the_other_provider_is_refused(
    guest: Person, idp: Server, caplog: Log
) -> None:
    """The partner sends the browser on to our provider, as our own client."""
    asked = guest.asked() | {
        "client_id": "backoffice",
        "redirect_uri": f"http://localhost{COMPLETE}",
    }
    page = guest.http.get(
        f"{idp.issuer}/authorize", params=asked, allow_redirects=False
    )
    person = Person(idp)
    person.http, person.site = guest.http, guest.site
    answer = person.come_back(person.authorize(page.url, ADMIN))
    assert_refused(answer, person, caplog, **EXPIRED)


def test_id_token_signed_by_the_other_provider_is_refused(
    guest: Person, idp: Server, partner: Server, caplog: Log
) -> None:
    honest, partner.state.keys = partner.state.keys, idp.state.keys
    published = honest.jwks()
    partner.state.keys = Forger()
    partner.state.keys.published = published
    try:
        answer = guest.sign_in()
    finally:
        partner.state.keys = honest
    assert_refused(answer, guest, caplog, **ANSWER, why="invalid_signature")


# Signing out --------------------------------------------------------------------------


def sign_out(person: Person) -> HttpResponse:
    answer: HttpResponse = person.site.post("/sign-out/")
    return answer


def test_sign_out_goes_to_the_sessions_own_provider(
    person: Person, guest: Person
) -> None:
    for who, client in ((person, "backoffice"), (guest, "bo-at-partner")):
        who.sign_in()
        address = sign_out(who)["Location"]
        assert address.startswith(f"{who.provider.issuer}/")
        assert parse_qs(urlsplit(address).query)["client_id"] == [client]


@pytest.mark.parametrize("name_is_taken", [False, True])
def test_sign_out_tells_no_token_to_a_provider_that_did_not_issue_it(
    guest: Person, settings: Settings, name_is_taken: bool
) -> None:
    guest.sign_in()
    first = settings.PROVIDERS[0]
    settings.PROVIDERS = (replace(first, name=PARTNER) if name_is_taken else first,)
    assert sign_out(guest)["Location"] == "/signed-out/?here-only"


def logout(token: str) -> int:
    return (
        Browser()
        .post(
            "/sso/backchannel-logout/",
            f"logout_token={token}",
            content_type="application/x-www-form-urlencoded",
        )
        .status_code
    )


def test_back_channel_logout_of_one_provider_leaves_the_others_sessions(
    person: Person, guest: Person, settings: Settings
) -> None:
    person.sign_in()
    guest.sign_in()
    token = guest.provider.logout_token("bo-at-partner", sub=SUPPORT)
    assert logout(token) == 200
    assert (person.signed_in_as, guest.signed_in_as) == (SUPPORT, None)


@pytest.mark.parametrize(
    ("audience", "issuer"), [("backoffice", "own"), ("bo-at-partner", "ours")]
)
def test_partner_cannot_sign_out_ours(
    person: Person, guest: Person, audience: str, issuer: str
) -> None:
    """Neither as the client of ours, nor under our provider's name with its own key."""
    person.sign_in()
    said = {"iss": person.provider.issuer, "aud": "backoffice"}
    token = guest.provider.logout_token(
        audience, sub=SUPPORT, changes=said if issuer == "ours" else None
    )
    assert logout(token) == 400
    assert person.signed_in_as == SUPPORT


def test_front_channel_logout_is_each_providers_own_switch(
    person: Person, guest: Person, settings: Settings
) -> None:
    person.sign_in()
    guest.sign_in()
    first, second = settings.PROVIDERS
    settings.PROVIDERS = (first, replace(second, frontchannel_logout=True))
    for who, status in ((person, 400), (guest, 200)):
        about = {"iss": who.provider.issuer, "sid": who.session["sign_in"]["sid"]}
        answer = Browser().get("/sso/frontchannel-logout/", about)
        assert answer.status_code == status
    assert (person.signed_in_as, guest.signed_in_as) == (SUPPORT, None)


def test_sign_in_under_way_elsewhere_survives_a_refusal_here(
    person: Person, guest: Person
) -> None:
    """Two tabs, one at each provider; the one that is refused leaves the other be."""
    guest.site = person.site
    back = person.callback()
    assert guest.sign_in(CONTRACTOR).status_code == 403
    assert_signed_in(person.come_back(back), person)


def test_provider_is_found_by_exact_issuer(partner: Server) -> None:
    found = providers.of_issuer(partner.issuer)
    assert found is not None
    assert found.name == PARTNER
    assert providers.of_issuer(f"{partner.issuer}/") is None
    assert providers.of_issuer(None) is None
    assert "another" not in repr(found)
