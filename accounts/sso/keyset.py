"""The keys with which the provider signs, ID tokens and logout tokens alike.

The token says which key it was signed with, and whoever forges one says what they
like: a name is only ever looked up among the keys that the provider publishes, and
`jku`, `x5u` and `jwk` in a header are not read at all (RFC 8725, 3.10).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import jwt
from social_core.exceptions import AuthResponseError

from accounts.sso.documents import Document, Renewals

Key = dict[str, Any]


class Source(StrEnum):
    """Where the token comes from whose key is looked for.

    A logout token can be sent by anybody. An ID token came from the provider itself, in
    exchange for a code, so the attempts for those are not used up by the others.
    """

    SIGN_IN = "sign-in"
    LOGOUT = "logout"


# Each provider's own, also where two publish them at one address.
Address = tuple[str, str]
_documents: dict[Address, Document[list[Key]]] = {}
_renewals: dict[tuple[Address, Source], Renewals] = {}


def find(backend: Any, kid: str | None, source: Source) -> list[Key]:
    """The keys of this name, all of them for None; asks the provider for a new name.

    Within the bounds of documents.Renewals, whoever makes us ask. Raises
    AuthProviderError or AuthResponseError when the provider cannot tell.
    """
    document = _document(backend)
    found = _named(kid, document.get(backend.get_remote_jwks_keys))
    return found or find_again(backend, kid, source)


def candidates(backend: Any, kid: str | None, source: Source) -> Iterator[Key]:
    """The keys to try: those found first and then, if need be, those of now."""
    tried = find(backend, kid, source)
    yield from tried
    # Some providers use a name twice.
    again = find_again(backend, kid, source)
    yield from (key for key in again if key not in tried)


def find_again(backend: Any, kid: str | None, source: Source) -> list[Key]:
    """The same, asked anew: for when none of the keys found was the right one.

    Empty when that is not allowed now. Who comes while another one asks for the same
    name waits for what is found: after a change of keys many people come at once.
    """
    document, renewals = _document(backend), _renewals_of(backend, source)
    if renewals.take(kid):
        return _named(kid, document.renew(backend.get_remote_jwks_keys))
    return _named(kid, document.settled() or []) if renewals.is_taken(kid) else []


def find_signer(backend: Any, token: str) -> Key | None:
    """The key that signed this token, with the `alg` used; None when there is none.

    Raises jwt.PyJWTError for what is no token, and what `find` raises.
    """
    header = jwt.get_unverified_header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    # `none` and HS256 are not on the list: a published key is no shared secret.
    if algorithm not in backend.setting("JWT_ALGORITHMS", []):
        return None
    for key in candidates(backend, kid, Source.SIGN_IN):
        candidate = {**key, "alg": algorithm}
        if key.get("alg", algorithm) == algorithm and _has_signed(candidate, token):
            return candidate
    return None


def forget() -> None:
    """Starts anew, as a new process does."""
    _documents.clear()
    _renewals.clear()


def read(published: Any, backend: Any) -> list[Key]:
    """The keys of a JWK Set (RFC 7517, 5), those that we cannot use left out.

    One of tomorrow's kind must not cost today's sign-in. Raises AuthResponseError
    when it is no JWK Set at all.
    """
    keys = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(keys, list):
        raise AuthResponseError(
            backend, code="malformed_response", stage="token_validation"
        )
    return [key for key in keys if isinstance(key, dict) and _is_usable(key)]


def _document(backend: Any) -> Document[list[Key]]:
    return _documents.setdefault(_address(backend), Document("jwks"))


def _renewals_of(backend: Any, source: Source) -> Renewals:
    return _renewals.setdefault((_address(backend), source), Renewals())


def _address(backend: Any) -> Address:
    return backend.provider.issuer, backend.jwks_uri()


def _named(kid: str | None, keys: list[Key]) -> list[Key]:
    # A key that was published without a name may be the one that is meant.
    return [key for key in keys if kid is None or key.get("kid") in {kid, None}]


def _has_signed(key: Key, token: str) -> bool:
    try:
        algorithm = key["alg"]
        jwt.PyJWS().decode_complete(token, jwt.PyJWK(key), algorithms=[algorithm])
    except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.PyJWKError):
        return False
    return True


def _is_usable(key: Key) -> bool:
    try:
        is_meant = "verify" in key.get("key_ops", ["verify"])
        parsed = jwt.PyJWK(key)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return False
    # An RSA key of less than 2048 bits is refused (RFC 7518, 3.3).
    is_weak = parsed.Algorithm.check_key_length(parsed.key)
    is_public = key.get("kty") != "oct" and key.get("use", "sig") == "sig"
    return is_meant and is_public and not is_weak
