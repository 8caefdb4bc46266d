"""One session, live or not: who, from where, and everything that happened in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from accounts import audit, ended, history, keys
from accounts.audit import Event
from accounts.desk.ending import MAY_END
from accounts.desk.suspending import Standing
from accounts.history import Moment
from accounts.profile import StaffProfile
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sessions.live import LiveSession

BEGINNINGS = (Event.SIGNED_IN, Event.STEPPED_UP)


def show(request: HttpRequest, page: dict[str, Any], session_id: str) -> HttpResponse:
    """The page of a session. 404 for what is neither live nor in the audit."""
    if not keys.is_session_id(session_id):
        raise Http404
    session = live.find(session_id)
    timeline = history.of_session(session_id)
    if session is None and not timeline:
        raise Http404
    cut_off = None if session else _cut_off(timeline)
    may_have_expired = cut_off is not None and _may_have_expired(cut_off, timeline)
    if cut_off:
        timeline = sorted([cut_off, *timeline], key=lambda each: each.at, reverse=True)
    profile = session.profile if session else _profile_then(session_id)
    own = cast("StaffRequest", request).session.session_id
    context = {
        **page,
        "title": _("Session"),
        "session_id": session_id,
        "session": session and replace(session, current=session_id == own),
        "profile": profile,
        "person": profile and Standing.of(request, profile),
        "end": next((each for each in timeline if each.is_end), None),
        "may_have_expired": may_have_expired,
        "timeline": timeline,
        "sessions": _others(profile, session_id, own),
        "same_person": _query_of(profile),
        "may_end": request.user.has_perm(MAY_END),
        "may_read_audit": request.user.has_perm("accounts.view_auditentry"),
    }
    return render(request, "admin/accounts/livesession/session.html", context)


def _cut_off(timeline: list[Moment]) -> Moment | None:
    """The end of everyone, which has one entry for all, where it ended this session."""
    began = [each.at for each in timeline if each.event in BEGINNINGS]
    if not began or any(each.is_end for each in timeline):
        return None
    entry = ended.cut_off_after(min(began))
    return replace(Moment.of(entry), is_end=True) if entry else None


def _may_have_expired(cut_off: Moment, timeline: list[Moment]) -> bool:
    """Whether nothing on record says that it was used within the idle limit."""
    idle = timedelta(seconds=settings.SESSION_IDLE_SECONDS)
    return all(each.at < cut_off.at - idle for each in timeline)


def _profile_then(session_id: str) -> StaffProfile | None:
    """The profile as it was at the sign-in, which the audit keeps."""
    entries = history.entries_of_session(session_id)
    entry = entries.filter(event=audit.Event.SIGNED_IN).last()
    return StaffProfile.from_session(entry.details) if entry else None


def _others(
    profile: StaffProfile | None, session_id: str, own: str | None
) -> list[LiveSession]:
    if profile is None:
        return []
    return [
        replace(each, current=each.id == own)
        for each in live.of_person(profile.issuer, profile.sub)
        if each.id != session_id
    ]


def _query_of(profile: StaffProfile | None) -> str:
    if profile is None:
        return ""
    return urlencode({"sub": profile.sub, "issuer": profile.issuer})
