from __future__ import annotations

from typing import Any

from django.conf import settings
from social_core.backends.open_id_connect import OpenIdConnectAuth
from social_core.exceptions import AuthResponseError

TOKEN_FIELDS = frozenset({"access_token", "id_token", "refresh_token"})


class StaffOpenIdConnect(OpenIdConnectAuth[Any]):
    """The company's OpenID provider: code flow, PKCE S256, exact issuer.

    Adds what the library leaves to its users: the discovery document must be the
    configured issuer's own (OpenID Connect Discovery 4.3), UserInfo must say whose it
    is (Core 5.3.2), an account belongs to issuer and subject together, and no token
    of the provider is left in the database.
    """

    name = "oidc"
    DEFAULT_USE_PKCE = True

    @property
    def started(self) -> int:
        """When this sign-in was sent to the provider, in whole seconds by our clock.

        Rounded up: whoever signs in within the second of a kill came after it.
        """
        transaction = self._oauth2_transaction or {}
        return int(transaction.get("timestamp", 0)) + 1

    def oidc_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().oidc_config()
        if config.get("issuer") != settings.OIDC_ISSUER:
            raise AuthResponseError(
                self, claim="issuer", code="invalid_claim", stage="begin"
            )
        return config

    def auth_complete(self, *args: Any, **kwargs: Any) -> Any:
        self.check_response_issuer()
        return super().auth_complete(*args, **kwargs)

    def check_response_issuer(self) -> None:
        """The answer must be our provider's and nobody else's (RFC 9207, 2.4)."""
        said = self.data.get("iss")
        key = "authorization_response_iss_parameter_supported"
        is_due = self.oidc_config().get(key) is True
        if said != settings.OIDC_ISSUER if said is not None else is_due:
            raise AuthResponseError(
                self, claim="iss", code="invalid_claim", stage="callback"
            )

    def end_session_endpoint(self) -> str | None:
        """Where the provider ends its own session, if it says so."""
        endpoint = self.oidc_config().get("end_session_endpoint")
        return endpoint if isinstance(endpoint, str) else None

    def company_profile(self, access_token: str) -> dict[str, Any]:
        """What the company's own profile API says of this person, by UserInfo's names.

        Called with the access token. Raises AuthProviderError when it is away and
        AuthResponseError when its answer is not an object about this very person.
        """
        subject = (self.id_token or {}).get("sub")
        found: Any = self.get_json(
            settings.PROFILE_URL, headers={"Authorization": f"Bearer {access_token}"}
        )
        is_this_person = isinstance(found, dict) and (
            found.get("sub", subject) == subject
        )
        if not is_this_person:
            raise AuthResponseError(
                self, claim="sub", code="invalid_claim", stage="user_info"
            )
        return {key: value for key, value in found.items() if key not in TOKEN_FIELDS}

    def validate_userinfo_sub(self, userinfo: Any) -> Any:
        if not isinstance(userinfo, dict) or not userinfo.get("sub"):
            raise AuthResponseError(
                self, claim="sub", code="missing_claim", stage="user_info"
            )
        return super().validate_userinfo_sub(userinfo)

    def do_auth(self, access_token: str, *args: Any, **kwargs: Any) -> Any:
        # The library merges UserInfo into the token answer, where a field named
        # id_token would take the real one's place. Keep what the provider signed.
        tokens = dict(kwargs.get("response") or {})
        return super().do_auth(access_token, *args, tokens=tokens, **kwargs)

    def get_user_id(self, details: Any, response: Any) -> str:
        return f"{settings.OIDC_ISSUER}#{super().get_user_id(details, response)}"

    def extra_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}
