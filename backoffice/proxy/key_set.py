from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from backoffice.proxy.identity_token import key_set

PATH = "/.well-known/jwks.json"
# Upstreams ask again for a key they do not know; this only spares us the others.
MAX_AGE_SECONDS = 300


class KeySetMiddleware:
    """Publishes the keys that identity tokens are signed with.

    Answered before sessions are looked at: the keys are the same for everyone, and
    upstreams may want them while the store is away.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path != PATH or request.method not in {"GET", "HEAD"}:
            return self.get_response(request)
        response = JsonResponse(key_set(), content_type="application/jwk-set+json")
        response["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
        return response
