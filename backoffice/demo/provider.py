"""A development identity provider: OpenID Connect with people to pick from.

It has no passwords, so it must never be reachable from another machine or stand behind
a real site: the command refuses to run unless DEBUG is exactly "true" and the address
is a loopback one, and the server refuses every other Host.

In a test it runs inside the process, and can be told to misbehave:

    provider = Provider(clients=[Client("backoffice", "secret", (redirect_uri,))])
    provider.start()
    provider.faults.add(Fault.NONCE_WRONG, once=True)
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from backoffice.demo import (
    provider_authorize,
    provider_control,
    provider_endpoints,
    provider_logout,
    provider_pages,
)
from backoffice.demo.loopback import (
    LoopbackServer,
    Request,
    Response,
    is_loopback,
    json_response,
)
from backoffice.demo.ports import LOOPBACK
from backoffice.demo.provider_claims import logout_token
from backoffice.demo.provider_faults import ABSENT, Changes, Endpoint, Fault, Faults
from backoffice.demo.provider_logout import Delivery
from backoffice.demo.provider_state import Client, ProviderSession, ProviderState
from backoffice.demo.staff import STAFF, DemoPerson
from backoffice.demo.stop_signal import StopSignal

__all__ = ["ABSENT", "Client", "Delivery", "Endpoint", "Fault", "Provider"]

HUGE_BLOCKS = 512  # of 64 KiB
ELSEWHERE = "/elsewhere"


class Route(NamedTuple):
    """Who answers a path, and under which name faults find it."""

    methods: frozenset[str]
    answer: Callable[[ProviderState, Request], Response]
    endpoint: Endpoint | None = None


READ = frozenset({"GET", "HEAD"})
POST = frozenset({"POST"})
ROUTES = {
    "/.well-known/openid-configuration": Route(
        READ, provider_endpoints.discovery, Endpoint.DISCOVERY
    ),
    "/jwks": Route(READ, provider_endpoints.jwks, Endpoint.JWKS),
    "/authorize": Route(READ | POST, provider_authorize.authorize, Endpoint.AUTHORIZE),
    "/sign-in": Route(POST, provider_authorize.sign_in),
    "/token": Route(POST, provider_endpoints.token, Endpoint.TOKEN),
    "/userinfo": Route(READ | POST, provider_endpoints.userinfo, Endpoint.USERINFO),
    "/end_session": Route(
        READ | POST, provider_logout.end_session, Endpoint.END_SESSION
    ),
    "/sign-out": Route(POST, provider_logout.sign_out),
    "/style.css": Route(READ, lambda state, request: provider_pages.stylesheet()),
    "/dev": Route(READ, provider_control.control),
    "/dev/end": Route(POST, provider_control.end),
    "/dev/faults": Route(READ | POST | {"DELETE"}, provider_control.faults),
}


class Provider:
    """The provider as a server on loopback, and the handles by which tests move it."""

    def __init__(
        self,
        *,
        staff: Iterable[DemoPerson] = STAFF,
        clients: Iterable[Client] = (),
        host: str = LOOPBACK,
        port: int = 0,
        memory: Path | None = None,
    ) -> None:
        """`memory` is a file that keeps sessions and keys from start to start."""
        self.state = ProviderState(staff, clients, memory)
        self._server = LoopbackServer(self._answer, host=host, port=port)

    @property
    def issuer(self) -> str:
        """Known once started; the same after a stop and a start."""
        return self.state.issuer

    @property
    def faults(self) -> Faults:
        return self.state.faults

    @property
    def requests(self) -> deque[Request]:
        """The last thousand requests, oldest first."""
        return self.state.requests

    @property
    def sessions(self) -> dict[str, ProviderSession]:
        """The provider's own sessions by sid."""
        return self.state.sessions

    def start(self) -> Self:
        """Begin to answer; raises OSError if the port is taken."""
        self._server.start()
        self.state.issuer = self._server.origin
        return self

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def rotate_keys(self) -> None:
        """Sign with a new key; the old ones stay published until dropped."""
        self.state.keys.rotate()
        self.state.remember()

    def drop_old_keys(self) -> None:
        """Publish only the key that signs now."""
        self.state.keys.drop_old()
        self.state.remember()

    def backchannel_logout(
        self, *, sid: str | None = None, sub: str | None = None
    ) -> list[Delivery]:
        """End one session, or all of one person, and tell the clients.

        With `sid` the token names the session and its person. With `sub` alone it names
        only the person, who loses every session. Unknown ones are told to every client.
        """
        state = self.state
        if sid is not None and sub is None and sid in state.sessions:
            return provider_logout.end_and_tell(state, sid)
        meant = [
            each
            for each in list(state.sessions.values())
            if (sid is None or each.sid == sid) and (sub is None or each.sub == sub)
        ]
        used = {client_id for each in meant for client_id in each.clients}
        for each in meant:
            state.end_session(each.sid)
        clients = [
            client
            for client in state.clients.values()
            if client.client_id in used or not meant
        ]
        return provider_logout.tell(state, clients, sid=sid, sub=sub)

    def logout_token(
        self,
        client_id: str,
        *,
        sid: str | None = None,
        sub: str | None = None,
        changes: Changes | None = None,
        typ: str | None = "logout+jwt",
        fault: Fault | None = None,
    ) -> str:
        """A logout token to send by hand, as wrong as asked.

        `changes` set claims, or leave one out with ABSENT; `typ` None leaves it out of
        the header; `fault` spoils the signature.
        """
        return logout_token(
            self.state,
            client_id,
            sid=sid,
            sub=sub,
            changes=changes,
            typ=typ,
            fault=fault,
        )

    def _answer(self, request: Request) -> Response:
        self.state.requests.append(request)
        route = ROUTES.get(request.path)
        if route is None:
            return json_response({"error": "not found"}, 404)
        if request.method not in route.methods:
            allowed = ("Allow", ", ".join(sorted(route.methods)))
            return json_response({"error": "method not allowed"}, 405, [allowed])
        if request.body_size > len(request.body):
            return json_response({"error": "too large"}, 413)
        if route.endpoint is None:
            return route.answer(self.state, request)
        return misbehaved(self.state, route, route.endpoint, request)


def misbehaved(
    state: ProviderState, route: Route, endpoint: Endpoint, request: Request
) -> Response:
    """The endpoint's answer after the faults that concern all endpoints alike."""
    faults = state.faults
    if late := faults.take(Fault.LATE, endpoint):
        time.sleep(late.seconds)
    if faults.take(Fault.STATUS_500, endpoint):
        return json_response({"error": "server_error"}, 500)
    if faults.take(Fault.HTML, endpoint):
        return provider_pages.signed_out_page("en")
    if moved := faults.take(Fault.REDIRECT, endpoint):
        location = moved.location or f"{state.issuer}{ELSEWHERE}/{endpoint}"
        return Response(307, (("Location", location),))
    response = route.answer(state, request)
    if not isinstance(response.body, bytes):
        return response
    if faults.take(Fault.HUGE, endpoint):
        return replace(response, body=huge(response.body))
    if drip := faults.take(Fault.DRIP, endpoint):
        return replace(response, body=dripping(response.body, drip.seconds))
    return response


def huge(body: bytes) -> Iterator[bytes]:
    """The body after 32 MiB of white space, which JSON allows."""
    for _ in range(HUGE_BLOCKS):
        yield b" " * 65_536
    yield body


def dripping(body: bytes, seconds: float) -> Iterator[bytes]:
    """The body in single bytes, spread over so many seconds."""
    for place in range(len(body)):
        yield body[place : place + 1]
        time.sleep(seconds / len(body))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 1 and one line when it may not or cannot."""
    options = parsed(arguments)
    stop_signal = StopSignal()
    if os.environ.get("DEBUG") != "true":
        return refusal('the development provider runs only with DEBUG="true"')
    if not is_loopback(options.host):
        return refusal(f"{options.host} is not a loopback address")
    try:
        clients = read_clients(options.clients)
        provider = Provider(
            clients=clients, host=options.host, port=options.port, memory=options.memory
        ).start()
    except (OSError, ValueError, TypeError) as error:
        return refusal(f"the development provider cannot start: {error}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    sys.stdout.write(f"{provider.issuer}\n")
    sys.stdout.flush()
    stop_signal.wait()
    provider.stop()
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="backoffice.demo.provider")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=0)
    # A file, because a command line can be read by every user of the machine.
    parser.add_argument("--clients", type=Path, help="JSON list of clients")
    parser.add_argument("--memory", type=Path, help="keeps sessions and keys")
    return parser.parse_args(arguments)


def read_clients(path: Path | None) -> list[Client]:
    """Raises OSError, ValueError or TypeError for a file that will not do."""
    if path is None:
        return []
    return [Client.from_json(each) for each in json.loads(path.read_text("utf-8"))]


def refusal(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
