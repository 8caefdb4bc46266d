"""How this site talks to one provider: to whom, as which client, and how carefully."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import requests
from django.conf import settings
from social_core.backends.open_id_connect import OpenIdConnectAuth
from social_core.exceptions import AuthResponseError
from social_core.utils import http_error

from accounts.sso import discovery, fetch, keyset
from accounts.sso.providers import GOOGLE, Provider

AGENT = "Backoffice"
JSON = "application/json"
KEY_SET = f"application/jwk-set+json, {JSON}"


def library_settings(provider: Provider) -> dict[str, Any]:
    """What social-auth asks of each provider, by its names for it."""
    return {
        "OIDC_ENDPOINT": provider.issuer.rstrip("/"),
        "ID_TOKEN_ISSUER": provider.issuer,
        "KEY": provider.client_id,
        "SECRET": provider.client_secret,
        "SCOPE": _scopes(provider),
        "GROUPS_KEY": provider.groups_claim,
        "GROUPS_MISSING_AS_EMPTY": not provider.needs_groups,
        "JWT_ALGORITHMS": list(provider.algorithms),
        "MAX_AGE": provider.max_age,
        "ACR_VALUES": " ".join(provider.acr_values) or None,
    }


def _scopes(provider: Provider) -> list[str]:
    # A refresh token that nobody would use is not asked for.
    unused = set() if provider.renew_seconds else {"offline_access"}
    return [scope for scope in provider.scopes if scope not in unused]


class Conversation(OpenIdConnectAuth[Any]):
    """What every request to a provider has in common."""

    DEFAULT_USE_PKCE = True

    def __init__(
        self,
        strategy: Any = None,
        redirect_uri: str | None = None,
        provider: Provider | None = None,
    ) -> None:
        super().__init__(strategy, redirect_uri=redirect_uri)
        # Django makes one by itself, of no provider, to ask it who a user is.
        self.provider = provider or settings.PROVIDERS[0]
        self.name = self.provider.name
        self._of_provider = library_settings(self.provider)

    def setting(self, name: str, default: Any = None) -> Any:
        if name in self._of_provider:
            return self._of_provider[name]
        return super().setting(name, default)

    def authenticate(self, *args: Any, **kwargs: Any) -> Any:
        """Django asks an instance of its own; the pipeline is the given one's."""
        given = kwargs.get("backend")
        if not isinstance(given, Conversation):
            return None
        return given.run_authentication(*args, **kwargs)

    def request(
        self,
        url: str,
        *,
        method: Any = "GET",
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        auth: Any = None,
        params: Any = None,
        timeout: Any = None,
        stage: Any = "user_info",
    ) -> requests.Response:
        """Every request to the provider and to PROFILE_URL; fetch says how.

        `timeout` is not for the caller to choose. Raises AuthProviderError,
        AuthResponseError or, for an address that is no good, AuthConfigurationError.
        """
        asked = requests.Request(
            method,
            url,
            headers={"User-Agent": AGENT, "Accept": JSON, **(headers or {})},
            data=data,
            json=json,
            auth=auth,
            params=params,
        )
        verify, proxy = self.provider.ca_file or True, self.provider.proxy
        proxies = {"http": proxy, "https": proxy} if proxy else None
        try:
            answer = fetch.fetch(asked, verify=verify, proxies=proxies)
            answer.raise_for_status()
        except requests.HTTPError as error:
            raise self._refused(error, stage) from None
        except requests.RequestException as error:
            raise fetch.failure(self, error, stage) from None
        return answer

    def _refused(self, error: requests.HTTPError, stage: Any) -> Exception:
        try:
            return http_error(self, error, stage=stage)
        except RecursionError:
            return AuthResponseError(self, code="malformed_response", stage=stage)

    def get_json(self, url: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_json(url, *args, **kwargs)
        except RecursionError:
            # A megabyte of opening brackets.
            stage = kwargs.get("stage", "user_info")
            raise AuthResponseError(
                self, code="malformed_response", stage=stage
            ) from None

    def oidc_config(self) -> dict[str, Any]:
        return discovery.configuration(self, self.oidc_config_url())

    def end_session_endpoint(self) -> str | None:
        """Where the provider ends its own session, if it says so."""
        endpoint = self.oidc_config().get("end_session_endpoint")
        return endpoint if isinstance(endpoint, str) else None

    def prompt_for_another(self) -> str:
        """The `prompt` that lets somebody pick another account (Core 3.1.2.1).

        Every provider knows `login`. Where people can choose they should, but providers
        are known that refuse a value they have not announced; Google announces none.
        """
        announced = self.oidc_config().get("prompt_values_supported")
        can_choose = isinstance(announced, list) and "select_account" in announced
        is_known = can_choose or self.provider.issuer == GOOGLE
        return "select_account" if is_known else "login"

    def get_remote_jwks_keys(self, uri: str | None = None) -> list[keyset.Key]:
        published = self.get_json(
            uri or self.jwks_uri(),
            headers={"Accept": KEY_SET},
            stage="token_validation",
        )
        return keyset.read(published, self)

    # Client authentication -----------------------------------------------

    def use_basic_auth(self) -> bool:
        return not self.provider.client_key and super().use_basic_auth()

    def auth_complete_params(self, state: str | None = None) -> dict[str, Any]:
        params: dict[str, Any] = super().auth_complete_params(state)
        if self.provider.client_key is None:
            return params
        del params["client_secret"]
        return params | self.in_the_form()

    def in_the_form(self) -> dict[str, str]:
        """What says in a posted form who we are, where no header does."""
        of, key = self.provider, self.provider.client_key
        if key is None:
            return {"client_id": of.client_id, "client_secret": of.client_secret}
        proof = key.proof(of.client_id, of.client_audience or of.issuer)
        return {"client_id": of.client_id, **proof}

    def auth_complete_credentials(self) -> Any:
        credentials = super().auth_complete_credentials()
        # Form-encoded before they are joined (RFC 6749, 2.3.1): a secret with a colon,
        # a percent sign or a letter beyond Latin-1 in it would be another one.
        return credentials and tuple(quote_plus(part) for part in credentials)
