from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.sso.providers import Provider
from backoffice import providers
from backoffice.env import Environment
from tests.accounts.sso.test_client_key import CURVE, pem

FIRST = {
    "OIDC_ISSUER": "https://idp.example",
    "OIDC_CLIENT_ID": "backoffice",
    "OIDC_CLIENT_SECRET": "first",
    "STAFF_GROUPS": "staff",
    "ADMIN_GROUPS": "admins",
}
PARTNER = {
    "OIDC_PROVIDERS": "partner",
    "OIDC_PARTNER_ISSUER": "https://login.partner.example/realm",
    "OIDC_PARTNER_CLIENT_ID": "bo",
    "OIDC_PARTNER_CLIENT_SECRET": "second",
    "OIDC_PARTNER_STAFF_GROUPS": "on-site, night shift",
}


class Given:
    """An environment of exactly these names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, **names: str) -> Environment:
        for name in (*FIRST, *PARTNER):
            self.monkeypatch.delenv(name, raising=False)
        for name, value in names.items():
            self.monkeypatch.setenv(name, value)
        return Environment()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(monkeypatch)


def read(env: Environment) -> tuple[Provider, ...]:
    found = providers.read(env)
    env.seal()
    return found


def problems(env: Environment) -> str:
    providers.read(env)
    with pytest.raises(ImproperlyConfigured) as caught:
        env.seal()
    return str(caught.value)


def test_one_provider_has_the_fixed_names(given: Given) -> None:
    (only,) = read(given(**FIRST))
    assert (only.name, only.issuer, only.label) == (
        "oidc",
        "https://idp.example",
        "idp.example",
    )
    assert (only.client_id, only.client_secret) == ("backoffice", "first")


def test_further_provider_has_names_of_its_own(given: Given) -> None:
    env = given(**FIRST, **PARTNER, OIDC_PARTNER_SCOPES="groups", OIDC_SCOPES="x y")
    first, second = read(env)
    assert (second.name, second.client_id) == ("partner", "bo")
    assert second.label == "login.partner.example"
    assert (first.scopes, second.scopes) == (("x", "y"), ("groups",))


def test_hyphen_in_a_name_is_an_underscore_in_its_settings(given: Given) -> None:
    names = {
        key.replace("PARTNER", "PARTNER_SEOUL"): value for key, value in PARTNER.items()
    }
    env = given(**FIRST, **names | {"OIDC_PROVIDERS": "partner-seoul"})
    assert read(env)[1].name == "partner-seoul"


def test_groups_of_all_providers_are_one_set_in_their_own_names(given: Given) -> None:
    env = given(**FIRST, **PARTNER)
    both = read(env)
    assert providers.groups(env, both, "STAFF_GROUPS") == {
        "staff",
        "partner:on-site",
        "partner:night shift",
    }
    assert providers.groups(env, both, "ADMIN_GROUPS") == {"admins"}


def test_secret_of_a_further_provider_may_come_from_a_file(
    given: Given, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    names = {k: v for k, v in PARTNER.items() if not k.endswith("SECRET")}
    env = given(**FIRST, **names, OIDC_PARTNER_CLIENT_SECRET_FILE=str(secret))
    assert read(env)[1].client_secret == "from a file"


def test_everything_that_is_wrong_is_said_at_once(given: Given) -> None:
    text = problems(given(OIDC_PROVIDERS="partner"))
    for prefix, staff in (("OIDC_", "STAFF"), ("OIDC_PARTNER_", "OIDC_PARTNER_STAFF")):
        for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"):
            assert f"{prefix}{name} is required" in text
        assert f"{staff}_GROUPS is required" in text


@pytest.mark.parametrize(
    "names", ["oidc", "partner,partner", "Partner", "1st", "a/b", "-", "partner,ö"]
)
def test_names_that_will_not_do(given: Given, names: str) -> None:
    env = given(**FIRST, **PARTNER | {"OIDC_PROVIDERS": names})
    assert "OIDC_PROVIDERS must" in problems(env)


def test_two_providers_of_one_issuer_are_refused(given: Given) -> None:
    env = given(**FIRST, **PARTNER | {"OIDC_PARTNER_ISSUER": FIRST["OIDC_ISSUER"]})
    assert "OIDC_PARTNER_ISSUER is another provider's" in problems(env)


@pytest.mark.parametrize("algorithms", ["none", "HS256", "RS256,HS256", "rs256"])
def test_algorithm_with_a_shared_key_or_none_is_refused(
    given: Given, algorithms: str
) -> None:
    text = problems(given(**FIRST, OIDC_ALGORITHMS=algorithms))
    assert "OIDC_ALGORITHMS must be among" in text


@pytest.mark.parametrize("domain", ["@example.com", "*.example.com", "localhost"])
def test_domain_is_a_whole_one(given: Given, domain: str) -> None:
    assert "STAFF_DOMAINS must" in problems(given(**FIRST, STAFF_DOMAINS=domain))


def test_domains_are_an_alternative_to_groups(given: Given) -> None:
    names = {k: v for k, v in FIRST.items() if not k.endswith("GROUPS")}
    (only,) = read(given(**names, STAFF_DOMAINS="Example.com, example.org"))
    assert only.staff_domains == {"example.com", "example.org"}
    assert not only.needs_groups


@pytest.mark.parametrize("kind", ["STAFF", "ADMIN", "OPERATOR", "AUDITOR"])
def test_groups_claim_is_needed_as_soon_as_any_group_counts(
    given: Given, kind: str
) -> None:
    names = {k: v for k, v in FIRST.items() if not k.endswith("GROUPS")}
    env = given(**names, STAFF_DOMAINS="example.com", **{f"{kind}_GROUPS": "x"})
    assert read(env)[0].needs_groups


def test_groups_as_a_string_are_a_setting_of_each_provider(given: Given) -> None:
    names = {
        "OIDC_PARTNER_GROUPS_STRING": "true",
        "OIDC_PARTNER_GROUPS_SEPARATOR": " ; ",
    }
    first, second = read(given(**FIRST, **PARTNER, **names))
    assert (first.groups_string, first.groups_separator) == (False, "")
    assert (second.groups_string, second.groups_separator) == (True, ";")


def test_separator_without_strings_is_refused(given: Given) -> None:
    text = problems(given(**FIRST, OIDC_GROUPS_SEPARATOR=";"))
    assert "OIDC_GROUPS_SEPARATOR needs OIDC_GROUPS_STRING=true" in text


def test_file_of_authorities_must_be_there(given: Given) -> None:
    text = problems(given(**FIRST, OIDC_CA_FILE="/nowhere/ca.pem"))
    assert "OIDC_CA_FILE is no file" in text


# A key in place of the secret ---------------------------------------------------------

WITHOUT_SECRET = {k: v for k, v in FIRST.items() if k != "OIDC_CLIENT_SECRET"}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key.pem"
    file.write_text(pem(CURVE))
    return file


def test_key_comes_from_a_file_and_needs_no_secret(
    given: Given, key_file: Path
) -> None:
    names = {"OIDC_CLIENT_KEY_FILE": str(key_file), "OIDC_CLIENT_KEY_ID": "k1"}
    (only,) = read(given(**WITHOUT_SECRET, **names))
    assert only.client_secret == ""
    assert only.client_key is not None
    assert (only.client_key.algorithm, only.client_key.key_id) == ("ES256", "k1")


def test_each_provider_has_its_own_key(given: Given, key_file: Path) -> None:
    names = {k: v for k, v in PARTNER.items() if k != "OIDC_PARTNER_CLIENT_SECRET"}
    names["OIDC_PARTNER_CLIENT_KEY_FILE"] = str(key_file)
    first, second = read(given(**FIRST, **names))
    assert first.client_key is None
    assert second.client_key is not None


def test_key_and_secret_together_are_refused(given: Given, key_file: Path) -> None:
    found = problems(given(**FIRST, OIDC_CLIENT_KEY_FILE=str(key_file)))
    assert "OIDC_CLIENT_SECRET must not be given beside OIDC_CLIENT_KEY" in found


def test_key_that_cannot_be_read_is_said(given: Given, tmp_path: Path) -> None:
    names = {"OIDC_CLIENT_KEY_FILE": str(tmp_path / "absent.pem")}
    found = problems(given(**WITHOUT_SECRET, **names))
    assert "OIDC_CLIENT_KEY cannot be read" in found


def test_key_of_the_wrong_kind_is_said(given: Given) -> None:
    found = problems(given(**WITHOUT_SECRET, OIDC_CLIENT_KEY="ssh-ed25519 AAAA"))
    assert "OIDC_CLIENT_KEY is no private key in PEM" in found
