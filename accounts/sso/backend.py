"""The company's OpenID provider: code flow, PKCE S256, and no more trust than needed.

Adds what the library leaves to its users, in the order in which a sign-in meets it:
the answer must be to a question of this browser (state) and from our provider
(RFC 9207); every request of ours goes through one narrow door (fetch); the ID token is
for us alone, fresh, and says what we asked it to say (OpenID Connect Core 3.1.3.7);
UserInfo says whose it is (5.3.2); an account belongs to issuer and subject together,
and no token of the provider is left in the database.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from django.conf import settings
from social_core.backends.open_id_connect import OpenIdConnectAuth
from social_core.exceptions import (
    AuthResponseError,
    AuthSessionError,
    SocialAuthBaseException,
)

from accounts.models import User
from accounts.sessions import clock
from accounts.sso import keyset
from accounts.sso.claims import is_moment, laid_over
from accounts.sso.logout_token import is_name
from accounts.sso.question import Question

TOKEN_FIELDS = frozenset({"access_token", "id_token", "refresh_token"})


class StaffOpenIdConnect(Question):
    """One sign-in through one provider; SiteStrategy makes it, by name."""

    # The way back ---------------------------------------------------------

    def auth_complete(self, *args: Any, **kwargs: Any) -> Any:
        # First of all, also before an error is believed: anybody can send a browser
        # here with one. It also uses the state up, whatever comes of the answer.
        self.validate_state()
        self.check_response_issuer()
        return super().auth_complete(*args, **kwargs)

    def validate_state(self) -> str | None:
        if self._oauth2_transaction is not None:
            return str(self._oauth2_transaction["state"])
        state = super().validate_state()
        self._check_age()
        return state

    def _check_age(self) -> None:
        # The library goes by the host's clock, which can be set back.
        asked = self._oauth2_transaction or {}
        if clock.now() - asked.get("begun", 0) > settings.SESSION_SIGN_IN_SECONDS:
            raise AuthSessionError(self, code="state_mismatch", stage="callback")

    def check_response_issuer(self) -> None:
        """The answer must be our provider's and nobody else's (RFC 9207, 2.4)."""
        said = self.data.get("iss")
        key = "authorization_response_iss_parameter_supported"
        is_due = self.oidc_config().get(key) is True
        if said != self.provider.issuer if said is not None else is_due:
            raise self._wrong("iss", stage="callback")

    # The ID token ---------------------------------------------------------

    def request_access_token(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        tokens = super().request_access_token(*args, **kwargs)
        # Another type of token is used in another way (RFC 6749, 7.1; Core 3.1.3.3).
        if str(tokens.get("token_type")).lower() != "bearer":
            raise self._wrong("token_type")
        return tokens

    def find_valid_key(self, id_token: str) -> keyset.Key | None:
        return keyset.find_signer(self, id_token)

    def validate_and_return_id_token(self, id_token: Any, access_token: Any) -> Any:
        with self._types_as_expected():
            return super().validate_and_return_id_token(id_token, access_token)

    def validate_and_return_refresh_id_token(
        self, id_token: Any, access_token: Any
    ) -> Any:
        with self._types_as_expected():
            return super().validate_and_return_refresh_id_token(id_token, access_token)

    @contextmanager
    def _types_as_expected(self) -> Iterator[None]:
        """Signed or not, what is in a token need not be of the type it should be."""
        try:
            yield
        except SocialAuthBaseException:
            raise
        except (ValueError, TypeError, ArithmeticError, RecursionError, jwt.PyJWTError):
            raise AuthResponseError(
                self, code="malformed_response", stage="token_validation"
            ) from None

    @staticmethod
    def calc_at_hash(access_token: str, algorithm: str, *args: Any) -> str:
        """By the hash of the signature; for Ed25519 that is SHA-512 (RFC 8032, 5.1)."""
        like = "RS512" if algorithm == "EdDSA" else algorithm
        return str(OpenIdConnectAuth.calc_at_hash(access_token, like))

    def validate_authorized_party(self, claims: Any, client_id: str) -> None:
        """For us, and for nobody else whom we do not know (Core 3.1.3.7, 3 to 5)."""
        super().validate_authorized_party(claims, client_id)
        trusted = {client_id, *self.provider.trusted_audiences}
        if not self.id_token_audiences(claims.get("aud")) <= trusted:
            raise self._wrong("aud")

    def validate_required_id_token_claims(self, claims: Any) -> None:
        super().validate_required_id_token_claims(claims)
        if not is_name(claims["sub"]):
            raise self._wrong("sub")
        if "sid" in claims and not is_name(claims["sid"]):
            raise self._wrong("sid")
        if not is_moment(claims["exp"]):
            raise self._wrong("exp")

    def validate_temporal_claims(self, id_token: Any) -> None:
        """Made just now, give or take the leeway; `exp` and `nbf` were checked with it.

        The token comes straight from the provider in answer to our question, so one
        that was made earlier was made for another, or by a clock that is wrong.
        """
        made = id_token.get("iat")
        if "iat" not in id_token:
            raise self._wrong("iat", code="missing_claim")
        if not is_moment(made):
            raise self._wrong("iat")
        if time.time() - made > settings.OIDC_LEEWAY_SECONDS:
            raise self._wrong("iat", code="response_expired")

    def validate_claims(self, id_token: Any) -> None:
        super().validate_claims(id_token)
        self.check_authentication(id_token)

    def check_authentication(self, claims: dict[str, Any]) -> None:
        """What we asked of the provider must have been done (Core 3.1.2.1).

        To ask is a wish; providers are known that ignore `max_age` or answer it with
        an `auth_time` of 0.
        """
        max_age = 0 if self.stepping_up_to else self.setting("MAX_AGE")
        if max_age is not None:
            moment = claims.get("auth_time")
            if moment is None:
                raise self._wrong("auth_time", code="missing_claim")
            leeway = settings.OIDC_LEEWAY_SECONDS
            earliest = self.started - max_age - leeway
            if not is_moment(moment) or not earliest <= moment <= time.time() + leeway:
                raise self._wrong("auth_time")
        wanted = self.setting("ACR_VALUES")
        if wanted and claims.get("acr") not in wanted.split():
            raise self._wrong("acr")

    # The profile ----------------------------------------------------------

    def do_auth(self, access_token: str, *args: Any, **kwargs: Any) -> Any:
        # The library merges UserInfo into the token answer, where a field named
        # id_token would take the real one's place. Keep what the provider signed.
        tokens = dict(kwargs.get("response") or {})
        return super().do_auth(access_token, *args, tokens=tokens, **kwargs)

    def user_data(self, access_token: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """UserInfo, and over it what the company's own profile API says.

        A provider without UserInfo has said all that it knows in the ID token.
        """
        if self.oidc_config().get("userinfo_endpoint") is None:
            found = dict(self.id_token or {})
        else:
            found = super().user_data(access_token, *args, **kwargs) or {}
        if not self.provider.profile_url:
            return found
        return laid_over(found, self.company_profile(access_token))

    def validate_userinfo_sub(self, userinfo: Any) -> Any:
        if not isinstance(userinfo, dict) or not userinfo.get("sub"):
            raise self._wrong("sub", code="missing_claim", stage="user_info")
        return super().validate_userinfo_sub(userinfo)

    def company_profile(self, access_token: str) -> dict[str, Any]:
        """What the company's own profile API says of this person, by UserInfo's names.

        Called with the access token. Raises AuthProviderError when it is away and
        AuthResponseError when its answer is not an object about this very person.
        """
        subject = (self.id_token or {}).get("sub")
        found: Any = self.get_json(
            self.provider.profile_url,
            headers={"Authorization": f"Bearer {access_token}"},
        )
        if not isinstance(found, dict):
            raise AuthResponseError(self, code="malformed_response", stage="user_info")
        if found.get("sub", subject) != subject:
            raise self._wrong("sub", stage="user_info")
        return {key: value for key, value in found.items() if key not in TOKEN_FIELDS}

    def get_user_groups(self, response: Any) -> list[str] | None:
        """The groups claim, of the ID token first; None when none is configured.

        Raises AuthResponseError unless it is a list of strings, or one string where
        this provider may send one.
        """
        signed = self.id_token
        self.id_token = self.provider.with_groups_as_list(signed or {})
        try:
            said = self.provider.with_groups_as_list(response)
            return super().get_user_groups(said)
        finally:
            self.id_token = signed

    # The account ----------------------------------------------------------

    def get_user_id(self, details: Any, response: Any) -> str:
        subject = super().get_user_id(details, response)
        return User.identity_of(self.provider.issuer, str(subject))

    def extra_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}

    def _wrong(
        self, claim: str, code: str = "invalid_claim", stage: Any = "token_validation"
    ) -> AuthResponseError:
        return AuthResponseError(self, claim=claim, code=code, stage=stage)
