from __future__ import annotations

from dataclasses import replace

from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.profile import StaffProfile
from accounts.request import StaffRequest
from accounts.sessions import live
from backoffice.proxy.routes import current_routes

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
                "path": reverse("proxy", args=[f"{route.name}/"]),
                "methods": [name for name in METHODS if name in route.methods],
            }
            for route in current_routes().routes_for(profile)
        ],
        "session": live.LiveSession.of(record, request.session.last_used, current=True),
    }
    return render(request, "pages/home.html", context)


@require_safe
def sessions(request: StaffRequest) -> HttpResponseBase:
    """My own sessions, this one marked."""
    profile = StaffProfile.from_session(request.session)
    if profile is None:
        return redirect("sign-in")
    current = request.session.session_id
    found = [
        replace(session, current=session.id == current)
        for session in live.of_person(profile.issuer, profile.sub)
    ]
    return render(request, "pages/sessions.html", {"sessions": found})
