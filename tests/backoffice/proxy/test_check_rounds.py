from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from backoffice.proxy import check_rounds
from backoffice.proxy.errands import CHECKS
from backoffice.proxy.gate import JUDGED_HEADERS, Call, decide
from tests.accounts.sessions.conftest import begin
from tests.backoffice.conftest import Lines
from tests.backoffice.proxy.conftest import HOST, KIM, TARGET, FakeSession

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "door_routes")]


@pytest.fixture
def key() -> str:
    """The session key of somebody in `support`."""
    return str(begin().session_key)


def call(key: str = "", target: str = TARGET, **variables: str) -> dict[str, str]:
    """A call as nginx describes it."""
    return {
        "REQUEST_METHOD": "GET",
        "RAW_URI": target,
        "wsgi.url_scheme": "http",
        "HTTP_HOST": HOST,
        "HTTP_X_FORWARDED_FOR": "203.0.113.7",
        **({"HTTP_COOKIE": f"session_id={key}"} if key else {}),
        **variables,
    }


def verdicts(client: Client, *calls: dict[str, str]) -> list[dict[str, str]]:
    body = json.dumps({"ticket": "7.1", "calls": calls}, ensure_ascii=False)
    response = client.post(CHECKS, body.encode("latin-1"), "application/json")
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert int(response["Content-Length"]) == len(response.content)
    answer = response.json()
    assert answer["ticket"] == "7.1"
    return list(answer["verdicts"])


def test_each_call_has_its_own_verdict(client: Client, key: str) -> None:
    found = verdicts(
        client,
        call(),
        call(key),
        call("a" * 32),
        call(key, "/api/proxy/reports/"),
        call(key, "/api/proxy/nowhere"),
        call(key, "/api/proxy/members/%2e%2e/"),
        call(key, REQUEST_METHOD="DELETE"),
        call(key, REQUEST_METHOD="POST"),
        call(key, HTTP_HOST="elsewhere.example"),
        call(key, HTTP_SEC_FETCH_SITE="cross-site"),
        call(key, HTTP_SEC_FETCH_DEST="script"),
        call(key, "/api/proxy/open/"),
    )
    words = [each.get("word") for each in found]
    assert words == [
        "no-session",
        None,
        "no-session",
        "not-allowed",
        "no-route",
        "bad-path",
        "no-method",
        "no-proof",
        "bad-host",
        "cross-site",
        "no-script",
        None,
    ]
    assert found[0] == found[2] == {"word": "no-session", "allow": ""}
    assert found[6]["allow"] == "GET, HEAD, POST"
    assert found[11] == {"route": "open", "session": "", "token": ""}


def test_a_yes_says_who_is_calling_in_lines_for_the_upstream(client: Client) -> None:
    session = begin()
    (found,) = verdicts(client, call(str(session.session_key)))
    identifier, *others = found["session"].split("\r\n")
    assert (found["route"], identifier) == ("members", session.session_id)
    assert "X-Staff-Sub: u-1001" in others
    assert all(line.isascii() and line.startswith("X-Staff-") for line in others)


def test_a_refusal_is_in_the_log_under_the_name_of_its_call(
    client: Client, key: str, lines: Lines
) -> None:
    refused = call(key, "/api/proxy/reports/", HTTP_X_REQUEST_ID="0123456789abcdef")
    verdicts(client, call(key), refused, call())
    (line,) = (each for each in lines() if "gate_refused" in each["event"])
    assert line["request_id"] == "0123456789abcdef"


def test_a_call_has_only_its_own_fields(client: Client, key: str) -> None:
    client.cookies["session_id"] = key
    no_host = {n: v for n, v in call(key).items() if n != "HTTP_HOST"}
    found = verdicts(client, call(), no_host)
    assert [each["word"] for each in found] == ["no-session", "bad-host"]


def test_its_signs_are_the_bytes_that_came(client: Client, key: str) -> None:
    cookies = f"theme=\xff\x80caf\xe9; session_id={key}"
    target = "/api/proxy/members/caf%C3%A9"
    found = verdicts(client, call("", target, HTTP_COOKIE=cookies))
    assert found[0].get("route") == "members"


def test_an_outage_of_the_store_is_no_sign_out(
    client: Client, key: str, settings: Settings
) -> None:
    options = settings.CACHES["sessions"]
    changed = {**options, "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "sessions": changed}
    found = verdicts(client, call(key), call(), call(key, "/api/proxy/./"), call(key))
    words = [each["word"] for each in found]
    assert words == ["store-down", "no-session", "bad-path", "store-down"]


@pytest.mark.parametrize("step", ["judge", "fields_for"])
def test_an_accident_with_one_call_denies_that_one(
    client: Client, key: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = getattr(check_rounds, step), iter(range(3))

    def second_fails(*given: Any) -> Any:
        if next(count) == 1:
            raise ZeroDivisionError
        return real(*given)

    monkeypatch.setattr(check_rounds, step, second_fails)
    found = verdicts(client, *[call(key)] * 3)
    assert [each.get("word") for each in found] == [None, "failed", None]


GOOD = {"REQUEST_METHOD": "GET", "RAW_URI": "/api/proxy/members/", "HTTP_HOST": HOST}
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"calls": []}',
    b'{"ticket": "1", "calls": [{}]}',
    b'{"ticket": "1", "calls": [[]]}',
    b'{"ticket": "1", "calls": {"RAW_URI": "/"}}',
    b'{"ticket": "1", "calls": null}',
    b'{"ticket": 1, "calls": []}',
    b'{"ticket": "1", "ticket": "2", "calls": []}',
    b'{"ticket": "1", "calls": ' + b"[" * 50_000,
    b'{"ticket": "1", "calls": [], "x": ' + b"9" * 5000 + b"}",
    b'{"ticket": "1", "calls": [], "x": NaN}',
    b"\xff\xfe",
    b"\0" * 100,
    *(
        json.dumps({"ticket": "1", "calls": [{**GOOD, **odd}]}).encode()
        for odd in (
            {"HTTP_COOKIE": 5},
            {"HTTP_COOKIE": None},
            {"REQUEST_METHOD": 5},
            {"REQUEST_METHOD": ["GET"]},
            {"RAW_URI": {}},
            {"HTTP_HOST": True},
            {"HTTP_X_REQUEST_ID": 1e300},
            {"HTTP_ORIGIN": "\u0100"},
            {"HTTP_ORIGIN": "\ud800"},
            {"wsgi.url_scheme": 5},
            {"wsgi.input": ""},
            {"REMOTE_ADDR": "127.0.0.1"},
            {"CONTENT_TYPE": "text/plain"},
            {"": ""},
        )
    ),
    b'{"ticket": "1", "calls": [{"RAW_URI": "/"}]}',
    b'{"ticket": "1", "calls": [{"RAW_URI": "/", "RAW_URI": "/",'
    b' "REQUEST_METHOD": "GET"}]}',
]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_of_another_form_is_400(client: Client, body: bytes) -> None:
    assert client.post(CHECKS, body, "application/json").status_code == 400


def test_a_body_larger_than_the_site_takes_is_400(
    client: Client, settings: Settings, lines: Lines
) -> None:
    body = b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    assert client.post(CHECKS, body, "application/json").status_code == 400
    assert not any("exception" in line for line in lines())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
variables = st.sampled_from([*GOOD, "HTTP_COOKIE", "wsgi.url_scheme", "wsgi.input"])
nearly_calls = st.dictionaries(variables | st.text(), st.text() | json_values)
nearly_rounds = st.fixed_dictionaries(
    {"ticket": st.text() | json_values},
    optional={"calls": st.lists(nearly_calls.map(lambda odd: {**GOOD, **odd}))},
)
bodies = (json_values | nearly_calls | nearly_rounds).map(
    lambda value: json.dumps(value).encode()
) | st.binary()


def test_any_body_is_200_or_400(client: Client, lines: Lines) -> None:
    @hypothesis_settings(max_examples=500, suppress_health_check=list(HealthCheck))
    @given(body=bodies)
    def try_it(body: bytes) -> None:
        response = client.post(CHECKS, body, "application/json")
        assert response.status_code in {200, 400}

    try_it()
    assert not any("exception" in line for line in lines())


signs = st.text(st.characters(max_codepoint=255), max_size=20)


def test_no_call_spoils_the_round_for_others(client: Client, key: str) -> None:
    @hypothesis_settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(target=signs, method=signs, host=signs, scheme=signs, other=signs)
    def compare(target: str, method: str, host: str, scheme: str, other: str) -> None:
        odd = call(
            "",
            target,
            REQUEST_METHOD=method,
            HTTP_HOST=host,
            HTTP_COOKIE=other,
            HTTP_ORIGIN=other,
            HTTP_UPGRADE=other,
            HTTP_X_FORWARDED_FOR=other,
            **{"wsgi.url_scheme": scheme},
        )
        refused, passed = verdicts(client, odd, call(key))
        assert refused["word"]
        assert passed["route"] == "members"

    compare()


class Noticing(dict[str, Any]):
    """Fields that note which of them are looked at."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.looked_at: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.looked_at.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.looked_at.add(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        self.looked_at.add(name)
        return super().__getitem__(name)


def test_a_door_sends_along_all_that_is_judged() -> None:
    own = {"HTTP_ORIGIN": f"http://{HOST}", "HTTP_SEC_FETCH_SITE": "same-origin"}
    looked_at: set[str] = set()
    for method, fields in (
        ("GET", own),
        ("GET", {"HTTP_UPGRADE": "websocket", **own}),
        ("POST", {"HTTP_X_BACKOFFICE": "1", **own}),
    ):
        noticing = Noticing(fields)
        asked = Call(method, "/api/proxy/members/", "http", HOST, noticing)
        decide(asked, FakeSession(KIM))
        looked_at |= noticing.looked_at
    known = {"HTTP_" + name.upper().replace("-", "_") for name in JUDGED_HEADERS}
    assert looked_at == known
