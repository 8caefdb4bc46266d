"""Between sign-ins the provider is asked again whether a person is still who they were.

One session at a time, by whoever gets the turn; the others do not wait. What comes of
it is one of three things, and which one is decided by who said what:

* The provider says so: the profile is written into every session of the person, and
  their rights are set, up or down.
* The provider says no (`invalid_grant`; somebody else; no longer staff; no word about
  groups): the session ends.
* The provider says nothing we could believe (away, slow, an error, garbage, a signature
  that is none): the session goes on as it is, and is asked about again, ever less
  often. Its limits stand, so an outage lengthens nothing.

A refresh token that came in answer is kept before anything else is done with the
answer. If the session has ended meanwhile there is no place for it, and it is given
back.
"""

from __future__ import annotations

import logging
import time
from enum import StrEnum
from typing import Any

from django.db import DatabaseError
from social_core.exceptions import (
    AuthCredentialError,
    AuthResponseError,
    SocialAuthBaseException,
)
from social_django.utils import load_backend, load_strategy

from accounts import audit, profile, suspension
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.sessions import amend, clock, live
from accounts.sessions.errors import SessionStoreError, TooLarge
from accounts.sessions.record import Record
from accounts.sso import pipeline, providers, refresh, refresh_token, sign_in, standing
from accounts.sso.backend import StaffOpenIdConnect
from accounts.sso.errors import Kind, SignInRefused
from accounts.sso.refresh_token import RefreshToken

log = logging.getLogger(__name__)

# Four requests of at most five seconds each, and as long again for what we do with
# the answers: nobody else may use a token while somebody may still be using it.
TURN_SECONDS = 60
FIRST_RETRY_SECONDS = 60
# A store that is away for a moment must not cost a token that can be had only once.
PAUSES_TO_KEEP = (0.2, 0.5, 1.0, 2.0, 4.0)
# What an ID token must say again; the lack of any other claim contradicts nothing.
IDENTIFYING = frozenset({"iss", "sub", "aud", "azp", "nonce"})


class Result(StrEnum):
    NOT_DUE = "not-due"
    BUSY = "busy"
    GONE = "gone"
    RENEWED = "renewed"
    ENDED = "ended"
    POSTPONED = "postponed"


def renew(session_id: str) -> Result:
    """Asks the provider about one session, if that is due and nobody else does.

    Raises SessionStoreError when the store does not answer, and then nothing was asked
    or the session goes on as it was.
    """
    with amend.turn(session_id, TURN_SECONDS) as is_ours:
        if not is_ours:
            return Result.BUSY
        record = amend.read(session_id)
        held = RefreshToken.of(record.data) if record else None
        if record is None:
            return Result.GONE
        if held is None or held.due > clock.now():
            return Result.NOT_DUE
        provider = providers.named(record.data[sign_in.SESSION_KEY]["provider"])
        if provider is None:
            # Not yet, perhaps: another process has the new configuration already.
            return Result.POSTPONED
        if not provider.renew_seconds:
            amend.amend(session_id, _setting(refresh_token.SESSION_KEY, None))
            return Result.NOT_DUE
        result = _Renewal(record, held, provider.name).run()
    log.info("session_%s session_id=%s", result, session_id)
    return result


class _Renewal:
    def __init__(self, record: Record, held: RefreshToken, provider: str) -> None:
        self.record, self.held = record, held
        self.first_token: str = record.data[sign_in.SESSION_KEY]["id_token"]
        self.backend: StaffOpenIdConnect = load_backend(load_strategy(), provider, None)

    def run(self) -> Result:
        try:
            self._refuse_suspended()
            answer = refresh.ask(self.backend, self.held.value)
            if not self._keep(answer):
                return Result.GONE
            return self._learn(answer)
        except SocialAuthBaseException as error:
            if _is_a_no(error):
                return self._end(_reason(error))
            return self._postpone(error.code)
        except DatabaseError as error:
            return self._postpone(type(error).__name__)
        except TooLarge:
            # A profile that no record can hold: nobody could sign in with it.
            return self._end("too large to keep")

    def _keep(self, answer: dict[str, Any]) -> bool:
        """Whether the session is still there to have the new token."""
        due = clock.now() + self.backend.provider.renew_seconds
        self.held = self.held.succeeded_by(answer, due)
        if self._amend(refresh_token.SESSION_KEY, self.held.to_session(), patient=True):
            return True
        # At some providers a token stands for all that one sign-in there gave, and the
        # person may have moved to another key of ours a moment ago.
        if not self._others():
            refresh.revoke(self.backend, self.held.value)
        return False

    def _learn(self, answer: dict[str, Any]) -> Result:
        before = refresh.check(self.backend, answer, self.first_token)
        said = self.backend.user_data(self.backend.get_access_token(answer))
        key = self.backend.setting("GROUPS_KEY")
        if "id_token" not in answer and key in before and key not in said:
            # Where groups came from the ID token, and none has come: nothing was said.
            log.warning("renewal_said_nothing session_id=%s", self.record.id)
            return Result.RENEWED
        found = pipeline.read_profile(
            self.backend, said, self.backend.get_user_groups(said)
        )
        now: StaffProfile = found["profile"]
        pipeline.admit_staff(self.backend, now, found["said"])
        if not User.objects.filter(identity=User.identity_of(now.issuer, now.sub)):
            return self._end("account deleted")
        self._apply(now)
        # Whoever was suspended while the provider was asked is not renewed.
        self._refuse_suspended()
        return Result.RENEWED

    def _refuse_suspended(self) -> None:
        """Ends all the person has open, should they be suspended.

        Raises SignInRefused then, DatabaseError and SessionStoreError.
        """
        person: dict[str, Any] = self.record.data[profile.SESSION_KEY]
        issuer, sub = person["issuer"], person["sub"]
        if suspension.current(issuer, sub, person.get("email", "")):
            live.end_subject(issuer, sub, by="system", reason="suspended")
            raise SignInRefused(self.backend, Kind.SUSPENDED, person["username"])

    def _apply(self, now: StaffProfile) -> None:
        before = StaffProfile.from_session(self.record.data)
        if before != now:
            self._amend(profile.SESSION_KEY, now.to_session())
            # It is about the person, so what else they have open hears of it, too.
            for session_id in self._others():
                amend.amend(session_id, _setting(profile.SESSION_KEY, now.to_session()))
            self._record_change(before, now)
        user, _ = User.objects.enter(now)
        standing.hold(user, now, keep=self.record.id)

    def _record_change(self, before: StaffProfile | None, now: StaffProfile) -> None:
        had = set(before.groups) if before else set()
        audit.record(
            audit.Event.RENEWED,
            actor="provider",
            subject=now.username,
            session_id=self.record.id,
            details={
                "groups_won": sorted(set(now.groups) - had),
                "groups_lost": sorted(had - set(now.groups)),
            },
        )

    def _end(self, reason: str) -> Result:
        live.end(
            [self.record.id],
            by="provider",
            reason=reason,
            event=audit.Event.RENEWAL_REFUSED,
        )
        return Result.ENDED

    def _postpone(self, because: str) -> Result:
        log.warning("renewal_failed session_id=%s why=%s", self.record.id, because)
        usual = self.backend.provider.renew_seconds
        wait = min(FIRST_RETRY_SECONDS * 2 ** min(self.held.failures, 16), usual)
        self.held = self.held.failed(clock.now() + wait)
        self._amend(refresh_token.SESSION_KEY, self.held.to_session(), patient=True)
        return Result.POSTPONED

    def _others(self) -> list[str]:
        person = self.record.data[profile.SESSION_KEY]
        found = live.of_person(person["issuer"], person["sub"])
        return [each.id for each in found if each.id != self.record.id]

    def _amend(self, key: str, value: Any, patient: bool = False) -> bool:
        """Whether the session is still there."""
        for pause in PAUSES_TO_KEEP if patient else ():
            try:
                return amend.amend(self.record.id, _setting(key, value)) is not None
            except SessionStoreError:
                time.sleep(pause)
        return amend.amend(self.record.id, _setting(key, value)) is not None


def _setting(key: str, value: Any) -> Any:
    return lambda data: {**data, key: value}


def _reason(error: SocialAuthBaseException) -> str:
    if isinstance(error, SignInRefused):
        return error.kind
    return f"{error.code} {error.claim or ''}".strip()


def _is_a_no(error: SocialAuthBaseException) -> bool:
    """Whether this is the provider's word, and not the lack of one."""
    if isinstance(error, SignInRefused):
        return True
    if isinstance(error, AuthCredentialError):
        return error.code == "reauthentication_required"
    if not isinstance(error, AuthResponseError):
        return False
    about_groups = error.backend is not None and (
        error.claim in {error.backend.setting("GROUPS_KEY"), "_claim_names"}
    )
    contradicts = error.claim in IDENTIFYING or (
        error.claim is None and error.stage == "user_info"
    )
    return about_groups or (error.code == "invalid_claim" and contradicts)
