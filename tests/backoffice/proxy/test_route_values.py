from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from requests.certs import where

from backoffice.proxy.route_values import CHECKS, METHODS, Cache, Identity, KeepAlive
from backoffice.proxy.routes import Route

GOOD: list[tuple[str, Any, Any]] = [
    ("name", "a", "a"),
    ("name", "0-a" + "b" * 60, "0-a" + "b" * 60),
    ("upstream", "http://h", "http://h"),
    ("upstream", "https://h.example:8443/a/b.c/", "https://h.example:8443/a/b.c"),
    ("upstream", "http://my_service:1/", "http://my_service:1"),
    ("upstream", "http://[::1]:80/v1", "http://[::1]:80/v1"),
    ("groups", ["a", "a"], frozenset({"a"})),
    ("upstream", "unix:/run/api.sock", "unix:/run/api.sock"),
    (
        "upstream",
        "http+unix://%2Frun%2Fapi.sock/v1/",
        "http+unix://%2Frun%2Fapi.sock/v1",
    ),
    ("prefix", "crm/v2.1", "crm/v2.1"),
    ("prefix", "/crm/", "crm"),
    ("writes", False, False),
    ("write_groups", ["a"], frozenset({"a"})),
    ("max_header", 256, 256),
    ("audience", "https://api.example/", "https://api.example/"),
    ("response_headers", ["X-Runtime"], frozenset({"x-runtime"})),
    ("hide_headers", ["X-Debug"], frozenset({"x-debug"})),
    ("cookies", ["theme"], frozenset({"theme"})),
    ("cache", "revalidate", Cache.REVALIDATE),
    ("keepalive", "person", KeepAlive.PERSON),
    ("keepalive", "shared", KeepAlive.SHARED),
    ("keepalive", "off", KeepAlive.OFF),
    ("identity", "token", Identity.TOKEN),
    ("methods", ["GET"], frozenset({"GET", "HEAD"})),
    ("methods", ["POST"], frozenset({"POST"})),
    ("methods", sorted(METHODS), METHODS),
    ("connect_timeout", 1, 1.0),
    ("read_timeout", 0.5, 0.5),
    ("max_body", 0, 0),
    ("max_body", 1024**4, 1024**4),
    ("identity", "none", Identity.NONE),
    ("ca_file", where(), where()),
]

BAD: list[tuple[str, Any]] = [
    *(
        ("name", value)
        for value in ("", "A", "-a", "a_b", "a/b", "a" * 64, "é", "a\n", 1)
    ),
    *(
        ("upstream", value)
        for value in (
            1,
            "",
            "h:80/v1",
            "ftp://h",
            "http://",
            "http:///v1",
            "http://user@h",
            "http://user:pass@h",
            "http://h:0",
            "http://h:99999",
            "http://h:x",
            "http://h:/v1",
            "http://h?x=1",
            "http://h/?",
            "http://h#x",
            "http://h/../v1",
            "http://h/v1/..",
            "http://h/./v1",
            "http://h/%2e%2e/v1",
            "http://h//v1",
            "http://h/v1//",
            "http://h/a b",
            "http://h/a\tb",
            "http://h/é",
            "http://é/",
            "http://h\\evil/",
            "http://h/a\\b",
            "http://[::1",
            " http://h",
        )
    ),
    *(
        ("upstream", value)
        for value in (
            "unix:",
            "unix:api.sock",
            "unix:/run/../api.sock",
            "unix:/run//api.sock",
            "unix:/run/api.sock:v1",
            "unix:/run/api.sock:/v1/..",
            "unix:/run/a b.sock",
            "unix:/" + "a" * 103,
            "http+unix:///run/api.sock",
            "http+unix://%2Frun%2F..%2Fapi.sock",
            "https+unix://%2Frun%2Fapi.sock",
            "http+unix://%2Frun%2Fapi.sock?x",
        )
    ),
    *(
        ("prefix", value)
        for value in ("", "/", "A", "a//b", "a/../b", "a/.b", "a/b.", "a%2f", "é", 1)
    ),
    *(("prefix", value) for value in ("a/" * 8 + "a", "a" * 201)),
    *(("writes", value) for value in ("true", 1, None)),
    *(("max_header", value) for value in (0, 255, 2**21, True, "1")),
    *(("audience", value) for value in ("", "a b", "é", 1)),
    *(("response_headers", value) for value in (["Set-Cookie"], ["X-Gate"], "x", [1])),
    *(("hide_headers", value) for value in (["X Y"], [""], "x")),
    *(("cookies", value) for value in (["a.b"], ["a b"], ["a" * 65], "a", [])),
    *(("cache", value) for value in ("public", True)),
    *(("keepalive", value) for value in ("shard", "", True, 4, [])),
    *(("groups", value) for value in ([], "support", [""], [" a"], [1], {"a": 1})),
    *(
        ("methods", value)
        for value in ([], ["get"], ["FOO"], ["TRACE"], ["CONNECT"], "GET", [1])
    ),
    *(
        ("total_timeout", value)
        for value in (0, -1, True, "1", float("inf"), float("nan"), None, 10**400)
    ),
    *(("max_body", value) for value in (-1, 1.5, True, "10 MB", 10**400)),
    *(
        ("ca_file", value)
        for value in (1, "", "/", "absent.pem", "a" * 5000, "a\0b", __file__)
    ),
    *(("identity", value) for value in ("jwt", "", 1, [])),
]


@pytest.mark.parametrize(("key", "given", "value"), GOOD)
def test_a_good_value_is_taken(key: str, given: Any, value: Any) -> None:
    assert CHECKS[key](given) == value


@pytest.mark.parametrize(("key", "given"), BAD)
def test_a_bad_value_is_refused(key: str, given: Any) -> None:
    with pytest.raises(ValueError, match=r"must|is not|unknown"):
        CHECKS[key](given)


def test_every_key_of_a_route_has_its_check() -> None:
    assert [*CHECKS, "place", "places"] == [field.name for field in fields(Route)]
