from __future__ import annotations

import pytest

from accounts.sso.destination import MAX_BYTES, own_path
from tests.accounts.sso.person import Person


@pytest.mark.parametrize(
    "target",
    ["/", "/sessions/?from=here#x", "/a/%20b", "/부서/", "/?next=https://x.example"],
)
def test_own_path_is_kept(target: str) -> None:
    assert own_path(target, "/home/") == target


FOREIGN = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    " /x",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\x00x",
    "/%2f/evil.example",
    "/%5cevil.example",
    "/%09/evil.example",
    "user@evil.example",
    "http://localhost@evil.example",
    "http://localhost/",
    "evil.example",
    "",
]


@pytest.mark.parametrize("target", [*FOREIGN, None, 7, "/" + "x" * MAX_BYTES])
def test_everything_else_is_the_default(target: object) -> None:
    """OID-18."""
    assert own_path(target, "/home/") == "/home/"


@pytest.mark.parametrize("target", FOREIGN)
def test_nobody_is_sent_elsewhere_after_signing_in(person: Person, target: str) -> None:
    answer = person.sign_in(target=target)
    assert (answer.status_code, answer["Location"]) == (302, "/")
