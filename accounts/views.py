from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST, require_safe
from social_core.actions import do_complete
from social_core.exceptions import AuthResponseError, AuthSessionError
from social_django.utils import psa

from accounts import audit, devices, ended
from accounts.browser import Browser
from accounts.database_away import works_without_database
from accounts.limit import LimitReached
from accounts.models import User
from accounts.profile import StaffProfile
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sessions.errors import TooLarge
from accounts.sessions.middleware import read_cookie
from accounts.sessions.store import SessionStore
from accounts.sso import logout, renewal_queue, step_up
from accounts.sso.destination import own_path
from accounts.sso.errors import Kind, SignInRefused
from accounts.sso.pending import PendingSignIns
from accounts.suspension import Suspended

# On the way to the last page: the provider could not be told.
ALONE = "here-only"


@require_safe
@never_cache
@login_not_required
def sign_in(request: StaffRequest) -> HttpResponseBase:
    """The page where sign-in starts. Makes no session and asks nobody anything."""
    target = own_path(request.GET.get(REDIRECT_FIELD_NAME), reverse("home"))
    if request.user.is_authenticated:
        return HttpResponseRedirect(target)
    context = {
        "next": target,
        "providers": settings.PROVIDERS,
        **_story(request),
    }
    return render(request, "accounts/sign_in.html", context)


def _story(request: StaffRequest) -> dict[str, Any]:
    """What became of the session whose cookie this browser still has."""
    brought = settings.SESSION_COOKIE_NAME in request.COOKIES
    if not brought or request.session.record is not None:
        return {}
    session_key = read_cookie(request)
    return {"has_ended": True, "ended": session_key and ended.story_of(session_key)}


@require_GET
@never_cache
@csrf_exempt  # a cross-site GET by design; `state` is what binds it to this browser
@login_not_required
@psa("social:complete")
def complete(request: StaffRequest, backend: str) -> HttpResponseBase:
    """The provider sends the browser back here.

    `user` is withheld from the library: to it, a person who is signed in already
    would be linking a second identity to the first account, without a new session.
    """
    try:
        answer: HttpResponseBase = do_complete(
            request.backend,  # type: ignore[attr-defined]
            _begin,
            user=None,
            redirect_name=REDIRECT_FIELD_NAME,
            request=request,
        )
    except _AnotherTabWasFirst:
        # Its session's cookie may be here already, so this answer leaves that alone.
        request.session = SessionStore()
        return redirect("home")
    if stepped_up_to := getattr(request, "stepped_up_to", ""):
        return HttpResponseRedirect(stepped_up_to)
    return answer


class _AnotherTabWasFirst(Exception):
    """Another response has used up what this browser kept, or ended its session."""


def _begin(backend: Any, user: User, social_user: Any) -> None:
    """Ends whatever session this browser had and begins another one."""
    request = backend.strategy.request
    previous = request.session.record
    if step_up.is_confirmed_by(backend, previous, user):
        _confirm(backend, user)
        return
    if not _is_first(request):
        raise _AnotherTabWasFirst
    request.session.flush()
    if previous and previous.person:
        _record_end(audit.Event.REPLACED, previous.id, previous.data)
    user.backend = "accounts.sso.backend.StaffOpenIdConnect"
    try:
        login(request, user)
    except UpdateError as error:
        # Ended while it was being made: a logout or a kill wins over the sign-in.
        _forget(request)
        raise AuthSessionError(backend, stage="pipeline") from error
    except TooLarge as error:
        _forget(request)
        raise _too_large(backend) from error
    except LimitReached as error:
        _forget(request)
        raise SignInRefused(backend, Kind.TOO_MANY, user.username) from error
    except Suspended as error:
        _forget(request)
        raise SignInRefused(backend, Kind.SUSPENDED, user.username) from error
    except DatabaseError:
        # The session may be written and not yet checked: the browser must not get it.
        _forget(request)
        raise


def _is_first(request: StaffRequest) -> bool:
    """Whether no other tab of this browser came back and began a session before.

    Of two that come back in the same moment one begins the new session. Two new ones
    would leave a live session that nobody has.
    """
    previous = request.session.record
    if previous is None or not previous.person:
        return PendingSignIns.of(request).finish()
    try:
        request.session.cycle_key()
    except UpdateError:
        return False
    return True


def _too_large(backend: Any) -> AuthResponseError:
    """Each part of the answer was in bounds, all of them together were not."""
    return AuthResponseError(backend, code="malformed_response", stage="pipeline")


def _forget(request: StaffRequest) -> None:
    request.session.flush()
    request.user = AnonymousUser()


def _confirm(backend: Any, user: User) -> None:
    request = backend.strategy.request
    try:
        step_up.confirm(request, user)
    except UpdateError as error:
        raise _AnotherTabWasFirst from error
    except TooLarge as error:
        _forget(request)
        raise _too_large(backend) from error
    except Suspended as error:
        _forget(request)
        raise SignInRefused(backend, Kind.SUSPENDED, user.username) from error
    except DatabaseError:
        _forget(request)
        raise
    request.stepped_up_to = backend.stepping_up_to


@works_without_database
@require_POST
@never_cache
@login_not_required
def sign_out(request: StaffRequest) -> HttpResponseBase:
    """Ends the session here first, then goes to end the provider's."""
    found = logout.sign_in_of(request)
    record = request.session.record
    request.session.flush()
    if record and record.person:
        _record_end(audit.Event.SIGNED_OUT, record.id, record.data)
        renewal_queue.give_back(record)
    address, state = logout.provider_sign_out(request, found) if found else ("", "")
    response = redirect(address or f"{reverse('signed-out')}?{ALONE}")
    if state:
        logout.remember_state(response, state)
    response["Clear-Site-Data"] = '"cache", "storage"'
    return response


@require_safe
@never_cache
@login_not_required
def signed_out(request: StaffRequest) -> HttpResponseBase:
    """The end of a sign-out. Changes nothing, whatever it is sent."""
    told = logout.came_back(request) or (False if ALONE in request.GET else None)
    response = render(
        request, "accounts/signed_out.html", {"provider_signed_out": told}
    )
    if told:
        response.delete_cookie(logout.STATE_COOKIE, path=reverse("signed-out"))
    return response


@works_without_database
@require_POST
def end_session(request: StaffRequest, session_id: str) -> HttpResponseBase:
    """Ends one of one's own sessions. Somebody else's is not found, not forbidden."""
    own = {session.id for session in _own_sessions(request)}
    if session_id in own and session_id != request.session.session_id:
        return _end_own(request, [session_id])
    messages.info(request, _("That session was already gone."))
    return redirect("sessions")


@works_without_database
@require_POST
def end_other_sessions(request: StaffRequest) -> HttpResponseBase:
    """Ends every session of one's own but this one."""
    current = request.session.session_id
    others = [s.id for s in _own_sessions(request) if s.id != current]
    return _end_own(request, others)


@require_POST
def confirm_device(request: StaffRequest, pk: int) -> HttpResponseBase:
    """Says that one knows the device that signed in."""
    if request.user.is_authenticated:
        devices.confirm(request.user, pk, _device_kinds(request))
    return redirect("sessions")


@works_without_database
@require_POST
def deny_device(request: StaffRequest, pk: int) -> HttpResponseBase:
    """Says that it was not oneself: ends what is open on that device."""
    if not request.user.is_authenticated:
        return redirect("sessions")
    signed = request.POST.get("signed", "")
    outcome = devices.deny(request.user, pk, _device_kinds(request), signed)
    if outcome is None:
        messages.info(request, _("That device has been answered for already."))
        return redirect("sessions")
    response = _tell_ended(request, outcome)
    if outcome.durable:
        messages.info(
            request,
            _("Your answer is on record for the security admins. Tell one of them."),
        )
    return response


def _device_kinds(request: StaffRequest) -> frozenset[str]:
    return devices.kinds_of(request.session, Browser.of(request))


def _own_sessions(request: StaffRequest) -> list[live.LiveSession]:
    profile = StaffProfile.from_session(request.session)
    return live.of_person(profile.issuer, profile.sub) if profile else []


def _end_own(request: StaffRequest, session_ids: list[str]) -> HttpResponseBase:
    profile = StaffProfile.from_session(request.session)
    name = profile.username if profile else ""
    outcome = live.end(session_ids, by=name, event=audit.Event.ENDED)
    return _tell_ended(request, outcome)


def _tell_ended(request: StaffRequest, outcome: live.Outcome) -> HttpResponseBase:
    """Back to the list; while SQL is away that cannot be shown, so a page says it."""
    number = len(outcome.ended)
    text = ngettext("%(n)d session ended.", "%(n)d sessions ended.", number)
    told = text % {"n": number}
    if not outcome.durable:
        context = {
            "told": told,
            "number": number,
            "reference": request.request_id,
        }
        page = render_to_string("accounts/ended_unrecorded.html", context)
        return HttpResponse(page)
    messages.success(request, told)
    if number:
        messages.info(
            request,
            _(
                "That browser may still be signed in at the company's sign-in "
                "provider: if it is not in your hands, tell a security admin."
            ),
        )
    return redirect("sessions")


def _record_end(event: audit.Event, session_id: str, data: dict[str, Any]) -> None:
    profile = StaffProfile.from_session(data)
    name = profile.username if profile else ""
    audit.record(event, actor=name, subject=name, session_id=session_id)
