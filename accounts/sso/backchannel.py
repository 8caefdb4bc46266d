"""Where the provider tells us that somebody has signed out.

OpenID Connect Back-Channel Logout 1.0. The caller is a server: no cookie, no CSRF
token, no session, and nothing but the token to show who it is. Every refusal looks the
same from outside; why is in the log.

A logout must not be lost because of us. It is first a row in the ledger, so that it
takes effect even when the store is away at this moment, although the answer is then the
standard's 400: nobody may be told that a session is over which cannot be looked at.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from social_core.exceptions import SocialAuthBaseException
from social_django.utils import load_backend, load_strategy

from accounts import audit, keys
from accounts.models import User
from accounts.sessions import clock, index, live, noteworthy
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import SessionStoreError
from accounts.sso import keyset, logout_token, providers, replay
from accounts.sso.keyset import Key, Source
from accounts.sso.logout_token import FindKeys, LogoutToken, Refused, Rules, is_name
from accounts.sso.providers import Provider

log = logging.getLogger(__name__)

PARAMETER = "logout_token"
FORM_TYPE = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 2 * logout_token.MAX_CHARACTERS
BY = "provider"


@cache_control(no_store=True)
@require_POST
@csrf_exempt  # the signature in the token is the proof of where it comes from
@login_not_required
def backchannel_logout(request: HttpRequest) -> HttpResponse:
    """200 when nothing of what the token names is live any more, else 400."""
    try:
        token = _proved(_only_token(request))
        _carry_out(token)
    except Refused as refused:
        about = _about(refused.claims)
        log.warning("logout_refused because=%s %s", refused.because, about)
        noteworthy.refused_logout(refused.because, about)
        return JsonResponse({"error": "invalid_request"}, status=400)
    return HttpResponse(status=200)


def _only_token(request: HttpRequest) -> str:
    if request.content_type != FORM_TYPE:
        raise Refused("the body is not a form")
    # A body of unannounced length is empty by the time it gets here.
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        raise Refused("the body is too long")
    try:
        found = request.POST.getlist(PARAMETER)
    except (BadRequest, SuspiciousOperation) as error:
        raise Refused("the form cannot be read") from error
    if len(found) != 1:
        raise Refused("there is not exactly one token")
    return found[0]


def _proved(text: str) -> LogoutToken:
    # Whose token it is stands in the token; that it is theirs, `verify` finds out, by
    # the keys and the rules of that provider alone.
    provider = providers.of_issuer(logout_token.claimed_issuer(text))
    if provider is None:
        raise Refused("iss is none of our providers")
    rules = Rules(
        issuer=provider.issuer,
        client_id=provider.client_id,
        algorithms=frozenset(provider.algorithms),
        accepts_plain_typ=provider.logout_accepts_plain_typ,
        accepts_no_exp=provider.logout_accepts_no_exp,
    )
    # The host's clock and not the limits' own: that one never goes back, not even when
    # the host's was wrong, and then every true token would be too old.
    return logout_token.verify(text, rules, _keys_of(provider), time.time())


def _carry_out(token: LogoutToken) -> None:
    about = {"iss": token.issuer, "jti": token.jti, "sid": token.sid}
    try:
        is_new = replay.take(token)
    except SessionStoreError:
        # Whether it is new cannot be known. To end what may have been ended before is
        # the smaller harm than to lose a logout.
        is_new = True
    if not is_new:
        raise Refused("the token was used before", about)
    try:
        outcome = _end(token)
    except SessionStoreError as error:
        log.error("logout_lost cause=%s %s", error.cause, _about(about))
        raise Refused("neither store nor ledger could be told", about) from error
    _record(token, outcome)
    if outcome.pending:
        raise Refused("the store is away; the kill is in the ledger", about)
    log.info("logout_accepted ended=%d %s", len(outcome.ended), _about(about))
    try:
        replay.use_up(token)
    except SessionStoreError:
        log.warning("logout_token_not_used_up %s", _about(about))


def _end(token: LogoutToken) -> live.Outcome:
    """What the token names, and nothing else (2.7).

    Also when nothing of it is live: the sign-in that it is about may be under way, and
    what is written now is found by whoever is just writing that session.
    """
    reason, event = _reason(token), audit.Event.LOGGED_OUT_BY_PROVIDER
    if token.sid is None:
        return live.end_subject(
            token.issuer, token.sub or "", by=BY, reason=reason, event=event
        )
    both, others = _listed(token) if token.sub else (set(), set())
    if others:
        # One session of the provider with two people in it: end those that were named.
        log.warning("logout_names_two_people others=%d", len(others))
        return live.end(sorted(both), by=BY, reason=reason, event=event)
    return live.end_origin(token.issuer, token.sid, by=BY, reason=reason)


def _listed(token: LogoutToken) -> tuple[set[str], set[str]]:
    """The sessions of this sid that are of this sub, and those that are not."""
    of_sid = keys.origins(token.issuer, token.sid or "")
    of_sub = keys.people(token.issuer, token.sub or "")
    try:
        with answering():
            here = set(index.listed(client(), of_sid, clock.now()))
            theirs = set(index.listed(client(), of_sub, clock.now()))
    except SessionStoreError:
        # Nobody can tell now. The provider has signed that this sid has ended.
        return set(), set()
    return here & theirs, here - theirs


def _record(token: LogoutToken, outcome: live.Outcome) -> None:
    """Enters a logout that ended nothing yet; what was ended has entries of its own."""
    if outcome.ended:
        return
    try:
        identity = User.identity_of(token.issuer, token.sub or "")
        user = User.objects.filter(identity=identity).first()
        audit.record(
            audit.Event.LOGGED_OUT_BY_PROVIDER,
            actor=BY,
            subject=user.username if user else "",
            reason=_reason(token),
            details={"ended": 0, "pending": outcome.pending},
        )
    except DatabaseError as error:
        log.error("audit_not_written error=%s", type(error).__name__)


def _reason(token: LogoutToken) -> str:
    about = {"iss": token.issuer, "jti": token.jti, "sid": token.sid}
    return f"back-channel logout, {_about(about)}"


def _about(claims: Mapping[str, Any]) -> str:
    """Which token and which session, by names that tell only us which they are."""
    issuer, jti, sid = str(claims.get("iss")), claims.get("jti"), claims.get("sid")
    token = keys.logout_token(issuer, str(jti)) if is_name(jti) else "-"
    origin = keys.origin(issuer, str(sid)) if is_name(sid) else "-"
    return f"jti={token.rpartition(':')[2]} sid={origin.rpartition(':')[2]}"


def _keys_of(provider: Provider) -> FindKeys:
    backend = load_backend(load_strategy(), provider.name, None)

    def published(kid: str | None) -> Iterator[Key]:
        try:
            yield from keyset.candidates(backend, kid, Source.LOGOUT)
        except SocialAuthBaseException as error:
            log.warning("keys_not_known code=%s", error.code)

    return published
