from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, Self

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from requests import PreparedRequest
from requests.exceptions import Timeout

from accounts.browser import client_address
from backoffice.proxy import cookies
from backoffice.proxy.answer import Answer
from backoffice.proxy.body import AnswerBody, request_body
from backoffice.proxy.connection import EVERYBODY, Call
from backoffice.proxy.errors import Refusal, Refused, chain, root_name
from backoffice.proxy.headers import Field, from_upstream, origin_fields, to_upstream
from backoffice.proxy.route_values import SAFE, KeepAlive
from backoffice.proxy.routes import Route
from backoffice.proxy.streams import OpenCall, client_socket, streams
from backoffice.proxy.wire import send

Person = tuple[str, str]

EVENTS = "text/event-stream"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
BUSY_SECONDS = 5


def forward(
    request: HttpRequest,
    route: Route,
    suffix: str,
    identity: Mapping[str, str],
    session_id: str,
    is_live: Callable[[], bool],
    person: Person,
) -> HttpResponseBase:
    """Sends this request to the route's upstream and streams the answer back.

    `suffix` is the raw rest of the target, already judged by the gate; `identity`
    are the fields that say who is calling, and `person` is who it is, by issuer and
    subject; `is_live` asks whether their session still
    is, and the call is cut when it no longer is. Redirects are returned, nothing is
    retried: a request that may have arrived must not arrive twice (RFC 9110, 9.2.2).
    Raises Refused: 413, 431, 502 or 504, 400 when the client's body breaks off, 401
    when the session ended before there was an answer, 503 when too many are open.
    """
    deadline = time.monotonic() + route.total_timeout
    prepared, target = _prepare(request, route, suffix, identity)
    call = Call(target, route.connect_timeout, route.read_timeout, deadline)
    call.route, call.owner = route.name, _owner(route, person)
    client = client_socket(request.META)
    opened = OpenCall(call, is_live, session_id, client)
    streams.enter(opened)
    # As a browser's EventSource asks: it is refused before anything is sent.
    if request.META.get("HTTP_ACCEPT") == EVENTS and not streams.admit_stream(opened):
        streams.leave(opened)
        raise _busy(may_repeat=True)
    try:
        return _answered(prepared, route, opened)
    except (OSError, Refused) as error:
        if opened.is_too_many:
            raise _busy(may_repeat=request.method in SAFE) from error
        if opened.is_cut:
            raise Refused(Refusal.NO_SESSION, "ended-meanwhile") from error
        if isinstance(error, Refused):
            raise
        raise _failure(error) from error


def _owner(route: Route, person: Person) -> Hashable:
    """Whose connections to the upstream this request may use; None: nobody's."""
    if route.keepalive is KeepAlive.OFF:
        return None
    return EVERYBODY if route.keepalive is KeepAlive.SHARED else person


def build_url(route: Route, suffix: str) -> tuple[str, str]:
    """The address to call, and the target within it that goes on the request line.

    Looked at again once it is built: whatever the suffix, the call goes to the server
    and below the path that the route table names (ASVS 1.3.6). Raises Refused.
    """
    address = route.address
    target = address.mount + suffix
    path = target.partition("?")[0]
    if suffix[:1] not in {"", "/", "?"} or ".." in path.split("/") or "\\" in path:
        raise Refused(Refusal.BAD_PATH, "outside the mount")
    target = target if target.startswith("/") else f"/{target}"
    return f"{address.scheme}://{address.server}{target}", target


class _UpstreamFields(HttpResponseBase):
    """Fields as the upstream sent them.

    Django keeps one value per field name; WSGI takes pairs, so fields that came
    twice are added where the server asks for them.
    """

    # An upstream's 404 is its own affair, not a warning about this site.
    _has_been_logged = True
    repeated: list[Field]

    def take(self, fields: list[Field]) -> Self:
        # Django calls untyped content text/html. What has no type keeps none.
        del self["Content-Type"]
        self.repeated = []
        # Past Django's check of each: headers.from_upstream has made a stricter one.
        store = self.headers._store
        for name, value in fields:
            known = name.lower()
            if known in store:
                self.repeated.append((name, value))
            else:
                store[known] = (name, value)
        return self

    def items(self) -> Any:
        store = self.headers._store
        repeated = [field for field in self.repeated if field[0].lower() in store]
        return [*store.values(), *repeated]


class WholeResponse(_UpstreamFields, HttpResponse):
    """An upstream's answer that came in one piece."""


class ProxiedResponse(_UpstreamFields, StreamingHttpResponse):
    """An upstream's answer on its way to the browser."""


def _answered(
    prepared: PreparedRequest, route: Route, opened: OpenCall
) -> HttpResponseBase:
    """The response, which holds the call open until its body has been read."""
    try:
        answer = send(prepared, opened.call, route.address, route.ca_file)
    except BaseException:
        streams.leave(opened)
        raise
    try:
        if _goes_on(answer) and not streams.admit_stream(opened):
            raise _busy(may_repeat=prepared.method in SAFE)
        first = _first_piece(answer)
        fields = _fields_of(answer, route)
    except BaseException:
        streams.leave(opened)
        answer.close()
        raise
    if answer.is_whole:
        streams.leave(opened)
        answer.close()
        if first:
            # It may have come in chunks, and needs none any more.
            fields = [*_without_length(fields), ("Content-Length", str(len(first)))]
        # A type, so that Django need not find out which one it would be.
        return WholeResponse(first, "", answer.status).take(fields)
    opened.has_begun = True
    body = AnswerBody(answer, route.name, first, partial(_left, opened))
    return ProxiedResponse(body, status=answer.status).take(fields)


def _without_length(fields: list[Field]) -> list[Field]:
    return [field for field in fields if field[0].lower() != "content-length"]


def _left(opened: OpenCall) -> bool:
    streams.leave(opened)
    return opened.is_cut


def _first_piece(answer: Answer) -> bytes:
    # Events are the exception: the first may be minutes away, and the browser wants
    # to know that the stream is open.
    return b"" if _goes_on(answer) else answer.read()


def _goes_on(answer: Answer) -> bool:
    """Whether it is a stream of events, with more of them to come."""
    types = answer.all_values("content-type")
    is_live = bool(types) and types[0].lower().startswith(EVENTS)
    return is_live and not answer.is_whole


def _fields_of(answer: Answer, route: Route) -> list[Field]:
    fields = from_upstream(
        answer.fields, route.response_headers, route.hide_headers, route.cache
    )
    if route.cookies:
        fields += [
            ("Set-Cookie", cookie)
            for cookie in cookies.to_browser(
                answer.all_values("set-cookie"),
                route.cookies,
                route.name,
                route.prefix,
                settings.SERVED_OVER_HTTPS,
            )
        ]
    return fields


def _prepare(
    request: HttpRequest, route: Route, suffix: str, identity: Mapping[str, str]
) -> tuple[PreparedRequest, str]:
    _refuse_large_header(request, route.max_header)
    prepared = PreparedRequest()
    prepared.method = request.method
    prepared.url, target = build_url(route, suffix)
    ours = {
        **origin_fields(
            client_address(request),
            str(request.scheme),
            getattr(request, "gate_host", None) or request.get_host(),
            getattr(request, "request_id", None),
        ),
        **identity,
    }
    if route.cookies:
        ours.update(_cookies_of(request, route))
    fields = to_upstream(request.META, ours)
    length, prepared.body = request_body(request.META, route.max_body)  # type: ignore[assignment]
    # Said for an empty body too, where one is expected (RFC 9110, 8.6).
    if length or (length == 0 and request.method in _WITH_BODY):
        fields["Content-Length"] = str(length)
    prepared.headers = fields  # type: ignore[assignment]
    return prepared, target


def _refuse_large_header(request: HttpRequest, limit: int) -> None:
    size = 0
    for name, value in request.META.items():
        if name.startswith("HTTP_"):
            size += len(name) + len(value)
    if size > limit:
        raise Refused(Refusal.HEADER_TOO_LARGE)


def _cookies_of(request: HttpRequest, route: Route) -> dict[str, str]:
    own = cookies.to_upstream(
        request.META.get("HTTP_COOKIE", ""),
        route.cookies,
        route.name,
        settings.SERVED_OVER_HTTPS,
    )
    return {"Cookie": own} if own else {}


def _busy(may_repeat: bool) -> Refused:
    # A write may have been carried out: nobody is asked to send it again.
    wait = {"Retry-After": str(BUSY_SECONDS)} if may_repeat else {}
    return Refused(Refusal.BUSY, headers=wait)


def _failure(error: Exception) -> Refused:
    slow = any(isinstance(link, Timeout | TimeoutError) for link in chain(error))
    refusal = Refusal.UPSTREAM_SLOW if slow else Refusal.UPSTREAM_DOWN
    return Refused(refusal, root_name(error))
