from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any


class Fault(StrEnum):
    """Everything the provider can be told to do wrong."""

    # in the ID token
    NONCE_WRONG = "nonce-wrong"
    NONCE_MISSING = "nonce-missing"
    ISS_WRONG = "iss-wrong"
    AUD_WRONG = "aud-wrong"
    AUD_EXTRA = "aud-extra"
    SUB_MISSING = "sub-missing"
    SID_MISSING = "sid-missing"
    IAT_MISSING = "iat-missing"
    EXPIRED = "expired"
    AUTH_TIME_ZERO = "auth-time-zero"
    AUTH_TIME_OLD = "auth-time-old"
    AUTH_TIME_MISSING = "auth-time-missing"
    AT_HASH_WRONG = "at-hash-wrong"
    # in its signature
    KEY_WRONG = "key-wrong"
    KEY_UNKNOWN = "key-unknown"
    ALG_NONE = "alg-none"
    ALG_HS256 = "alg-hs256"
    # in UserInfo; the group faults also in the ID token when it has groups
    USERINFO_SUB_WRONG = "userinfo-sub-wrong"
    USERINFO_SUB_MISSING = "userinfo-sub-missing"
    GROUPS_MISSING = "groups-missing"
    GROUPS_NULL = "groups-null"
    GROUPS_TEXT = "groups-text"
    GROUPS_OVERAGE = "groups-overage"
    # in the published documents
    DISCOVERY_ISSUER_WRONG = "discovery-issuer-wrong"
    JWKS_UNPARSEABLE = "jwks-unparseable"
    JWKS_EMPTY = "jwks-empty"
    # in the conversation
    REAUTHENTICATION_IGNORED = "reauthentication-ignored"
    RESPONSE_ISS_WRONG = "response-iss-wrong"
    RESPONSE_ISS_MISSING = "response-iss-missing"
    RESPONSE_STATE_WRONG = "response-state-wrong"
    REFRESH_REFUSED = "refresh-refused"
    CLOCK_OFFSET = "clock-offset"  # seconds, may be negative
    # of one endpoint, or of all when none is named
    LATE = "late"  # seconds before the answer begins
    DRIP = "drip"  # seconds over which the body drips
    STATUS_500 = "status-500"
    HTML = "html"
    REDIRECT = "redirect"  # 307 to location
    HUGE = "huge"  # valid, after 32 MiB of white space


class Endpoint(StrEnum):
    """The names by which a fault can be tied to one endpoint."""

    DISCOVERY = "discovery"
    JWKS = "jwks"
    AUTHORIZE = "authorize"
    TOKEN = "token"  # noqa: S105 - the endpoint's name
    USERINFO = "userinfo"
    END_SESSION = "end_session"
    REVOKE = "revoke"


Changes = Mapping[str, Any]
LONG_AGO = 1_000_000_000  # seconds since the epoch: September 2001


class Absent(Enum):
    """The value of a claim that is to be left out, where null would still be sent."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

# What each fault does to the claims.
ID_TOKEN_FAULTS: Mapping[Fault, Changes] = {
    Fault.NONCE_WRONG: {"nonce": "not-the-nonce-that-was-sent"},
    Fault.NONCE_MISSING: {"nonce": ABSENT},
    Fault.ISS_WRONG: {"iss": "https://elsewhere.example"},
    Fault.AUD_WRONG: {"aud": "another-client"},
    Fault.SUB_MISSING: {"sub": ABSENT},
    Fault.SID_MISSING: {"sid": ABSENT},
    Fault.IAT_MISSING: {"iat": ABSENT},
    Fault.EXPIRED: {"exp": LONG_AGO},
    Fault.AUTH_TIME_ZERO: {"auth_time": 0},
    Fault.AUTH_TIME_OLD: {"auth_time": LONG_AGO},
    Fault.AUTH_TIME_MISSING: {"auth_time": ABSENT},
    Fault.AT_HASH_WRONG: {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}
USERINFO_FAULTS: Mapping[Fault, Changes] = {
    Fault.USERINFO_SUB_WRONG: {"sub": "someone-else"},
    Fault.USERINFO_SUB_MISSING: {"sub": ABSENT},
}
GROUP_FAULTS: Mapping[Fault, Changes] = {
    Fault.GROUPS_MISSING: {"groups": ABSENT},
    Fault.GROUPS_NULL: {"groups": None},
    Fault.GROUPS_TEXT: {"groups": "staff"},
    # How Entra says "too many to list here".
    Fault.GROUPS_OVERAGE: {
        "groups": ABSENT,
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://graph.example/groups"}},
    },
}


@dataclass(frozen=True, slots=True)
class FaultSetting:
    """How one fault is switched on."""

    fault: Fault
    endpoint: Endpoint | None = None
    seconds: float = 0.0
    location: str = ""
    once: bool = False


class Faults:
    """The faults now switched on; safe to use from any thread."""

    def __init__(self) -> None:
        self._settings: list[FaultSetting] = []
        self._lock = threading.Lock()

    def add(
        self,
        fault: str,
        *,
        endpoint: str | None = None,
        seconds: float = 0.0,
        location: str = "",
        once: bool = False,
    ) -> None:
        """Switch a fault on, until removed or for `once`.

        Raises ValueError for a name that is no fault or no endpoint.
        """
        place = None if endpoint is None else Endpoint(endpoint)
        setting = FaultSetting(Fault(fault), place, float(seconds), location, once)
        with self._lock:
            self._settings.append(setting)

    def remove(self, fault: str) -> None:
        with self._lock:
            self._settings = [each for each in self._settings if each.fault != fault]

    def clear(self) -> None:
        with self._lock:
            self._settings = []

    def settings(self) -> list[FaultSetting]:
        with self._lock:
            return list(self._settings)

    def look(
        self, fault: Fault, endpoint: Endpoint | None = None
    ) -> FaultSetting | None:
        """The setting of this fault here, left as it is."""
        with self._lock:
            return self._find(fault, endpoint)

    def take(
        self, fault: Fault, endpoint: Endpoint | None = None
    ) -> FaultSetting | None:
        """The same, and a one-shot fault is used up."""
        with self._lock:
            found = self._find(fault, endpoint)
            if found is not None and found.once:
                self._settings.remove(found)
            return found

    def _find(self, fault: Fault, endpoint: Endpoint | None) -> FaultSetting | None:
        places = {None, endpoint}
        return next(
            (
                each
                for each in self._settings
                if each.fault is fault and each.endpoint in places
            ),
            None,
        )


def changed(claims: Changes, changes: Changes) -> dict[str, Any]:
    """A copy with these claims set, or left out where the new value is ABSENT."""
    merged = {**claims, **changes}
    return {name: value for name, value in merged.items() if value is not ABSENT}


def spoiled(claims: Changes, faults: Faults, table: Mapping[Fault, Changes]) -> Changes:
    """The claims after every fault of the table that is switched on."""
    for fault, changes in table.items():
        if faults.take(fault):
            claims = changed(claims, changes)
    return claims
