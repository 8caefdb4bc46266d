from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts import devices, history
from accounts.browser import Browser
from accounts.profile import StaffProfile
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sso import sign_in
from backoffice.proxy.reload import current_routes

# In the order in which people think of them.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@require_safe
def home(request: StaffRequest) -> HttpResponseBase:
    """Who I am, what I can reach, when my session ends."""
    record = request.session.record
    profile = StaffProfile.from_session(request.session)
    if profile is None or record is None:
        return redirect("sign-in")
    context = {
        "profile": profile,
        "routes": [
            {
                "name": route.name,
                "path": reverse("proxy", args=[f"{route.prefix}/"]),
                "methods": [name for name in METHODS if name in route.methods],
            }
            for route in current_routes().routes_for(profile)
        ],
        "session": live.LiveSession.of(record, request.session.last_used, current=True),
        **_news(request),
    }
    return render(request, "pages/home.html", context)


@require_safe
def sessions(request: StaffRequest) -> HttpResponseBase:
    """My own sessions, this one marked, and how I have been signing in."""
    profile = StaffProfile.from_session(request.session)
    if profile is None:
        return redirect("sign-in")
    current = request.session.session_id
    found = [
        replace(session, current=session.id == current)
        for session in live.of_person(profile.issuer, profile.sub)
    ]
    context = {
        "sessions": found,
        **_news(request),
        "history": history.sign_ins_of(profile, _provider(request)),
        "at_most": settings.SESSIONS_PER_PERSON,
    }
    return render(request, "pages/sessions.html", context)


def _provider(request: StaffRequest) -> str:
    return str(request.session.get(sign_in.SESSION_KEY, {}).get("provider", ""))


def _news(request: StaffRequest) -> dict[str, Any]:
    """New devices that signed in as this person, and whether "yes" may be said here."""
    if not request.user.is_authenticated:
        return {}
    kinds = devices.kinds_of(request.session, Browser.of(request))
    news = list(devices.unanswered(request.user, kinds))
    if news and devices.settle_denials(request.user):
        news = list(devices.unanswered(request.user, kinds))
    return {
        "news": news,
        "may_confirm": bool(news) and devices.may_confirm(request.user, kinds),
    }
