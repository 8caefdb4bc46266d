from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.profile import StaffProfile
from backoffice.proxy.errors import GATE_HEADER, NO_STORE
from backoffice.proxy.gate import PROOF_HEADER
from backoffice.proxy.headers import (
    CONTENT_POLICY,
    REVALIDATE,
    from_upstream,
    identity_fields,
    origin_fields,
    to_upstream,
)
from backoffice.proxy.route_values import Cache
from tests.backoffice.proxy.conftest import KIM

NOT_SENT = [
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "HTTP2-Settings",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Proxy",
    "Cookie",
    "Authorization",
    "Host",
    "Content-Length",
    "Expect",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-User",
    "X-Forwarded-Anything",
    "X-Real-IP",
    "True-Client-IP",
    "X-Client-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Request-Id",
    "X-Staff-User",
    "X-Staff-Anything",
    "X-Session-Id",
    "X-Remote-User",
    "Remote-User",
    GATE_HEADER,
    PROOF_HEADER,
    "X-CSRFToken",
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
    "Access-Control-Request-Method",
]
SENT = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Content-Type",
    "Content-Encoding",
    "If-None-Match",
    "If-Modified-Since",
    "Range",
    "User-Agent",
    "traceparent",
    "tracestate",
    "X-Api-Version",
]
NOT_RETURNED = [
    "Connection",
    "Keep-Alive",
    "Transfer-Encoding",
    "Upgrade",
    "Proxy-Authenticate",
    "Set-Cookie",
    "Set-Cookie2",
    "Strict-Transport-Security",
    "Alt-Svc",
    "Server",
    "X-Powered-By",
    "X-AspNet-Version",
    "Access-Control-Allow-Origin",
    "Clear-Site-Data",
    "Service-Worker-Allowed",
    "Public-Key-Pins",
    "Content-Security-Policy-Report-Only",
    "X-Accel-Redirect",
    "X-Sendfile",
    "Refresh",
    "Via",
    "X-Staff-User",
    "X-Session-Id",
    "X-Request-Id",
    GATE_HEADER,
]
RETURNED = [
    "Content-Type",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Disposition",
    "Accept-Ranges",
    "ETag",
    "Last-Modified",
    "Location",
    "Link",
    "Retry-After",
    "WWW-Authenticate",
    "X-Total-Count",
]


def sent_on(sent: dict[str, str], ours: dict[str, str]) -> dict[str, str]:
    """What goes on of these fields, given as a web server would give them."""
    environment = {}
    for name, value in sent.items():
        variable = name.upper().replace("-", "_")
        if variable != "CONTENT_TYPE":
            variable = f"HTTP_{variable}"
        environment[variable] = value
    return to_upstream(environment, ours)


def spellings(name: str) -> list[str]:
    return [name, name.lower(), name.upper(), name.replace("-", "_"), f"{name} "]


@pytest.mark.parametrize("name", NOT_SENT)
def test_what_a_client_may_not_say_stays_here(name: str) -> None:
    for spelling in spellings(name):
        assert set(sent_on({spelling: "x"}, {})) == {"Via"}


@pytest.mark.parametrize("name", SENT)
def test_what_an_api_needs_goes_on(name: str) -> None:
    assert sent_on({name: "x"}, {})[name.title()] == "x"


def test_the_client_cannot_take_our_word_away() -> None:
    sent = {"Connection": "X-Staff-User, x_staff_sub", "X-Staff-User": "root"}
    fields = sent_on(sent, identity_fields(KIM, "sid-1"))
    assert fields["X-Staff-User"] == "kim"
    assert fields["X-Staff-Sub"] == "sub-1"


def test_what_connection_names_ends_here() -> None:
    sent = {"Connection": "close, X-Trace ,  X_Other", "X-Trace": "1", "X-Other": "2"}
    assert set(sent_on(sent, {})) == {"Via"}


def test_an_empty_field_is_not_sent() -> None:
    assert "Content-Type" not in sent_on({"Content-Type": ""}, {})


@pytest.mark.parametrize(
    ("sent", "via"),
    [({}, "1.1 backoffice"), ({"Via": "1.0 front"}, "1.0 front, 1.1 backoffice")],
)
def test_we_sign_the_way(sent: dict[str, str], via: str) -> None:
    assert sent_on(sent, {})["Via"] == via


@pytest.mark.parametrize(
    ("before", "after"),
    [("5", "4"), ("0", "0"), ("x", "x"), ("\xb2", "\xb2"), ("1" * 5000, "1" * 5000)],
)
def test_hops_are_counted_down(before: str, after: str) -> None:
    assert sent_on({"Max-Forwards": before}, {})["Max-Forwards"] == after


def test_identity_is_ascii_and_can_be_read_back() -> None:
    fields = identity_fields(KIM, "sid-1")
    assert fields["X-Staff-Name"] == "%EA%B9%80%EB%AF%BC%EC%A7%80"
    assert unquote(fields["X-Staff-Name"]) == KIM.name
    assert unquote(fields["X-Staff-Department"]) == KIM.department
    assert fields["X-Staff-Email"] == KIM.email
    assert fields["X-Session-Id"] == "sid-1"


def test_a_comma_in_a_group_makes_no_second_group() -> None:
    groups = identity_fields(KIM, "sid-1")["X-Staff-Groups"].split(",")
    assert tuple(map(unquote, groups)) == KIM.groups


def test_what_is_unknown_is_left_out() -> None:
    nobody = StaffProfile("i", "s", "u", "", "", "", ())
    assert set(identity_fields(nobody, "sid")) == {
        "X-Staff-Sub",
        "X-Staff-User",
        "X-Session-Id",
    }


def test_the_origin_of_the_call_is_our_own_observation() -> None:
    assert origin_fields("192.0.2.1", "https", "site.example", "r-1") == {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "site.example",
        "X-Request-Id": "r-1",
    }
    assert "X-Request-Id" not in origin_fields("192.0.2.1", "http", "h", None)


@pytest.mark.parametrize("name", NOT_RETURNED)
def test_what_only_this_site_may_say_is_dropped(name: str) -> None:
    for spelling in spellings(name):
        assert from_upstream([(spelling, "x")]) == from_upstream([])


@pytest.mark.parametrize("name", RETURNED)
def test_what_belongs_to_the_answer_comes_back(name: str) -> None:
    assert from_upstream([(name, "x")])[0] == (name, "x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cache-Control", "no-store"),
        ("Vary", "Cookie"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", CONTENT_POLICY),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ],
)
def test_our_rules_replace_the_upstreams(name: str, value: str) -> None:
    fields = from_upstream([(name, "lax")] if name != "Vary" else [])
    assert [given for known, given in fields if known == name] == [value]


def test_the_answer_varies_by_what_the_upstream_says_and_the_cookie() -> None:
    fields = dict(from_upstream([("Vary", "Accept"), ("vary", "Origin")]))
    assert fields["Vary"] == "Accept, Origin, Cookie"


def test_fields_that_come_twice_stay_two_in_order() -> None:
    received = [("Link", "a"), ("X-A", "1"), ("Link", "b")]
    assert from_upstream(received)[:3] == received


def test_of_a_single_field_the_first_stands() -> None:
    fields = from_upstream([("Content-Type", "a/b"), ("content-type", "text/html")])
    assert fields[0] == ("Content-Type", "a/b")
    assert "text/html" not in dict(fields).values()


def test_what_the_upstreams_connection_names_is_dropped() -> None:
    assert from_upstream([("Connection", "X-A"), ("X-A", "1")]) == from_upstream([])


@pytest.mark.parametrize("field", [("Bad Name", "x"), ("", "x"), ("X-A", "a\x00b")])
def test_a_malformed_field_is_dropped(field: tuple[str, str]) -> None:
    assert from_upstream([field]) == from_upstream([])


names = st.one_of(
    st.sampled_from(
        [
            spelling
            for name in [*NOT_SENT, *NOT_RETURNED]
            for spelling in spellings(name)
        ]
    ),
    st.text("aXx-_ :\r\n", max_size=6),
)
values = st.text(max_size=8)
OURS = {**identity_fields(KIM, "sid-1"), **origin_fields("::1", "http", "h", "r")}


@given(st.dictionaries(names, values, max_size=12), st.lists(names, max_size=4))
def test_nothing_a_client_sends_passes_for_our_word(
    sent: dict[str, str], named: list[str]
) -> None:
    fields = sent_on({**sent, "Connection": ",".join(named)}, OURS)
    assert fields.items() >= OURS.items()
    forbidden = {name.lower() for name in NOT_SENT} - {name.lower() for name in OURS}
    known = [name.lower().replace("_", "-").strip() for name in fields]
    assert not forbidden & set(known)
    assert len(known) == len(set(known))


@given(st.lists(st.tuples(names, values), max_size=12))
def test_nothing_an_upstream_sends_breaks_our_answer(
    received: list[tuple[str, Any]],
) -> None:
    fields = from_upstream(received)
    known = [name.lower() for name, _ in fields]
    assert not {name.lower() for name in NOT_RETURNED} & set(known)
    assert known.count("cache-control") == 1
    for name, value in fields:
        assert name
        assert not set(name + value) & set("\r\n\x00")


def test_a_route_may_let_some_fields_through_and_hide_others() -> None:
    received = [("X-Runtime", "0.1"), ("X-Debug", "1"), ("Set-Cookie", "a=b")]
    shown, hidden = frozenset({"x-runtime"}), frozenset({"x-debug"})
    fields = from_upstream(received, shown, hidden)
    assert fields[0] == ("X-Runtime", "0.1")
    assert fields[1:] == from_upstream([])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("public, max-age=600", REVALIDATE),
        ("", REVALIDATE),
        ("max-age=1, No-Store", NO_STORE),
    ],
)
def test_a_kept_answer_is_asked_for_again_each_time(asked: str, said: str) -> None:
    fields = from_upstream([("Cache-Control", asked)], cache=Cache.REVALIDATE)
    assert dict(fields)["Cache-Control"] == said
