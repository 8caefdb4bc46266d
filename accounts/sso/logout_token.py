"""What a logout token must be (OpenID Connect Back-Channel Logout 1.0, section 2.6).

Anybody can post anything to the door where these arrive, and what is accepted there
signs people out. Two things must not happen. A forged token must not be accepted: the
algorithm is one of ours and never the token's own choice, and the key is one that the
provider publishes. And a true token made for another purpose must not pass for a
logout (RFC 8725, 2.8): the `typ`, the event and the absence of a nonce tell it from an
ID token, which is signed with the same key for the same audience.

A ladder of small steps, each with its own sentence for the log. What costs nothing
is asked first; the signature comes last, so that a key is looked for, and the provider
perhaps asked for it, only for a token that would be accepted otherwise.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import jwt

from accounts.sso import signature
from accounts.sso.signature import Key

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TYPE = "logout+jwt"
MAX_CHARACTERS = 8192
# How old a token may be, and by how much the two clocks may differ, in seconds.
MAX_AGE_SECONDS = 120
LEEWAY_SECONDS = 60
MAX_NAME = 255
FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

FindKeys = Callable[[str | None], Iterable[Key]]


class Refused(Exception):
    """Not a logout for us. `because` is for the log and never for the sender.

    `claims` is what the token said about itself, not proved by anything.
    """

    def __init__(self, because: str, claims: Mapping[str, Any] | None = None) -> None:
        super().__init__(because)
        self.because = because
        self.claims: Mapping[str, Any] = claims or {}


@dataclass(frozen=True, slots=True)
class Rules:
    """Whose tokens are accepted, for whom; and which senders' habits are put up with.

    `accepts_plain_typ`: a `typ` that is missing or `JWT`. `accepts_no_exp`: no `exp`;
    the age limit bounds such a token alone.
    """

    issuer: str
    client_id: str
    algorithms: frozenset[str]
    accepts_plain_typ: bool = False
    accepts_no_exp: bool = False


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A proved one. At least one of `sub` and `sid` is there."""

    issuer: str
    jti: str
    sub: str | None
    sid: str | None


@dataclass(frozen=True, slots=True)
class _Unproved:
    text: str
    header: dict[str, Any]
    claims: dict[str, Any]
    now: float


def verify(token: str, rules: Rules, find_keys: FindKeys, now: float) -> LogoutToken:
    """The logout that this token orders; raises Refused, and nothing else.

    `find_keys` gives the provider's public keys (JWK) for a `kid`; all of them for
    None. `now` is in seconds since the epoch, by the host's clock.
    """
    given = _parsed(token, now)
    try:
        for step in _STEPS:
            step(given, rules)
        _check_signature(given, find_keys)
    except Refused as refused:
        refused.claims = given.claims
        raise
    claims = given.claims
    return LogoutToken(
        claims["iss"], claims["jti"], claims.get("sub"), claims.get("sid")
    )


def claimed_issuer(token: str) -> object:
    """Whose token this claims to be: nothing is proved. Raises Refused for no token."""
    return _parsed(token, 0).claims.get("iss")


def is_name(value: object) -> bool:
    """Whether this can be the name of something: printable text of a sane length.

    Half a surrogate pair cannot be encoded and a NUL cannot be stored; the one would
    end in an exception, the other does in some databases.
    """
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _parsed(token: str, now: float) -> _Unproved:
    if len(token) > MAX_CHARACTERS:
        raise Refused("the token is too long")
    if not FORM.fullmatch(token):
        raise Refused("the token is not a signed JWT")
    try:
        parts = jwt.PyJWS().decode_complete(token, options={"verify_signature": False})
        claims = json.loads(parts["payload"])
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        raise Refused("the token cannot be read") from error
    if not isinstance(claims, dict):
        raise Refused("the claims are not an object")
    return _Unproved(token, parts["header"], claims, now)


def _check_algorithm(given: _Unproved, rules: Rules) -> None:
    algorithm = given.header.get("alg")
    is_allowed = isinstance(algorithm, str) and algorithm in rules.algorithms
    if not is_allowed or not signature.is_asymmetric(str(algorithm)):
        raise Refused("the algorithm is not one of those accepted for ID tokens")


def _check_type(given: _Unproved, rules: Rules) -> None:
    said = given.header.get("typ", "JWT")
    text = said.lower() if isinstance(said, str) else ""
    media_type = text.removeprefix("application/")
    if media_type == TYPE:
        return
    if media_type != "jwt":
        raise Refused("typ says that it is another kind of token")
    if not rules.accepts_plain_typ:
        raise Refused(f"typ is not {TYPE}; see OIDC_LOGOUT_ACCEPTS_PLAIN_TYP")


def _check_issuer(given: _Unproved, rules: Rules) -> None:
    if given.claims.get("iss") != rules.issuer:
        raise Refused("iss is not our provider")


def _check_audience(given: _Unproved, rules: Rules) -> None:
    said = given.claims.get("aud")
    audience = said if isinstance(said, list) else [said]
    if rules.client_id not in audience:
        raise Refused("aud does not name us")


def _check_age(given: _Unproved, rules: Rules) -> None:
    issued = given.claims.get("iat")
    if not _is_moment(issued):
        raise Refused("iat is missing or no moment")
    if issued < given.now - MAX_AGE_SECONDS - LEEWAY_SECONDS:
        raise Refused("iat is too long ago")
    if issued > given.now + LEEWAY_SECONDS:
        raise Refused("iat is in the future")


def _check_expiry(given: _Unproved, rules: Rules) -> None:
    if "exp" not in given.claims:
        if not rules.accepts_no_exp:
            raise Refused("exp is missing; see OIDC_LOGOUT_ACCEPTS_NO_EXP")
    elif not _is_moment(expires := given.claims["exp"]):
        raise Refused("exp is no moment")
    elif expires <= given.now - LEEWAY_SECONDS:
        raise Refused("exp is over")


def _check_event(given: _Unproved, rules: Rules) -> None:
    events = given.claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise Refused("events does not hold a logout")


def _check_nonce(given: _Unproved, rules: Rules) -> None:
    # Every ID token that we have asked for carries one, and no logout token may.
    if "nonce" in given.claims:
        raise Refused("nonce is there, as in an ID token")


def _check_names(given: _Unproved, rules: Rules) -> None:
    said = [given.claims[name] for name in ("sub", "sid") if name in given.claims]
    if not said:
        raise Refused("neither sub nor sid is there")
    if not all(is_name(value) for value in said):
        raise Refused("sub or sid is no name")


def _check_identity(given: _Unproved, rules: Rules) -> None:
    if not is_name(given.claims.get("jti")):
        raise Refused("jti is missing or no name")


_STEPS = (
    _check_algorithm,
    _check_type,
    _check_issuer,
    _check_audience,
    _check_age,
    _check_expiry,
    _check_event,
    _check_nonce,
    _check_names,
    _check_identity,
)


def _check_signature(given: _Unproved, find_keys: FindKeys) -> None:
    # A kid that is no string never gets here: it cannot be read.
    keys = find_keys(given.header.get("kid"))
    try:
        signature.check(given.text, given.header["alg"], keys)
    except signature.Wrong as error:
        raise Refused(str(error)) from error


def _is_moment(value: object) -> TypeGuard[float]:
    # JSON as Python reads it has true, NaN and infinity among its numbers.
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
