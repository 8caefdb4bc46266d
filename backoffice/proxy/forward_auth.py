"""Door 2: the gate's decision for a web server that stands before the upstreams.

`/gate/check` is asked before each call: nginx `auth_request`, Traefik ForwardAuth,
Caddy `forward_auth`, Envoy `ext_authz`. The server describes the call and sends its
header fields along; we answer 2xx with the identity for the upstream, or a refusal.
Nothing here decides anything: the described call is put before the same gate as any
other.

What is described is believed, so it is believed of TRUSTED_PROXIES only, and only in
one voice. Traefik sets X-Forwarded-Uri and passes a client's X-Original-URI on; nginx
does the reverse. Whoever finds both in a request would have to guess which of the two
the client wrote, so such a call is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from accounts.browser import is_trusted_proxy
from accounts.sessions.middleware import read_cookie
from accounts.sessions.store import SessionStore
from backoffice.proxy.errors import (
    GATE_HEADER,
    NO_STORE,
    AmbiguousPath,
    Refusal,
    Refused,
)
from backoffice.proxy.gate import GatePass
from backoffice.proxy.identity import fields_for
from backoffice.proxy.judgement import judge, refuse

CHECK = "/gate/check"
STATUS_HEADER = "X-Gate-Status"
PASSED = "passed"
# All that nginx's auth_request lets an answer say; anything else becomes its own 500.
_SAYABLE = frozenset({401, 403})

# A target may name a host (RFC 9112, 3.2.2). The gate compares it; a path has none.
_ABSOLUTE = re.compile(r"\Ahttps?://[^/?#]*", re.I)


@dataclass(frozen=True, slots=True)
class Voice:
    """In which fields one kind of server names the call's method, target and host.

    `says_all`: whether it passes any refusal on to the client as it is. `yes`: the
    status that lets a call pass.
    """

    method: str
    target: str
    host: str
    says_all: bool
    yes: int = 204


NGINX = Voice(
    "HTTP_X_ORIGINAL_METHOD", "HTTP_X_ORIGINAL_URI", "HTTP_HOST", says_all=False
)
OTHERS = Voice(
    "HTTP_X_FORWARDED_METHOD",
    "HTTP_X_FORWARDED_URI",
    "HTTP_X_FORWARDED_HOST",
    says_all=True,
)
# Envoy asks with the call's own request line, our path put before the call's.
# To it, 204 is a refusal like any other.
ENVOY = Voice("REQUEST_METHOD", "RAW_URI", "HTTP_HOST", says_all=True, yes=200)
_CLAIMS = (NGINX.method, NGINX.target, OTHERS.method, OTHERS.target)


class ForwardAuthMiddleware:
    """Answers `/gate/check` before anything else of the site is asked.

    It opens its own session and never writes it: a check sets no cookie.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info == CHECK or request.path_info.startswith(f"{CHECK}/"):
            return check(request)
        return self.get_response(request)


def check(request: HttpRequest) -> HttpResponseBase:
    """A yes with the identity for the upstream, or the refusal for the client.

    Asked by nginx, a refusal it cannot pass on comes as 403, with the real status in
    X-Gate-Status. The other fields are those of every door.
    """
    voice = voice_of(request.META)
    asked = request
    try:
        asked = describe(request, voice)
        return passed(judge(asked, asked.META["RAW_URI"]), voice)
    except Exception as error:
        # Every failure denies, also those that nobody thought of (ASVS 16.5.3).
        return _spoken(refuse(asked, error), voice)


def voice_of(meta: Mapping[str, str]) -> Voice:
    """Which kind of server asks."""
    if below(meta)[:1] == "/":
        return ENVOY
    return NGINX if NGINX.target in meta else OTHERS


def below(meta: Mapping[str, str]) -> str:
    """What of the raw target follows our path."""
    target = meta["RAW_URI"] if "RAW_URI" in meta else meta["PATH_INFO"]
    return target.removeprefix(CHECK)


def describe(request: HttpRequest, voice: Voice) -> WSGIRequest:
    """The call that the server in front has received, with its own header fields.

    Raises Refused when the asker is not one of ours or does not speak in one voice.
    """
    meta = request.META
    if not is_trusted_proxy(meta.get("REMOTE_ADDR", "")):
        raise Refused(Refusal.NO_DOOR)
    claims = {name for name in _CLAIMS if name in meta}
    if claims != ({voice.method, voice.target} & set(_CLAIMS)):
        raise AmbiguousPath("voice")
    target = below(meta) if voice is ENVOY else meta[voice.target]
    environ = {
        **meta,
        "REQUEST_METHOD": meta[voice.method],
        **variables_of(target),
    }
    if voice.host in meta:
        environ["HTTP_HOST"] = meta[voice.host]
    if "HTTP_SEC_WEBSOCKET_KEY" in meta:
        # Upgrade is for one hop, and some servers ask without it (RFC 9110, 7.8). This
        # field goes all the way, and no page can send it but by opening a WebSocket.
        environ.setdefault("HTTP_UPGRADE", "websocket")
    described = WSGIRequest(environ)
    described.session = SessionStore(read_cookie(described))
    return described


def variables_of(target: str) -> dict[str, str]:
    """What a web server says about a raw target (RFC 3875, PEP 3333)."""
    path, _, query = _ABSOLUTE.sub("", target).partition("?")
    return {
        "RAW_URI": target,
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "SCRIPT_NAME": "",
        "QUERY_STRING": query,
    }


def passed(granted: GatePass, voice: Voice) -> HttpResponse:
    """A yes, and who is calling as far as the route lets the upstream know."""
    response = HttpResponse(b"", "", voice.yes)
    # Past Django's check of each value: these are our own, and ASCII.
    store = response.headers._store
    store.clear()
    fields = {GATE_HEADER: PASSED, "Cache-Control": NO_STORE, **fields_for(granted)}
    for name, value in fields.items():
        store[name.lower()] = (name, value)
    return response


def _spoken(response: HttpResponseBase, voice: Voice) -> HttpResponseBase:
    if voice.says_all or response.status_code in _SAYABLE:
        return response
    response[STATUS_HEADER] = str(response.status_code)
    response.status_code = 403
    return response
