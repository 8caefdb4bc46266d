"""Head office and a partner, in a real browser: whose button, whose person."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, expect

from backoffice.demo.provider import Client, Provider
from tests.browser import new_context
from tests.journeys.site import SUPPORT, Site, running_site
from tests.ports import reserved_port

SECRET = "the partner's secret"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    there = Provider(port=reserved_port())
    with (
        there,
        running_site(
            tmp_path_factory.mktemp("site"),
            OIDC_LABEL="Head office",
            OIDC_PROVIDERS="partner",
            OIDC_PARTNER_ISSUER=there.issuer,
            OIDC_PARTNER_CLIENT_ID="bo",
            OIDC_PARTNER_CLIENT_SECRET=SECRET,
            OIDC_PARTNER_LABEL="Partner Ltd",
            OIDC_PARTNER_STAFF_GROUPS="support",
        ) as running,
    ):
        there.state.clients["bo"] = Client(
            "bo",
            SECRET,
            (f"{running.url}/sso/complete/partner/",),
            (f"{running.url}/signed-out/",),
            f"{running.url}/sso/backchannel-logout/",
        )
        yield running


@pytest.fixture
def person(launched: Chromium, site: Site) -> Iterator[BrowserContext]:
    context = new_context(launched, base_url=site.url, locale="en-GB")
    yield context
    context.close()


@pytest.mark.parametrize(
    ("label", "groups"),
    [
        ("Head office", "staff,support"),
        ("Partner Ltd", "partner:staff,partner:support"),
    ],
)
def test_each_button_leads_to_its_provider_there_and_back(
    person: BrowserContext, label: str, groups: str
) -> None:
    page = person.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.goto("/sign-in/")
    page.get_by_role("button", name=f"Continue with {label}").click()
    page.locator(f'button[name="sub"][value="{SUPPORT}"]').click()
    page.wait_for_url("**/")
    headers = dict(person.request.get("/api/proxy/echo/").json()["headers"])
    told = {name.lower(): value for name, value in headers.items()}
    assert told["x-staff-groups"] == groups
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/signed-out/**")
    expect(page.locator("h1")).to_contain_text("signed out")
    assert not [said for said in complaints if "Content Security" in said]


def test_partners_support_may_not_use_what_is_for_ours(person: BrowserContext) -> None:
    page = person.new_page()
    page.goto("/sign-in/")
    page.get_by_role("button", name="Continue with Partner Ltd").click()
    page.locator(f'button[name="sub"][value="{SUPPORT}"]').click()
    page.wait_for_url("**/")
    assert person.request.get("/api/proxy/members/").status == 403


def test_answer_replayed_in_another_browser_opens_nothing(
    launched: Chromium, person: BrowserContext, site: Site
) -> None:
    page = person.new_page()
    page.goto("/sign-in/")
    page.get_by_role("button", name="Continue with Head office").click()
    answers: list[str] = []
    page.on("request", lambda asked: answers.append(asked.url))
    page.locator(f'button[name="sub"][value="{SUPPORT}"]').click()
    page.wait_for_url("**/")
    (answer,) = [url for url in answers if "/sso/complete/" in url]
    elsewhere = new_context(launched, base_url=site.url, locale="ko-KR")
    other = elsewhere.new_page()
    other.goto(answer)
    expect(other.locator("html")).to_have_attribute("lang", "ko")
    expect(other.get_by_role("link", name="다시 시도")).to_be_visible()
    assert elsewhere.request.get("/api/proxy/echo/").status == 401
    elsewhere.close()
    page.goto(answer)
    assert page.url == f"{site.url}/"
