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
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from backoffice.demo import provider_logout
from backoffice.demo.loopback import LoopbackServer, is_loopback
from backoffice.demo.messages import Request
from backoffice.demo.ports import LOOPBACK
from backoffice.demo.provider_claims import logout_token
from backoffice.demo.provider_faults import ABSENT, Changes, Endpoint, Fault, Faults
from backoffice.demo.provider_logout import Delivery
from backoffice.demo.provider_routes import answer
from backoffice.demo.provider_state import Client, ProviderSession, ProviderState
from backoffice.demo.staff import STAFF, DemoPerson
from backoffice.demo.stop_signal import StopSignal

__all__ = ["ABSENT", "Client", "Delivery", "Endpoint", "Fault", "Provider"]


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
        self._server = LoopbackServer(partial(answer, self.state), host=host, port=port)

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
        self._server.listen()
        # Before the first answer: every document and token names the issuer.
        self.state.issuer = self._server.origin
        self._server.start()
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
