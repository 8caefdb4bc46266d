from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import requests

from backoffice.demo.provider import Client, Provider
from backoffice.demo.staff import STAFF
from tests.backoffice.demo.processes import ends, first_line, python
from tests.fakes.provider import Party, parameters_of
from tests.ports import reserved_port

COMMAND = ("-m", "backoffice.demo.provider")
SEOYEON = STAFF[0]


@pytest.mark.parametrize("debug", ["", "false", "True", "1", "true "])
def test_provider_without_debug_refuses_in_one_line(debug: str) -> None:
    with python(*COMMAND, DEBUG=debug) as process:
        code, out, err = ends(process)
    assert (code, out) == (1, "")
    assert err == 'the development provider runs only with DEBUG="true"\n'


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.com", "::"])  # noqa: S104 - refused
def test_provider_beyond_loopback_refuses_in_one_line(host: str) -> None:
    with python(*COMMAND, "--host", host, DEBUG="true") as process:
        code, _, err = ends(process)
    assert code == 1
    assert err == f"{host} is not a loopback address\n"


def test_provider_with_bad_clients_refuses_in_one_line(tmp_path: Path) -> None:
    clients = tmp_path / "clients.json"
    clients.write_text('[{"unknown": 1}]')
    with python(*COMMAND, "--clients", str(clients), DEBUG="true") as process:
        code, _, err = ends(process)
    assert code == 1
    assert err.count("\n") == 1


def test_provider_serves_its_clients_until_told_to_stop(tmp_path: Path) -> None:
    clients = tmp_path / "clients.json"
    uris = ["http://localhost:8000/back"]
    clients.write_text(
        json.dumps([{"client_id": "a", "secret": "b", "redirect_uris": uris}])
    )
    with python(*COMMAND, "--clients", str(clients), DEBUG="true") as process:
        issuer = first_line(process)
        query = {"client_id": "a", "redirect_uri": uris[0]}
        answer = requests.get(
            f"{issuer}/authorize", query, allow_redirects=False, timeout=60
        )
        assert parameters_of(answer)["iss"] == issuer
        process.send_signal(signal.SIGTERM)
        assert ends(process)[0] == 0


def test_provider_beyond_loopback_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="loopback"):
        Provider(host="0.0.0.0")  # noqa: S104 - refused


def test_memory_keeps_sessions_keys_and_refresh_tokens(tmp_path: Path) -> None:
    client = Client("a", "b", ("http://localhost:8000/back",))
    memory, port = tmp_path / "memory.json", reserved_port()
    first = Provider(clients=[client], memory=memory, port=port).start()
    party = Party(first, client)
    used = party.tokens(SEOYEON.sub)["refresh_token"]
    unused = party.refresh(used).json()["refresh_token"]
    first.stop()
    assert memory.stat().st_mode & 0o777 == 0o600
    with Provider(clients=[client], memory=memory, port=port) as second:
        assert second.sessions == first.sessions
        assert second.state.keys.jwks() == first.state.keys.jwks()
        assert "code" in parameters_of(party.ask())
        party.provider = second
        assert second.state.knows_refresh(unused)
        assert party.refresh(unused).status_code == 200
        assert party.refresh(used).json() == {"error": "invalid_grant"}
    party.close()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": {"a": "b"}}'])
def test_memory_that_is_damaged_begins_afresh(tmp_path: Path, text: str) -> None:
    memory = tmp_path / "memory.json"
    memory.write_text(text)
    assert Provider(memory=memory).sessions == {}


def test_provider_restarts_at_the_same_address() -> None:
    provider = Provider().start()
    issuer = provider.issuer
    provider.stop()
    provider.stop()
    assert provider.start().issuer == issuer
    provider.stop()
