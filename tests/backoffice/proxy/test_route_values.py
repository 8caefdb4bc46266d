from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from backoffice.proxy.route_values import CHECKS, METHODS, Identity
from backoffice.proxy.routes import Route

GOOD: list[tuple[str, Any, Any]] = [
    ("name", "a", "a"),
    ("name", "0-a" + "b" * 60, "0-a" + "b" * 60),
    ("upstream", "http://h", "http://h"),
    ("upstream", "https://h.example:8443/a/b.c/", "https://h.example:8443/a/b.c"),
    ("upstream", "http://my_service:1/", "http://my_service:1"),
    ("upstream", "http://[::1]:80/v1", "http://[::1]:80/v1"),
    ("groups", ["a", "a"], frozenset({"a"})),
    ("methods", ["GET"], frozenset({"GET", "HEAD"})),
    ("methods", ["POST"], frozenset({"POST"})),
    ("methods", sorted(METHODS), METHODS),
    ("connect_timeout", 1, 1.0),
    ("read_timeout", 0.5, 0.5),
    ("max_body", 0, 0),
    ("identity", "none", Identity.NONE),
    ("ca_file", __file__, __file__),
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
    *(("groups", value) for value in ([], "support", [""], [" a"], [1], {"a": 1})),
    *(
        ("methods", value)
        for value in ([], ["get"], ["FOO"], ["TRACE"], ["CONNECT"], "GET", [1])
    ),
    *(
        ("total_timeout", value)
        for value in (0, -1, True, "1", float("inf"), float("nan"), None)
    ),
    *(("max_body", value) for value in (-1, 1.5, True, "10 MB")),
    *(("ca_file", value) for value in (1, "", "/", "absent.pem")),
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
    assert list(CHECKS) == [field.name for field in fields(Route)]
