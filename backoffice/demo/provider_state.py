"""What the development identity provider remembers.

Sessions, keys and refresh tokens can be kept in a file, so that a demo started again
tomorrow still knows the sessions the site knows. Codes and access tokens live and die
with the process.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from backoffice.demo.messages import Request
from backoffice.demo.private_file import write_private
from backoffice.demo.provider_faults import Fault, Faults
from backoffice.demo.provider_keys import KeyRing, SigningKey
from backoffice.demo.staff import DemoPerson

CODE_SECONDS = 60
ACCESS_SECONDS = 600
PENDING_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Client:
    """A site that may send people here."""

    client_id: str
    secret: str = field(repr=False)
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Client:
        """Raises TypeError for a key that is unknown or missing."""
        client = cls(**data)
        return replace(
            client,
            redirect_uris=tuple(client.redirect_uris),
            post_logout_redirect_uris=tuple(client.post_logout_redirect_uris),
        )


@dataclass(slots=True)
class ProviderSession:
    """One person signed in at the provider in one browser."""

    sid: str
    sub: str
    browser: str
    auth_time: int
    clients: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one sign-in gave one client: the ground of every token made from it."""

    client_id: str
    sid: str
    sub: str
    auth_time: int
    scope: tuple[str, ...]
    nonce: str = ""
    acr: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    expires: float


@dataclass(frozen=True, slots=True)
class AccessToken:
    grant: Grant
    expires: float


@dataclass(slots=True)
class RefreshToken:
    grant: Grant
    is_used: bool = False

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RefreshToken:
        """Raises KeyError or TypeError for a key that is unknown or missing."""
        grant = {**data["grant"], "scope": tuple(data["grant"]["scope"])}
        return cls(Grant(**grant), bool(data["is_used"]))


@dataclass(frozen=True, slots=True)
class Pending:
    """A form shown to one browser: its secret makes the answer ours."""

    browser: str
    parameters: dict[str, str]
    expires: float


class ProviderState:
    """Everything the endpoints share; each method is one atomic step."""

    def __init__(
        self,
        staff: Iterable[DemoPerson],
        clients: Iterable[Client],
        memory: Path | None,
    ) -> None:
        self.issuer = ""
        self.staff = {person.sub: person for person in staff}
        self.clients = {client.client_id: client for client in clients}
        self.faults = Faults()
        self.requests: deque[Request] = deque(maxlen=1000)
        self.sessions: dict[str, ProviderSession] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self.keys = KeyRing() if memory is None else KeyRing(self._recall(memory))
        self._memory = memory
        self._codes: dict[str, Code] = {}
        self._spent_codes: dict[str, str] = {}
        self._access: dict[str, AccessToken] = {}
        self._pending: dict[str, Pending] = {}
        self._lock = threading.RLock()
        self.remember()

    def now(self) -> float:
        """The provider's clock, in seconds since the epoch, wrong by CLOCK_OFFSET."""
        offset = self.faults.look(Fault.CLOCK_OFFSET)
        return time.time() + (offset.seconds if offset else 0.0)

    # Forms

    def expect_answer(self, browser: str, parameters: dict[str, str]) -> str:
        """The hidden value of a form shown to this browser."""
        secret = secrets.token_urlsafe(24)
        with self._lock:
            now = time.time()
            self._pending = {
                key: each for key, each in self._pending.items() if each.expires > now
            }
            pending = Pending(browser, parameters, now + PENDING_SECONDS)
            self._pending[secret] = pending
        return secret

    def take_answer(self, browser: str, secret: str) -> dict[str, str] | None:
        """What the form was about; None unless this browser was shown it just now."""
        with self._lock:
            pending = self._pending.get(secret)
            if pending is None or not browser or pending.browser != browser:
                return None
            del self._pending[secret]
        return pending.parameters if pending.expires > time.time() else None

    # Sessions

    def session_of(self, browser: str) -> ProviderSession | None:
        with self._lock:
            found = (each for each in self.sessions.values() if each.browser == browser)
            return next(found, None) if browser else None

    def sign_in(self, sub: str, old_browser: str) -> ProviderSession:
        """Begin a session under a new cookie value, or renew the same person's."""
        with self._lock:
            session = self.session_of(old_browser)
            if session is None or session.sub != sub:
                session = ProviderSession(secrets.token_urlsafe(16), sub, "", 0)
            # A value planted before the sign-in must not be worth a session after it.
            session.browser = secrets.token_urlsafe(24)
            session.auth_time = int(self.now())
            self.sessions[session.sid] = session
            self.remember()
        return session

    def end_session(self, sid: str) -> ProviderSession | None:
        """Forget a session with every token made in it; None if there is none."""
        with self._lock:
            self._revoke(lambda grant: grant.sid == sid)
            session = self.sessions.pop(sid, None)
            self.remember()
        return session

    # Codes and tokens

    def issue_code(
        self, session: ProviderSession, grant: Grant, redirect_uri: str, challenge: str
    ) -> str:
        code = secrets.token_urlsafe(24)
        family = secrets.token_hex(8)
        with self._lock:
            if grant.client_id not in session.clients:
                session.clients.append(grant.client_id)
                self.remember()
            expires = time.time() + CODE_SECONDS
            self._codes[code] = Code(
                replace(grant, family=family), redirect_uri, challenge, expires
            )
        return code

    def take_code(self, code: str, client_id: str) -> Code | None:
        """The code's ground, once; a second attempt also undoes what the first gave."""
        with self._lock:
            # Two who hold one code means that one stole it (RFC 6749, 4.1.2).
            if family := self._spent_codes.get(code):
                self._revoke(lambda grant: grant.family == family)
                return None
            found = self._codes.get(code)
            if found is None or found.grant.client_id != client_id:
                return None
            del self._codes[code]
            self._spent_codes[code] = found.grant.family
        return found if found.expires > time.time() else None

    def issue_tokens(self, grant: Grant) -> tuple[str, str]:
        """An access token and a refresh token."""
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        with self._lock:
            self._access[access] = AccessToken(grant, time.time() + ACCESS_SECONDS)
            self._refresh[refresh] = RefreshToken(grant)
            self.remember()
        return access, refresh

    def take_refresh(self, token: str, client_id: str) -> Grant | None:
        """What the token stands for, once; a second use ends the whole family."""
        with self._lock:
            found = self._refresh.get(token)
            if found is None or found.grant.client_id != client_id:
                return None
            if found.is_used:
                family = found.grant.family
                self._revoke(lambda grant: grant.family == family)
                return None
            found.is_used = True
            self.remember()
        return found.grant

    def revoke_token(self, token: str, client_id: str) -> None:
        """Ends everything that was made from the code this refresh token came from."""
        with self._lock:
            found = self._refresh.get(token)
            if found is not None and found.grant.client_id == client_id:
                family = found.grant.family
                self._revoke(lambda grant: grant.family == family)

    def knows_refresh(self, token: str) -> bool:
        """Whether this refresh token would be taken, without taking it."""
        with self._lock:
            found = self._refresh.get(token)
        return found is not None and not found.is_used

    def access_grant(self, token: str) -> Grant | None:
        with self._lock:
            found = self._access.get(token)
        return found.grant if found and found.expires > time.time() else None

    def _revoke(self, is_meant: Callable[[Grant], bool]) -> None:
        self._access = {k: t for k, t in self._access.items() if not is_meant(t.grant)}
        self._refresh = {
            k: t for k, t in self._refresh.items() if not is_meant(t.grant)
        }
        self._codes = {k: c for k, c in self._codes.items() if not is_meant(c.grant)}

    # The file

    def remember(self) -> None:
        """Write sessions, keys and refresh tokens to the file, if there is one."""
        if self._memory is None:
            return
        with self._lock:
            data = {
                "keys": {key.kid: key.to_pem() for key in self.keys.keys},
                "sessions": [asdict(each) for each in self.sessions.values()],
                "refresh": {key: asdict(each) for key, each in self._refresh.items()},
            }
            write_private(self._memory, json.dumps(data))

    def _recall(self, memory: Path) -> list[SigningKey]:
        try:
            data = json.loads(memory.read_text(encoding="utf-8"))
            sessions = [ProviderSession(**each) for each in data["sessions"]]
            keys = [SigningKey.from_pem(kid, pem) for kid, pem in data["keys"].items()]
            tokens = {k: RefreshToken.from_json(t) for k, t in data["refresh"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # First start, or a file nobody can use: a demo begins afresh.
            return []
        self.sessions = {each.sid: each for each in sessions if each.sub in self.staff}
        known = self.sessions
        self._refresh = {k: t for k, t in tokens.items() if t.grant.sid in known}
        return keys
