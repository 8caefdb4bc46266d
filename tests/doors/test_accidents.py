"""A fault in any step that a call takes at nginx denies (ASVS 16.5.3)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.doors.conftest import fresh_key
from tests.doors.house import Door, House, proof
from tests.doors.server import running_nginx
from tests.journeys.site import ROOT
from tests.waiting import wait_until

SNIPPETS = ROOT / "deploy" / "nginx"
# Put before the end of every module: each of its functions breaks while a call's own
# query asks for that, in the call itself or in the timer that asks on its behalf.
BREAKABLE = """
for name, step in pairs(_M) do
    if type(step) == "function" and not string.find(name, "^start") then
        local place = "%s." .. name
        _M[name] = function(...)
            local phase, notes = ngx.get_phase(), ngx.shared.backoffice
            local is_first = place == "script.access" or place == "check.access"
            if is_first then notes:set("broken", ngx.var.arg_fail) end
            local is_meant = phase == "access" or phase == "timer"
            if is_meant and notes:get("broken") == place then error("an accident") end
            return step(...)
        end
    end
end
"""
READ, FOLDED = ("/api/proxy/echo/", "GET"), ("/api/proxy/crm/%41", "GET")
WRITE, SIGNED = ("/api/proxy/echo/", "POST"), ("/api/proxy/signed/", "GET")
REFUSED = ("/api/proxy/reports/", "GET")
# Each function that a call goes through at door 3, and a call that does.
STEPS = {
    "clock.follow": READ,
    "clock.now": READ,
    "cookies.to_upstream": ("/api/proxy/crm/themed/", "GET"),
    "crypto.open": READ,
    "fence.standing": READ,
    "head.look": READ,
    "head.is_odd": READ,
    "head.value": READ,
    "hops.end_here": READ,
    "hops.is_last": READ,
    "hops.join_way": READ,
    "hosts.is_own_origin": WRITE,
    "hosts.is_served": READ,
    "identity.fields": READ,
    "identity.token": SIGNED,
    "passage.begin": READ,
    "paths.folded": FOLDED,
    "paths.read": READ,
    "record.ids": READ,
    "record.is_live": READ,
    "record.key_in": READ,
    "record.last_used": READ,
    "record.opened": READ,
    "refusals.answer": REFUSED,
    "resp.number_at": READ,
    "resp.text_at": READ,
    "routes.is_safe": READ,
    "routes.match": READ,
    "routes.refusal": READ,
    "script.access": READ,
    "session.live": READ,
    "store.ask": READ,
    "store.carry": READ,
    "store.question": READ,
    "watch.follow": READ,
}
# The same at door 2.
CHECK_STEPS = {
    "check.access": READ,
    "checks.carry": READ,
    "checks.verdict": READ,
    "cookies.to_upstream": ("/api/proxy/crm/themed/", "GET"),
    "head.look": READ,
    "hops.end_here": READ,
    "hops.is_last": ("/api/proxy/echo/", "OPTIONS"),
    "passage.begin": READ,
    "record.key_in": READ,
    "refusals.answer": REFUSED,
    "watch.follow": READ,
}
AT_DOORS = {"check": CHECK_STEPS, "script": STEPS}
# At the start, in a timer, after the answer, or only when something is wrong already.
ELSEWHERE = {
    *(
        "check.too_large",
        "checks.fail",
        "config.load",
        "rounds.new",
        "store.fail",
        "store.identity",
        "resp.command",
        "resp.text",
        "crypto.hmac",
        "crypto.signer",
        "fence.lower",
    ),
    *(
        "fence.raise",
        "answers.clean",
        "answers.clean_with_cookies",
        "cookies.to_browser",
        "refusals.last_hop",
        "script.too_large",
    ),
    *("site.call", "watch.forget"),
}


def functions() -> set[str]:
    found = set()
    for file in (SNIPPETS / "lua" / "backoffice").glob("*.lua"):
        for name in re.findall(r"^function _M\.(\w+)", file.read_text(), re.M):
            found.add(f"{file.stem}.{name}")
    return {name for name in found if ".start" not in name}


@pytest.fixture(scope="module")
def fragile(
    house: House, tmp_path_factory: pytest.TempPathFactory, request: Any
) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("fragile")
    snippets = folder / "snippets"
    shutil.copytree(SNIPPETS, snippets)
    for file in (snippets / "lua" / "backoffice").glob("*.lua"):
        before, end, _ = file.read_text().rpartition("\nreturn _M")
        file.write_text(before + BREAKABLE % file.stem + end)
    options = (request.param, "--snippets", str(snippets))
    with running_nginx(house.site, folder, *options) as address:
        yield Door(house, request.param, address)


def test_every_step_is_known() -> None:
    assert functions() == {*STEPS, *CHECK_STEPS, *ELSEWHERE}


@pytest.mark.parametrize(
    ("fragile", "step"),
    [(door, step) for door, steps in AT_DOORS.items() for step in steps],
    indirect=["fragile"],
)
def test_an_accident_in_any_step_denies(house: House, fragile: Door, step: str) -> None:
    steps = AT_DOORS[fragile.name]
    key = fresh_key(house)
    target, method = steps[step]
    fields = [*proof(fragile), "Content-Length: 0"] if method == "POST" else []
    seen = fragile.seen
    broken = fragile.ask(f"{target}?fail={step}", *fields, key=key, method=method)
    # Without the answer of store or site nothing is known, which is an outage.
    assert broken.status in {500, 503}
    assert b"accident" not in broken.body
    assert fragile.seen == seen
    passing = 403 if steps[step] is REFUSED else 200

    def is_well_again() -> bool:
        whole = fragile.ask(f"{target}?fail=no", *fields, key=key, method=method)
        return whole.status == passing

    assert wait_until(is_well_again)
