from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from requests import PreparedRequest
from requests.exceptions import Timeout
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import SKIP_HEADER

from accounts.browser import client_address
from backoffice.proxy import cookies
from backoffice.proxy.errors import Refusal, Refused, UpstreamCutShort
from backoffice.proxy.headers import Field, from_upstream, origin_fields, to_upstream
from backoffice.proxy.routes import Route
from backoffice.proxy.wire import Call, send

log = logging.getLogger("backoffice.proxy")

CHUNK = 64 * 1024


def forward(
    request: HttpRequest, route: Route, suffix: str, identity: Mapping[str, str]
) -> ProxiedResponse:
    """Sends this request to the route's upstream and streams the answer back.

    `suffix` is the raw rest of the target, already judged by the gate; `identity`
    are the fields that say who is calling. Redirects are returned, nothing is
    retried: a request that may have arrived must not arrive twice (RFC 9110, 9.2.2).
    Raises Refused: 413, 502 or 504, or 400 when the client's body breaks off.
    """
    deadline = time.monotonic() + route.total_timeout
    prepared, target = _prepare(request, route, suffix, identity)
    call = Call(target, route.connect_timeout, route.read_timeout, deadline)
    try:
        answer = send(prepared, call, route.address, route.ca_file)
        body = Body(answer, route.name)
    except (OSError, HTTPError) as error:
        raise _failure(error) from error
    return ProxiedResponse(body, answer.status, _fields_of(answer, route))


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


class ProxiedResponse(StreamingHttpResponse):
    """An upstream's answer on its way to the browser.

    Django keeps one value per field name; WSGI takes pairs, so fields that came
    twice are added where the server asks for them.
    """

    # An upstream's 404 is its own affair, not a warning about this site.
    _has_been_logged = True

    def __init__(self, body: Body, status: int, fields: Iterable[Field]) -> None:
        super().__init__(body, status=status)
        # Django calls untyped content text/html. What has no type keeps none.
        del self["Content-Type"]
        self.repeated: list[Field] = []
        for name, value in fields:
            if name in self.headers:
                self.repeated.append((name, value))
            else:
                self.headers[name] = value

    def items(self) -> Any:
        repeated = (field for field in self.repeated if field[0] in self.headers)
        return [*self.headers.items(), *repeated]


class Body:
    """An answer's body, each piece as soon as it arrives.

    Whoever holds it closes it, read to the end or not: a connection that still holds
    half an answer would give the other half to the next person.
    """

    def __init__(self, answer: HTTPResponse, route: str) -> None:
        self._answer = answer
        self._route = route
        # While nothing has been sent, a failure still becomes an honest 502 or 504.
        # Events are the exception: the first may be minutes away, and the browser
        # wants to know that the stream is open.
        content_type = answer.headers.get("Content-Type", "")
        is_live = content_type.lower().startswith("text/event-stream")
        self._first: bytes | None = b"" if is_live else self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            piece, self._first = self._first, None
            return piece
        try:
            piece = self._read()
        except (OSError, HTTPError) as error:
            self.close()
            log.warning(
                "answer_cut_short route=%s error=%s", self._route, _root_name(error)
            )
            raise UpstreamCutShort from error
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        self._answer.close()
        self._answer.release_conn()

    def _read(self) -> bytes:
        return self._answer.read1(CHUNK, decode_content=False)


def _fields_of(answer: HTTPResponse, route: Route) -> list[Field]:
    fields = from_upstream(
        answer.headers.items(), route.response_headers, route.hide_headers, route.cache
    )
    if route.cookies:
        fields += [
            ("Set-Cookie", cookie)
            for cookie in cookies.to_browser(
                answer.headers.getlist("Set-Cookie"),
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
            request.get_host(),
            getattr(request, "request_id", None),
        ),
        **identity,
    }
    if route.cookies:
        ours.update(_cookies_of(request, route))
    # Left to themselves the libraries would introduce themselves to the upstream.
    silence = dict.fromkeys(("User-Agent", "Accept-Encoding"), SKIP_HEADER)
    fields = {**silence, **to_upstream(request.META, ours)}
    length, prepared.body = _body_of(request, route.max_body)
    if length:
        fields["Content-Length"] = str(length)
    prepared.headers = CaseInsensitiveDict(fields)
    return prepared, target


def _refuse_large_header(request: HttpRequest, limit: int) -> None:
    size = sum(
        len(name) + len(value)
        for name, value in request.META.items()
        if name.startswith("HTTP_")
    )
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


def _body_of(request: HttpRequest, limit: int) -> tuple[int | None, Any]:
    """Length and pieces of the client's body; length None = it comes in chunks."""
    length = _declared_length(request)
    if length == 0:
        return 0, None
    if length is not None and length > limit:
        raise Refused(Refusal.BODY_TOO_LARGE)
    return length, _pieces(request.META["wsgi.input"], length, limit)


def _declared_length(request: HttpRequest) -> int | None:
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if not declared.isdigit():
        raise Refused(Refusal.BODY_CUT_SHORT, "length")
    # Without Content-Length only a server that ends the stream itself can be read.
    is_chunked = "HTTP_TRANSFER_ENCODING" in request.META
    is_ended = request.META.get("wsgi.input_terminated", False)
    return None if is_chunked and is_ended else int(declared)


def _pieces(stream: Any, length: int | None, limit: int) -> Iterator[bytes]:
    taken = 0
    while length is None or taken < length:
        piece = _read_from_client(stream, length, taken)
        taken += len(piece)
        if taken > limit:
            raise Refused(Refusal.BODY_TOO_LARGE)
        if not piece:
            break
        yield piece
    if length is not None and taken < length:
        raise Refused(Refusal.BODY_CUT_SHORT, "end")


def _read_from_client(stream: Any, length: int | None, taken: int) -> bytes:
    size = CHUNK if length is None else min(CHUNK, length - taken)
    try:
        return bytes(stream.read(size))
    except Exception as error:
        # Servers raise what they like here. As an OSError it would pass for the
        # upstream's own, and urllib3 would go on to await an answer to half a body.
        raise Refused(Refusal.BODY_CUT_SHORT, _root_name(error)) from error


def _failure(error: Exception) -> Refused:
    slow = any(isinstance(link, Timeout | TimeoutError) for link in _chain(error))
    refusal = Refusal.UPSTREAM_SLOW if slow else Refusal.UPSTREAM_DOWN
    return Refused(refusal, _root_name(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _root_name(error: BaseException) -> str:
    # The class only: the texts hold addresses, paths and queries.
    *_, root = _chain(error)
    return type(root).__name__
