"""I7: many people sign in at once, and some of them many times."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from accounts.audit import Event
from tests.journeys.site import SUPPORT, Site

THREADS = 16
PEOPLE, TIMES = 20, 15


def sign_in(site: Site, sub: str) -> int:
    """The status that the browser ends on; anything but its own home is no success."""
    page = site.browser().sign_in(sub)
    return page.status_code if page.url == f"{site.url}/" else 0


@pytest.fixture(scope="module")
def people(site: Site) -> list[str]:
    """A company of PEOPLE, each like the one in support."""
    staff = site.provider.state.staff
    for number in range(PEOPLE):
        sub = f"many-{number}"
        staff[sub] = replace(staff[SUPPORT], sub=sub)
    return [sub for sub in staff if sub.startswith("many-")]


def test_sign_ins_at_once_make_one_account_each_and_leave_nothing_unfinished(
    site: Site, people: list[str]
) -> None:
    # Each person's stand together, so that their first ones race for the account.
    order = [sub for sub in people for _ in range(TIMES)]
    with ThreadPoolExecutor(THREADS) as threads:
        walked = list(threads.map(lambda sub: sign_in(site, sub), order))
    assert set(walked) == {200}
    # What had to wait for SQL is in the store, sealed; this writes it.
    site.manage("purge_sessions")
    assert counted(site, "accounts_user WHERE sub LIKE 'many-%'") == PEOPLE
    assert counted(site, "social_auth_usersocialauth") == PEOPLE
    assert counted(site, "social_auth_nonce") == 0
    assert counted(site, "social_auth_association") == 0
    entered = f"accounts_auditentry WHERE event = '{Event.SIGNED_IN}'"
    assert counted(site, entered) == len(walked)
    assert (
        counted(site, "social_auth_code") == counted(site, "social_auth_partial") == 0
    )


def counted(site: Site, what: str) -> int:
    return int(site.rows(f"SELECT count(*) FROM {what}")[0][0])
