"""A fresh sign-in before what is dangerous.

Whoever holds a stolen cookie is the person to us, but not to the provider. So before
the worst is done the provider is asked to have the person prove again who they are
(`prompt=login` and a short `max_age`, for this one transaction), and its `auth_time`
must say that it did. The session goes on under a new key: a copy of the old one, made
before, dies with it. Both its limits stay, see docs/decisions/.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from social_django.utils import psa

from accounts import audit, keys, profile, suspension
from accounts.browser import Browser
from accounts.models import User
from accounts.request import StaffRequest
from accounts.sessions import clock
from accounts.sessions.record import Record
from accounts.sso import sign_in
from accounts.sso.destination import own_path
from accounts.sso.errors import Kind

log = logging.getLogger(__name__)

# When the person was sent to the provider and has not come back with a fresh sign-in.
ATTEMPTS_KEY = "step_up_attempts"
# After so many within SESSION_SIGN_IN_SECONDS it is taken for a loop.
MAX_ATTEMPTS = 3


def is_fresh(request: HttpRequest) -> bool:
    """Whether the provider had this person prove who they are a moment ago.

    Within STEP_UP_SECONDS, by what the provider says and never by its silence. With 0
    nothing is asked of anybody.
    """
    if not settings.STEP_UP_SECONDS:
        return True
    proved = request.session.get(sign_in.SESSION_KEY, {}).get("authenticated_at")
    if proved is None:
        return False
    # One of the future was noted before the clock was set back, who knows how long ago.
    age = clock.now() - proved
    earliest, latest = -settings.OIDC_LEEWAY_SECONDS, settings.STEP_UP_SECONDS
    return bool(earliest <= age <= latest)


def demand(request: HttpRequest, back_to: str) -> HttpResponse:
    """The page that asks for a fresh sign-in, in place of what was asked for.

    From there it goes to the provider and back to `back_to`, one of our own paths.
    """
    return page(request, back_to, None, 403)


def page(
    request: HttpRequest, back_to: str, kind: Kind | None, status: int
) -> HttpResponse:
    """The same; `kind` says why an attempt has failed."""
    context = {
        "back_to": own_path(back_to),
        "kind": kind,
        "minutes": max(1, settings.STEP_UP_SECONDS // 60),
        "max_attempts": MAX_ATTEMPTS,
        "reference": getattr(request, "request_id", "") if kind else "",
    }
    response = render(request, "accounts/step_up.html", context, status=status)
    add_never_cache_headers(response)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def step_up(request: StaffRequest) -> HttpResponseBase:
    """The page by itself; its form sends the person to the provider they came from."""
    if request.method != "POST":
        return page(request, request.GET.get(REDIRECT_FIELD_NAME, ""), None, 200)
    provider = request.session.get(sign_in.SESSION_KEY, {}).get("provider", "")
    attempts = _attempts(request)
    if len(attempts) >= MAX_ATTEMPTS:
        # The person may know better, so the count starts again with their next attempt.
        del request.session[ATTEMPTS_KEY]
        log.warning("step_up_loop provider=%s attempts=%d", provider, len(attempts))
        back_to = request.POST.get(REDIRECT_FIELD_NAME, "")
        return page(request, back_to, Kind.STEP_UP_LOOP, 403)
    answer: HttpResponseBase = _begin(request, provider)
    request.session[ATTEMPTS_KEY] = [*attempts, clock.now()]
    return answer


def _attempts(request: HttpRequest) -> list[float]:
    """When this session was sent to the provider without a fresh sign-in so far.

    A provider that asks for the password for ever never sends the person back, so what
    is counted is how often they leave, not how often they are refused.
    """
    earliest = clock.now() - settings.SESSION_SIGN_IN_SECONDS
    return [each for each in request.session.get(ATTEMPTS_KEY, ()) if each > earliest]


@psa("social:complete")
def _begin(request: Any, provider: str) -> HttpResponseBase:
    backend = request.backend
    person = profile.StaffProfile.from_session(request.session)
    backend.back_to = own_path(request.POST.get(REDIRECT_FIELD_NAME), reverse("home"))
    backend.login_hint = person.username if person else ""
    answer: HttpResponseBase = backend.start()
    return answer


def leads_to(request: HttpRequest) -> str:
    """Where the step-up leads that this request is part of; "" when it is of none."""
    backend: Any = getattr(request, "backend", None)
    return str(
        getattr(backend, "back_to", "") or getattr(backend, "stepping_up_to", "")
    )


def is_confirmed_by(backend: Any, previous: Record | None, user: User) -> bool:
    """Whether it was a step-up, and the person came back who went."""
    if not backend.stepping_up_to or previous is None:
        return False
    person = profile.StaffProfile.from_session(previous.data)
    return person is not None and (
        (person.issuer, person.sub) == (user.issuer, user.sub)
    )


def confirm(request: StaffRequest, user: User) -> None:
    """Moves the session to a new key, with what the provider has just said.

    Raises django's UpdateError when it was ended meanwhile: a kill wins. Raises
    Suspended for a person who was suspended meanwhile; the caller ends the session.
    """
    found: sign_in.SignIn = user.sign_in  # type: ignore[attr-defined]
    browser = Browser.of(request).as_remembered()
    found = found.seen_from(browser.address, browser.agent)
    before = request.session.session_id
    request.session.renew(
        found.contents(),
        keys.origin(found.profile.issuer, found.sid) if found.sid else None,
    )
    # After the session was written, see accounts.suspension.
    suspension.check(found.profile)
    if is_fresh(request):
        request.session.pop(ATTEMPTS_KEY, None)
    audit.record(
        audit.Event.STEPPED_UP,
        actor=found.profile.username,
        subject=found.profile.username,
        session_id=request.session.session_id,
        address=browser.address or None,
        details={"before": before},
    )
