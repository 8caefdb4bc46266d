from __future__ import annotations

import errno
import json

import pytest

from backoffice.proxy.errors import (
    GATE_HEADER,
    AmbiguousPath,
    Refusal,
    Refused,
    RouteTableError,
    UpstreamCutShort,
    answer,
)


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_named_and_never_stored(refusal: Refusal) -> None:
    response = answer(refusal)
    assert response.status_code == refusal.status
    assert response[GATE_HEADER] == refusal.word
    assert response["Cache-Control"] == "no-store"
    assert response["Vary"] == "Cookie"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert not response.cookies


@pytest.mark.parametrize("refusal", [r for r in Refusal if r is not Refusal.NO_SESSION])
def test_a_refusal_has_a_problem_body(refusal: Refusal) -> None:
    response = answer(refusal)
    assert response["Content-Type"] == "application/problem+json"
    body = json.loads(response.content)
    assert (body["status"], body["code"]) == (refusal.status, refusal.word)


def test_no_session_is_empty_with_a_challenge() -> None:
    response = answer(Refusal.NO_SESSION)
    assert response.content == b""
    assert response["Content-Length"] == "0"
    assert "Content-Type" not in response
    assert response["WWW-Authenticate"].startswith("Session ")


def test_a_refusal_carries_its_own_fields() -> None:
    refused = Refused(Refusal.NO_METHOD, headers={"Allow": "GET"})
    assert refused.answer()["Allow"] == "GET"


def test_the_reason_stays_out_of_the_answer() -> None:
    refused = AmbiguousPath("secret reason")
    assert refused.reason == "secret reason"
    assert b"secret" not in refused.answer().content


def test_a_table_error_names_every_problem() -> None:
    error = RouteTableError(["one", "two"])
    assert error.problems == ("one", "two")
    assert str(error) == "one\ntwo"


def test_a_cut_answer_looks_like_a_lost_connection_to_the_server() -> None:
    error = UpstreamCutShort()
    assert isinstance(error, ConnectionResetError)
    assert error.errno == errno.ECONNRESET
