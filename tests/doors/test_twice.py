"""A field that came in two lines, or with blanks around its value, at each door.

The site has one value then, the lines joined with commas; whoever judges another one
judges another call. And what a client expects before it sends (RFC 9110, 10.1.1).
"""

from __future__ import annotations

import pytest

from backoffice.proxy.errors import Refusal
from tests.doors.house import Answer, Door, proof, websocket
from tests.doors.test_contract import TARGET, is_refused
from tests.doors.test_proof import HEADER, OWN, SITE, write

BLANKS = ("{} ", " {}", "\t{}", "{}\t", " \t {}\t\t", "{} \t ")


def refused_alike(door: Door, found: Answer, refusal: Refusal, seen: int) -> bool:
    return is_refused(found, refusal) and door.seen == seen


@pytest.mark.parametrize(
    "lines",
    [
        [HEADER, HEADER, OWN],
        [HEADER, "X-Backoffice:", OWN],
        ["X-Backoffice:", HEADER, OWN],
        [HEADER, "X-Backoffice: 0", OWN],
        [HEADER, OWN, OWN],
        [HEADER, OWN, "Origin: https://evil.example"],
        ["Origin: https://evil.example", HEADER, OWN],
        [HEADER, OWN, "Origin:"],
        [HEADER, SITE, SITE],
        [HEADER, OWN, SITE, SITE],
        [HEADER, OWN, SITE, "sec-fetch-site: cross-site"],
        [HEADER, "Sec-Fetch-Site: cross-site", SITE],
        [HEADER, OWN, "Sec-Fetch-Site:"],
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_two_values_are_no_proof(
    door: Door, lasting_key: str, lines: list[str], method: str
) -> None:
    seen = door.seen
    found = write(door, lasting_key, *lines, method=method)
    assert refused_alike(door, found, Refusal.NO_PROOF, seen)


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        (["Sec-Fetch-Site: cross-site"] * 2, Refusal.CROSS_SITE),
        ([SITE, SITE], Refusal.CROSS_SITE),
        ([SITE, "Sec-Fetch-Site: cross-site"], Refusal.CROSS_SITE),
        (["Sec-Fetch-Site: cross-site", "sec-fetch-site: none"], Refusal.CROSS_SITE),
        (["Sec-Fetch-Site:", "Sec-Fetch-Site:"], Refusal.CROSS_SITE),
        (["Sec-Fetch-Site: none, cross-site"], Refusal.CROSS_SITE),
        (["Sec-Fetch-Dest: empty", "Sec-Fetch-Dest: script"], Refusal.NO_SCRIPT),
        (["Sec-Fetch-Dest: script", "Sec-Fetch-Dest: empty"], Refusal.NO_SCRIPT),
        (["Sec-Fetch-Dest: worker", "SEC-FETCH-DEST: worker"], Refusal.NO_SCRIPT),
        (["Sec-Fetch-Dest:", "Sec-Fetch-Dest: style"], Refusal.NO_SCRIPT),
        (["Sec-Fetch-Dest: empty"] * 2, Refusal.NO_SCRIPT),
        (["Sec-Fetch-Dest: empty, script"], Refusal.NO_SCRIPT),
        (["Service-Worker:"], Refusal.NO_SCRIPT),
        (["Service-Worker: script"] * 2, Refusal.NO_SCRIPT),
    ],
)
def test_no_browser_says_two_things_about_one_read(
    door: Door, lasting_key: str, lines: list[str], refusal: Refusal
) -> None:
    seen = door.seen
    found = door.ask(TARGET, *lines, key=lasting_key)
    assert refused_alike(door, found, refusal, seen)


@pytest.mark.parametrize("others", [[], ["Sec-Fetch-Site:"], ["Sec-Fetch-Dest:"]])
def test_a_read_passes_with_fields_that_say_nothing(
    door: Door, lasting_key: str, others: list[str]
) -> None:
    twice = ["Accept: text/plain", "Origin: null", "X-Backoffice: 0"] * 2
    assert door.ask(TARGET, *twice, *others, key=lasting_key).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        ["Upgrade: h2c", "Upgrade: websocket"],
        ["Upgrade: websocket", "Upgrade: h2c"],
        ["Upgrade: websocket", "Upgrade: websocket"],
        ["Upgrade:", "Upgrade: WebSocket"],
        ["Upgrade: h2c, websocket"],
        ["Upgrade: h2c", "Upgrade: x, \tWebSocket\t, y"],
    ],
)
def test_a_websocket_among_others_needs_the_origin_of_the_site(
    door: Door, lasting_key: str, lines: list[str]
) -> None:
    seen = door.seen
    for origin in ([], ["Origin: https://evil.example"], [OWN, OWN]):
        named = [line.format(own=f"http://{door.host}") for line in origin]
        found = door.ask(TARGET, *lines, *named, key=lasting_key)
        assert refused_alike(door, found, Refusal.NO_PROOF, seen)


def test_a_websocket_of_two_origins_is_refused(door: Door, lasting_key: str) -> None:
    seen = door.seen
    fields = [*websocket(door), "Origin: https://evil.example"]
    found = door.ask(f"{TARGET}ws", *fields, key=lasting_key)
    assert refused_alike(door, found, Refusal.NO_PROOF, seen)


@pytest.mark.parametrize("form", BLANKS)
def test_blanks_around_a_value_are_none_of_it(
    door: Door, lasting_key: str, form: str
) -> None:
    for site, status in (("cross-site", 403), ("same-origin", 200)):
        line = f"Sec-Fetch-Site:{form.format(site)}"
        assert door.ask(TARGET, line, key=lasting_key).status == status
    line = f"Sec-Fetch-Dest:{form.format('script')}"
    assert door.ask(TARGET, line, key=lasting_key).status == 403
    lines = f"X-Backoffice:{form.format(1)}", f"Origin:{form.format('{own}')}"
    assert write(door, lasting_key, *lines).status == 200


def test_two_types_of_one_body_are_refused(door: Door, lasting_key: str) -> None:
    seen = door.seen
    fields = *proof(door), "Content-Type: text/plain", "Content-Length: 0"
    for second in ("text/plain", "application/json", ""):
        line = f"content-type: {second}"
        found = door.ask(TARGET, *fields, line, key=lasting_key, method="POST")
        assert (found.status, door.seen) == (400, seen)
    assert door.ask(TARGET, *fields, key=lasting_key, method="POST").status == 200


# The way ----------------------------------------------------------------------


@pytest.mark.parametrize("first", ["1.0 old", "1.0 old, 1.1 older", "\t1.0 old "])
def test_the_way_is_signed_after_all_who_signed_before(
    door: Door, lasting_key: str, first: str
) -> None:
    lines = f"Via:{first}", "X-A: 1", "via: 1.1 other"
    assert door.ask(TARGET, *lines, key=lasting_key).status == 200
    (said,) = door.house.upstream.last.all("Via")
    signed = [name.strip() for name in said.split(",")]
    assert signed == [*first.strip().split(", "), "1.1 other", "1.1 backoffice"]


# What came, whether it is the last hop for OPTIONS, and what goes on.
HOPS = {
    **{"3": (False, "2"), "1": (False, "0"), "0": (True, "0"), "00": (True, "0")},
    **{"08": (False, "7"), "\t3 ": (False, "2"), "999999999": (False, "999999998")},
    **{word: (False, word) for word in ("1" * 10, "9" * 3000, "+1", "-1", "0x1")},
    **{word: (False, word) for word in ("0 0", "0,0", "1.5", "\xb2")},
}


@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
@pytest.mark.parametrize(("came", "found"), HOPS.items(), ids=[h[:12] for h in HOPS])
def test_the_doors_count_hops_alike(
    door: Door, lasting_key: str, came: str, found: tuple[bool, str], method: str
) -> None:
    is_last, sent = found
    line = f"Max-Forwards:{came}".encode("latin-1")
    answer = door.ask(TARGET, line, key=lasting_key, method=method)
    if is_last and method == "OPTIONS":
        assert answer.status == 204
    else:
        assert answer.status == 200
        assert door.house.upstream.last.all("Max-Forwards") == [sent]


@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
@pytest.mark.parametrize("lines", [("0", "0"), ("3", "3"), ("0", ""), ("", "0")])
def test_two_counts_of_hops_are_none(
    door: Door, lasting_key: str, lines: tuple[str, str], method: str
) -> None:
    fields = [f"Max-Forwards: {count}" for count in lines]
    answer = door.ask(TARGET, *fields, key=lasting_key, method=method)
    assert answer.status == 200
    sent = ",".join(door.house.upstream.last.all("Max-Forwards"))
    assert sent.replace(" ", "") == ",".join(lines)


# What a client expects --------------------------------------------------------


def expecting(
    door: Door, *values: str, key: str | None = None, version: str = "HTTP/1.0"
) -> Answer:
    lines = [f"GET {TARGET} {version}", f"Host: {door.host}", "Connection: close"]
    lines += [f"Expect:{value}" for value in values]
    if key:
        lines.append(f"Cookie: session_id={key}")
    return door.send("\r\n".join([*lines, "", ""]).encode("latin-1"))


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize(
    "value",
    [
        *("", " ", " other", "100-continue, 100-continue", " 100-continue;q=1"),
        *(' "100-continue"', "100-continu\xe9", " 100", ",100-continue"),
    ],
)
@pytest.mark.parametrize("session", [True, False])
def test_what_nobody_can_promise_is_417(
    door: Door, lasting_key: str, value: str, version: str, session: bool
) -> None:
    """Before anything else is asked: the site's own web server says it at door 1."""
    seen = door.seen
    key = lasting_key if session else None
    found = expecting(door, value, key=key, version=version)
    assert (found.status, door.seen) == (417, seen)
    if door.name != "embedded":
        assert is_refused(found, Refusal.NO_EXPECT)


@pytest.mark.parametrize("form", ["{}", *BLANKS])
@pytest.mark.parametrize("word", ["100-continue", "100-Continue"])
def test_to_http_1_0_a_hundred_is_not_said(
    door: Door, lasting_key: str, word: str, form: str
) -> None:
    found = expecting(door, form.format(word), key=lasting_key)
    assert (found.status, found.content) == (200, b"hello")
    assert door.house.upstream.last.all("Expect") == []


@pytest.mark.parametrize("second", ["100-continue", "other", ""])
def test_two_expectations_are_refused(
    door: Door, lasting_key: str, second: str
) -> None:
    """nginx cannot read such a head at all: 400."""
    seen = door.seen
    found = expecting(door, "100-continue", second, key=lasting_key)
    status = 417 if door.name == "embedded" else 400
    assert (found.status, door.seen) == (status, seen)


def test_a_body_too_large_is_not_expected_either(door: Door, lasting_key: str) -> None:
    fields = *proof(door), "Content-Length: 1001", "Expect: other"
    body = b"x" * 1001
    found = door.ask(TARGET, *fields, key=lasting_key, method="POST", body=body)
    assert found.status == 417
