"""The sign-ins of one browser that have started and are not finished.

Starting one takes no password: anybody can do it a thousand times a second, from as
many addresses as they like. So the site keeps nothing of it, neither in the store nor
in SQL. The browser keeps it, in a cookie that is sealed as a session is: state, nonce,
PKCE verifier, and where to go afterwards.

A sealed cookie can be sent again, and what it stands for must work once. Each state is
used up in the store by the first response that brings it, and forgotten when it is too
old anyway; of all states together only the newest MAX_USED_STATES are kept, so that
nobody can fill the store with them. Who had more of them forgotten could have the
provider asked about a code once more, which it takes once as well. When the provider
has vouched for somebody, a note says that all sign-ins of this cookie are over: only
who can sign in there can cause one.
"""

from __future__ import annotations

import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, MutableMapping
from typing import Any, Self

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts import keys
from accounts.sessions import clock, seal
from accounts.sessions.connections import answering, client
from accounts.sessions.middleware import sole_cookie
from accounts.sessions.questions import answers
from accounts.sessions.seal import NotSealed

# Browsers take 4096 for the name, the value and what stands between.
MAX_CHARACTERS = 3800
FORM = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{1,3800})")
# Longer than any of these sign-ins may take, also by another host's clock.
USED_SECONDS = settings.SESSION_SIGN_IN_SECONDS + 60
# About two megabytes, and more than come back within that time.
MAX_USED_STATES = 20_000
_ATTRIBUTE = "pending_sign_ins"


class PendingSignIns(MutableMapping[str, Any]):
    """What social-auth keeps of the sign-ins of one browser, by its names for it.

    `reference` names the cookie and not the browser: the next cookie has another one.
    """

    def __init__(self, reference: str, data: dict[str, Any]) -> None:
        self.reference = reference
        self.is_modified = False
        self._data = data

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        """Those of the browser that sent this request; the same object each time."""
        found: Self | None = getattr(request, _ATTRIBUTE, None)
        if found is None:
            found = cls._read(sole_cookie(request, settings.SIGN_IN_COOKIE_NAME) or "")
            setattr(request, _ATTRIBUTE, found)
        return found

    @classmethod
    def _read(cls, cookie: str) -> Self:
        found = _opened(cookie)
        if found is not None and any(map(_is_in_time, found.values())):
            return cls(cookie[:32], found)
        return cls(secrets.token_hex(16), {})

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._data[name] = value
        self.is_modified = True

    def __delitem__(self, name: str) -> None:
        del self._data[name]
        self.is_modified = True

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def finish(self) -> bool:
        """Ends all of them, since one has led to a person; False if they were ended.

        Of two responses of the provider that arrive together, exactly one gets True.
        Raises StoreUnavailable.
        """
        name = keys.finished_sign_ins(self.reference)
        with answering():
            pipeline = client().pipeline(transaction=False)
            pipeline.set(name, b"", nx=True, ex=USED_SECONDS)
            (is_first,) = answers(pipeline)
        self._data.clear()
        self.is_modified = True
        return bool(is_first)

    def to_cookie(self) -> str:
        """The value for the browser, without the oldest where it would not take all;
        empty when no sign-in is under way."""
        oldest_first = sorted(
            (name for name, value in self._data.items() if _started(value)),
            key=lambda name: _started(self._data[name]),
        )
        if not oldest_first:
            return ""
        # The newest stays; without its place to return to, if that cannot be helped.
        for name in (*oldest_first[:-1], "next"):
            if len(value := self._sealed()) <= MAX_CHARACTERS:
                return value
            self._data.pop(name, None)
        return self._sealed()

    def _sealed(self) -> str:
        text = json.dumps(self._data, ensure_ascii=False, separators=(",", ":"))
        sealed = seal.seal(_name_of(self.reference), text.encode())
        # A cookie with an equals sign in it would stand in quotation marks.
        return f"{self.reference}.{urlsafe_b64encode(sealed).decode().rstrip('=')}"


def use_state(state: str) -> bool:
    """Whether this state is used for the first time; it is not any more.

    Of two responses that bring the same one, exactly one gets True: a provider may take
    back what it gave for a code when the code comes again (RFC 6749, 4.1.2), so the
    second must not get there. Raises StoreUnavailable.
    """
    now = clock.now()
    with answering():
        pipeline = client().pipeline(transaction=False)
        pipeline.zadd(
            keys.USED_STATES, {keys.state(state): clock.milliseconds(now)}, nx=True
        )
        too_old = clock.milliseconds(now - USED_SECONDS)
        pipeline.zremrangebyscore(keys.USED_STATES, "-inf", too_old)
        pipeline.zremrangebyrank(keys.USED_STATES, 0, -MAX_USED_STATES - 1)
        pipeline.expire(keys.USED_STATES, USED_SECONDS)
        is_new, *_ = answers(pipeline)
    return bool(is_new)


def keep(request: HttpRequest, response: HttpResponseBase) -> None:
    """Gives the browser what has changed."""
    pending: PendingSignIns | None = getattr(request, _ATTRIBUTE, None)
    # After an outage of ours the same response of the provider may be brought again.
    if pending is None or not pending.is_modified or response.status_code == 503:
        return
    value = pending.to_cookie()
    if not value and settings.SIGN_IN_COOKIE_NAME not in request.COOKIES:
        return
    response.set_cookie(
        settings.SIGN_IN_COOKIE_NAME,
        value,
        max_age=settings.SESSION_SIGN_IN_SECONDS if value else 0,
        path="/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        # The provider sends the browser back from another site.
        samesite="Lax",
    )


def _opened(cookie: str) -> dict[str, Any] | None:
    parts = FORM.fullmatch(cookie)
    if parts is None:
        return None
    try:
        sealed = urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4))
        found = json.loads(seal.unseal(_name_of(parts[1]), sealed))
    except (NotSealed, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _name_of(reference: str) -> str:
    # No name of the store's: what is sealed for the one does not open as the other.
    return f"sign-in:{reference}"


def _started(value: object) -> float:
    """When a sign-in started, in seconds; 0 for what is none."""
    return float(value.get("begun", 0)) if isinstance(value, dict) else 0.0


def _is_in_time(value: object) -> bool:
    return clock.now() - _started(value) <= settings.SESSION_SIGN_IN_SECONDS
