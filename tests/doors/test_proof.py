"""Whose page sent an unsafe call: docs/decisions/0002, word for word, at each door."""

from __future__ import annotations

import pytest

from backoffice.proxy.errors import Refusal
from tests.doors.house import Answer, Door, websocket
from tests.doors.test_contract import is_refused

TARGET = "/api/proxy/echo/"
HEADER, SITE, OWN = "X-Backoffice: 1", "Sec-Fetch-Site: same-origin", "Origin: {own}"


def write(door: Door, key: str, *fields: str, method: str = "POST") -> Answer:
    """A call that changes something; `{own}` is the origin at which it is made."""
    own, site = f"http://{door.host}", door.house.site.url
    named = [field.format(own=own, host=door.host, site=site) for field in fields]
    named.append("Content-Length: 0")
    return door.ask(TARGET, *named, key=key, method=method)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "fields",
    [
        [HEADER, OWN],
        [HEADER, SITE],
        [HEADER, OWN, SITE],
        [HEADER, "Origin: {site}"],
        ["x-backoffice: 1", "ORIGIN: {own}"],
    ],
)
def test_the_header_and_the_browser_s_word_are_proof_and_stay_here(
    door: Door, lasting_key: str, fields: list[str], method: str
) -> None:
    assert write(door, lasting_key, *fields, method=method).status == 200
    last = door.house.upstream.last
    for name in ("X-Backoffice", "Origin", "Sec-Fetch-Site"):
        assert last.all(name) == [], name


@pytest.mark.parametrize(
    "fields",
    [
        [HEADER],
        [OWN, SITE],
        ["X-Backoffice: 0", OWN, SITE],
        ["X-Backoffice: 1, 1", OWN, SITE],
        ["X-Backoffice: true", OWN],
        ["X_Backoffice: 1", OWN],
        [HEADER, OWN, "Sec-Fetch-Site: cross-site"],
        [HEADER, OWN, "Sec-Fetch-Site: same-site"],
        [HEADER, OWN, "Sec-Fetch-Site: none"],
        [HEADER, "Sec-Fetch-Site: none"],
        [HEADER, "Sec-Fetch-Site: SAME-ORIGIN"],
        [HEADER, "Origin: https://{host}"],
        [HEADER, "Origin: http://localhost"],
        [HEADER, "Origin: http://localhost:1"],
        [HEADER, "Origin: {own}/"],
        [HEADER, "Origin: {own}.evil.example"],
        [HEADER, "Origin: {own}, https://evil.example"],
        [HEADER, "Origin: http://evil.example@{host}"],
        [HEADER, "Origin: null", SITE],
        [HEADER, "Referer: {own}/"],
    ],
)
def test_anything_less_is_refused(
    door: Door, lasting_key: str, fields: list[str]
) -> None:
    seen = door.seen
    assert is_refused(write(door, lasting_key, *fields), Refusal.NO_PROOF)
    assert door.seen == seen


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none", "cross-site"])
def test_a_read_is_refused_to_other_sites_alone(
    door: Door, lasting_key: str, site: str
) -> None:
    answer = door.ask(TARGET, f"Sec-Fetch-Site: {site}", key=lasting_key)
    if site == "cross-site":
        assert is_refused(answer, Refusal.CROSS_SITE)
    else:
        assert answer.status == 200


@pytest.mark.parametrize("field", ["Origin: https://{host}", SITE, "Origin: null"])
def test_a_websocket_needs_the_origin_of_the_site(
    door: Door, lasting_key: str, field: str
) -> None:
    seen = door.seen
    fields = [one for one in websocket(door) if not one.startswith("Origin")]
    fields.append(field.format(host=door.host))
    answer = door.ask(f"{TARGET}ws", *fields, key=lasting_key)
    assert (answer.status, answer.word) == (403, Refusal.NO_PROOF.word)
    assert door.seen == seen
