"""`private_key_jwt` as a certified provider, and not we, understands it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.accounts.sso.test_client_key import pem
from tests.journeys.site import Site, running_site
from tests.provider.conftest import Provider
from tests.provider.test_journeys import STAFF, is_signed_in
from tests.waiting import wait_until

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[Site]:
    changes = {"OIDC_CLIENT_SECRET": "", "OIDC_CLIENT_KEY": pem(KEY)}
    folder = tmp_path_factory.mktemp("site")
    changes |= {"OIDC_ISSUER": issuer, "OIDC_SCOPES": "groups"}
    with running_site(folder, **changes) as running:
        yield running


@pytest.fixture(scope="module")
def _provider(site: Site, issuer: str) -> Iterator[Provider]:
    public = json.dumps(ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True))
    log: Path = site.folder / "provider.log"
    provider = Provider(issuer, site.url, log, client_key=public)
    yield provider
    provider.stop()


def test_code_is_redeemed_with_a_signature(site: Site, provider: Provider) -> None:
    browser = site.browser()
    browser.sign_in(STAFF)
    assert is_signed_in(browser)
    assert provider.events("grant.success")[-1]["by"] == "body"
    assert not provider.events("grant.error")


def test_token_is_given_back_with_a_signature(site: Site, provider: Provider) -> None:
    browser = site.browser()
    browser.submit(browser.sign_in(STAFF), "/sign-out/")
    assert wait_until(lambda: bool(provider.events("revocation")))
    assert not provider.events("revocation.error")
