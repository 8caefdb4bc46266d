from __future__ import annotations

from collections.abc import Iterator

import pytest

from backoffice.demo.loopback import LoopbackServer
from backoffice.demo.messages import Request, Response
from backoffice.demo.provider import Client, Provider
from tests.fakes.provider import Party

SITE = "http://localhost:8000"


class Recorder:
    """A site's back-channel endpoint that remembers what it was sent."""

    def __init__(self) -> None:
        self.received: list[Request] = []
        self.server = LoopbackServer(self.answer)

    def answer(self, request: Request) -> Response:
        self.received.append(request)
        return Response(200)

    @property
    def url(self) -> str:
        return f"{self.server.origin}/backchannel/"


@pytest.fixture(scope="session")
def _recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    recorder.server.start()
    yield recorder
    recorder.server.stop()


@pytest.fixture
def recorder(_recorder: Recorder) -> Recorder:
    _recorder.received.clear()
    return _recorder


@pytest.fixture(scope="session")
def _provider(_recorder: Recorder) -> Iterator[Provider]:
    clients = [
        Client(
            "backoffice",
            "a secret+/%",
            (f"{SITE}/sso/complete/oidc/", f"{SITE}/other/?kept=1"),
            (f"{SITE}/signed-out/",),
            _recorder.url,
        ),
        Client("second", "another-secret", ("http://localhost:9000/back",)),
    ]
    with Provider(clients=clients) as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Iterator[Provider]:
    """A provider on which nobody is signed in and nothing is wrong."""
    yield _provider
    _provider.faults.clear()
    _provider.sessions.clear()
    _provider.requests.clear()


@pytest.fixture
def party(provider: Provider) -> Iterator[Party]:
    party = Party(provider, provider.state.clients["backoffice"])
    yield party
    party.close()


@pytest.fixture
def second(provider: Provider) -> Iterator[Party]:
    """Another site, in another browser."""
    party = Party(provider, provider.state.clients["second"])
    yield party
    party.close()
