"""OpenID Connect Front-Channel Logout 1.0, for providers that know nothing better.

The provider's page loads this address in a frame of the person's browser. No cookie
comes with that request, so it is about whoever has the `sid` that it names, and anybody
who knows a `sid` can send it. All they can do with it is to sign that session out. Off
unless that provider's OIDC_FRONTCHANNEL_LOGOUT is on; the back channel needs no browser
and no luck.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_safe

from accounts import keys
from accounts.sessions import clock, index, live
from accounts.sessions.connections import answering, client
from accounts.sso.logout_token import is_name
from accounts.sso.providers import Provider

log = logging.getLogger(__name__)


@cache_control(no_store=True)
@require_safe
@xframe_options_exempt
@login_not_required
def frontchannel_logout(request: HttpRequest) -> HttpResponse:
    """Ends the sessions of (iss, sid); says 200 whether there were any or not."""
    if not any(each.frontchannel_logout for each in settings.PROVIDERS):
        raise Http404
    provider, sid = _sender(request), request.GET.get("sid", "")
    if provider is None or not is_name(sid):
        log.warning("frontchannel_logout_refused")
        return HttpResponse(status=400)
    # Only what is live is worth a row in the ledger: strangers must not fill it.
    if _is_live(provider.issuer, sid):
        outcome = live.end_origin(
            provider.issuer, sid, by="provider", reason="front-channel logout"
        )
        log.info("frontchannel_logout_accepted ended=%d", len(outcome.ended))
    else:
        # No warning: after a sign-out that began here it is what should come.
        log.info("frontchannel_logout_unknown provider=%s %s", *_about(provider, sid))
    return _framed(HttpResponse(status=200), provider.issuer)


def _sender(request: HttpRequest) -> Provider | None:
    """Who says so: by `iss`, or the one provider of which it is known to say none."""
    switched_on = [each for each in settings.PROVIDERS if each.frontchannel_logout]
    issuer = request.GET.get("iss")
    if issuer is None:
        meant = [each for each in switched_on if each.logout_accepts_no_iss]
        return meant[0] if len(meant) == 1 else None
    return next((each for each in switched_on if each.issuer == issuer), None)


def _is_live(issuer: str, sid: str) -> bool:
    with answering():
        names = keys.origins(issuer, sid)
        return bool(index.listed(client(), names, clock.now()))


def _about(provider: Provider, sid: str) -> tuple[str, str]:
    """Whose session was meant, by a name that tells only us which one it is."""
    name = keys.origin(provider.issuer, sid).rpartition(":")[2]
    return provider.name, f"sid={name}"


def _framed(response: HttpResponse, issuer: str) -> HttpResponse:
    """Lets the provider, and nobody else, show this (empty) answer in a frame."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(issuer))
    response["Content-Security-Policy"] = (
        f"default-src 'none'; frame-ancestors {origin}"
    )
    return response
