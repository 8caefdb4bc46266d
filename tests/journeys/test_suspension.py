"""Sign-ins and renewals of a person who is suspended at the same moment (P8).

In short by default; `SUSPENSION_RACES=1000` makes that many sign-ins and renewals.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import urljoin

import pytest

from tests.journeys.site import (
    ROOT,
    SUPPORT,
    Browser,
    Site,
    form_action,
    hidden_fields,
    running_site,
)
from tests.journeys.test_renewal import RENEW_SECONDS, let_time_pass

log = logging.getLogger(__name__)

SIGN_INS, RENEWALS = 6, 4
EACH = SIGN_INS + RENEWALS
RACES = int(os.environ.get("SUSPENSION_RACES", "40"))
# About as long as the last step of a sign-in takes here, so that it falls anywhere.
LONGEST_WAIT = 0.4


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running_site(folder, OIDC_RENEW_SECONDS=str(RENEW_SECONDS)) as running:
        yield running


@dataclass
class Suspender:
    """The other side: a process of its own, as a command is."""

    process: subprocess.Popen[str]

    def suspend(self, sub: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        print(sub, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def suspender(site: Site) -> Iterator[Suspender]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.journeys.suspender"],
        cwd=ROOT,
        env=site.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield Suspender(process)
    process.stdin.close()  # type: ignore[union-attr]
    process.wait(20)


def at_the_last_step(site: Site, sub: str) -> tuple[Browser, str]:
    """A browser that the provider has just sent back, and where to."""
    browser = site.browser()
    page = browser.choose_provider()
    answer = browser.http.post(
        urljoin(page.url, form_action(page.text, "/sign-in")),
        data={**hidden_fields(page.text, "/sign-in"), "sub": sub},
        allow_redirects=False,
        timeout=20,
    )
    return browser, answer.headers["Location"]


def passes(browser: Browser) -> bool:
    return browser.call("/api/proxy/echo/").status_code == 200


def race(
    site: Site, suspender: Suspender, sub: str, threads: ThreadPoolExecutor
) -> tuple[int, int]:
    """How many sign-ins ended at home, and how many requests passed afterwards."""
    staff = site.provider.state.staff
    staff[sub] = replace(staff[SUPPORT], sub=sub, username=sub)
    signed_in = [site.browser() for _ in range(RENEWALS)]
    list(threads.map(lambda each: each.sign_in(sub), signed_in))
    coming = list(threads.map(lambda _: at_the_last_step(site, sub), range(SIGN_INS)))
    let_time_pass(site)
    start = threading.Barrier(EACH + 1)

    def come_back(browser: Browser, address: str) -> bool:
        start.wait()
        return browser.get(address).url == f"{site.url}/"

    def use(browser: Browser) -> bool:
        # The use makes the renewal due, beside the request and after it.
        start.wait()
        return passes(browser)

    arriving = [threads.submit(come_back, *each) for each in coming]
    using = [threads.submit(use, each) for each in signed_in]
    start.wait()
    time.sleep(random.random() * LONGEST_WAIT)  # noqa: S311 - no secret
    assert suspender.suspend(sub) == "done"
    # Reported done: nobody passes from now on, whatever is still under way.
    everyone = [*signed_in, *(browser for browser, _ in coming)]
    passed = 0
    while not all(each.done() for each in (*arriving, *using)):
        passed += sum(threads.map(passes, signed_in))
    passed += sum(threads.map(passes, everyone))
    # Its session at the provider is alive, so one click is a whole sign-in.
    assert signed_in[0].choose_provider().status_code == 403
    return sum(each.result() for each in arriving), passed


def test_nobody_passes_once_the_suspension_is_reported(
    site: Site, suspender: Suspender
) -> None:
    arrived = passed = 0
    with ThreadPoolExecutor(2 * EACH) as threads:
        for number in range(max(1, RACES // EACH)):
            some, more = race(site, suspender, f"race-{number}", threads)
            arrived, passed = arrived + some, passed + more
    log.info("races=%d sign_ins_before=%d passed_after=%d", RACES, arrived, passed)
    assert passed == 0
    listed = json.loads(site.manage("list_sessions", "--json").stdout)
    assert listed["sessions"] == []
