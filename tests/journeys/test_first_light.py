"""The whole story, each step real: sign in, pass the gate, be listed, be killed."""

from __future__ import annotations

import json
import subprocess

import pytest

from accounts.keys import is_session_id
from tests.journeys.site import (
    ADMIN,
    CONTRACTOR,
    COOKIE,
    FINANCE,
    SUPPORT,
    Browser,
    Site,
    hidden_fields,
)

LIVE = "/admin/accounts/livesession/"


def listed_ids(page_text: str) -> list[str]:
    return [
        part.split('"', 1)[0]
        for part in page_text.split('name="session"\n')[0:0]
        or page_text.split('value="')[1:]
        if is_session_id(part.split('"', 1)[0])
    ]


def end_sessions(admin: Browser, *ids: str) -> str:
    """Chooses sessions in the admin, confirms, and gives the page that follows."""
    asked = admin.get(f"{LIVE}end/", params={"session": list(ids)})
    fields = {"session": list(ids), "reason": "stolen laptop", "confirmed": "yes"}
    return admin.submit(asked, "/livesession/end/", **fields).text


def own_session_id(browser: Browser) -> str:
    echoed = browser.call("/api/proxy/echo/").json()
    headers = {name.lower(): value for name, value in echoed["headers"]}
    return str(headers["x-session-id"])


def test_page_without_session_goes_to_sign_in(browser: Browser) -> None:
    page = browser.get("/")
    assert page.url.endswith("/sign-in/?next=/")
    assert browser.session_key is None


def test_signing_in_comes_back_to_where_one_was_going(browser: Browser) -> None:
    page = browser.sign_in(SUPPORT, next_path="/sessions/")
    assert page.status_code == 200
    assert page.url == f"{browser.url}/sessions/"


def test_staff_home_says_who_what_and_until_when(browser: Browser) -> None:
    page = browser.sign_in(SUPPORT)
    assert "박지훈" in page.text
    assert "/api/proxy/members/" in page.text
    assert "/api/proxy/reports/" not in page.text
    assert "<time" in page.text


def test_cookie_has_the_promised_form(browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    cookie = next(c for c in browser.http.cookies if c.name == COOKIE)
    assert cookie.expires is None
    assert cookie.path == "/"
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"


def test_not_staff_is_refused_and_leaves_nothing(site: Site, browser: Browser) -> None:
    page = browser.sign_in(CONTRACTOR)
    assert page.status_code == 403
    assert "staff" in page.text
    subs = [sub for (sub,) in site.rows("SELECT sub FROM accounts_user")]
    assert CONTRACTOR not in subs
    assert browser.call("/api/proxy/echo/").status_code == 401
    assert browser.get("/").url.endswith("/sign-in/?next=/")


@pytest.mark.parametrize("cookie", [None, "0" * 32, "garbage", "*", ""])
def test_gate_without_live_session_is_an_empty_401(
    browser: Browser, cookie: str | None
) -> None:
    cookies = {} if cookie is None else {COOKIE: cookie}
    answer = browser.call("/api/proxy/echo/", cookies=cookies)
    assert answer.status_code == 401
    assert answer.content == b""
    assert "WWW-Authenticate" in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["X-Gate"] == "no-session"


def test_gate_with_session_forwards_status_headers_and_body(browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    answer = browser.call("/api/proxy/members/?page=2")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()
    assert browser.call("/api/proxy/upstream/status/418").status_code == 418


def test_upstream_gets_the_identity_and_not_the_cookie(browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    echoed = browser.call(
        "/api/proxy/echo/a%2Fb?x=1", "POST", data="hello", headers={"X-Staff-Sub": "me"}
    ).json()
    headers = {name.lower(): value for name, value in echoed["headers"]}
    assert headers["x-staff-sub"] == SUPPORT
    assert "cookie" not in headers
    assert browser.session_key not in json.dumps(echoed)
    assert is_session_id(headers["x-session-id"])


def test_route_of_another_group_is_403(browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    answer = browser.call("/api/proxy/reports/daily")
    assert answer.status_code == 403
    assert answer.headers["X-Gate"] == "not-allowed"


def test_write_without_proof_of_our_pages_is_403(browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    answer = browser.http.post(
        f"{browser.url}/api/proxy/echo/", headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403


def test_admin_lists_and_kills_and_the_killed_one_is_out(
    site: Site, browser: Browser, another_browser: Browser
) -> None:
    staff, admin = browser, another_browser
    staff.sign_in(SUPPORT)
    admin.sign_in(ADMIN)
    victim = own_session_id(staff)
    page = admin.get(LIVE)
    assert page.status_code == 200
    assert "박지훈" in page.text
    assert victim in page.text
    assert str(staff.session_key) not in page.text

    told = end_sessions(admin, victim)
    assert "1 session ended." in told

    assert staff.call("/api/proxy/echo/").status_code == 401
    assert "/sign-in/" in staff.get("/").url
    assert admin.call("/api/proxy/echo/").status_code == 200
    kill = site.rows(
        "SELECT actor, reason FROM accounts_auditentry"
        " WHERE event = 'session:killed' AND session_id = ?",
        victim,
    )
    assert kill == [("seoyeon.kim", "stolen laptop")]


def test_admin_kills_several_and_is_told_of_what_was_gone(site: Site) -> None:
    people = [site.browser() for _ in range(3)]
    for person in people:
        person.sign_in(FINANCE)
    ids = [own_session_id(person) for person in people]
    admin = site.browser()
    admin.sign_in(ADMIN)
    assert "1 session ended." in end_sessions(admin, ids[0])
    told = end_sessions(admin, *ids)
    assert "2 sessions ended." in told
    assert "1 session was already gone." in told
    assert {p.call("/api/proxy/echo/").status_code for p in people} == {401}


def test_staff_without_rights_cannot_enter_the_desk(browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    assert browser.get("/admin/").status_code == 403
    assert browser.get(LIVE).status_code == 403
    assert "livesession" not in browser.get("/").text


def test_desk_has_no_password_door(browser: Browser) -> None:
    page = browser.get("/admin/login/?next=/admin/")
    assert "/sign-in/" in page.url
    assert 'type="password"' not in page.text
    browser.sign_in(ADMIN)
    assert browser.get("/admin/password_change/").status_code == 404


def test_nothing_is_ended_by_get(browser: Browser) -> None:
    browser.sign_in(ADMIN)
    own = own_session_id(browser)
    query = {"session": own, "confirmed": "yes", "reason": "r", "own": "on"}
    assert browser.get(f"{LIVE}end/", params=query).status_code == 200
    assert browser.get("/sign-out/").status_code == 405
    assert browser.call("/api/proxy/echo/").status_code == 200


def test_session_id_used_as_a_cookie_is_401(browser: Browser, site: Site) -> None:
    browser.sign_in(SUPPORT)
    stranger = site.browser()
    answer = stranger.call(
        "/api/proxy/echo/", cookies={COOKIE: own_session_id(browser)}
    )
    assert answer.status_code == 401


def test_signing_in_again_changes_the_key_and_ends_the_old_session(
    browser: Browser, site: Site
) -> None:
    browser.sign_in(SUPPORT)
    first = str(browser.session_key)
    thief = site.browser()
    stolen = {COOKIE: first}
    assert thief.call("/api/proxy/echo/", cookies=stolen).status_code == 200
    # A second tab that had begun to sign in: its answer comes after the first one's.
    token = hidden_fields(browser.get("/").text, "/sign-out/")["csrfmiddlewaretoken"]
    begun = browser.http.post(
        f"{browser.url}/sso/login/oidc/",
        data={"csrfmiddlewaretoken": token},
        headers={"Referer": f"{browser.url}/"},
        timeout=60,
    )
    assert begun.status_code == 200
    assert browser.session_key not in {None, first}
    assert browser.call("/api/proxy/echo/").status_code == 200
    assert thief.call("/api/proxy/echo/", cookies=stolen).status_code == 401


def test_sign_out_ends_it_here_and_at_the_provider(site: Site) -> None:
    person = site.browser()
    home = person.sign_in(SUPPORT)
    key = str(person.session_key)
    sessions_at_provider = len(site.provider.sessions)
    page = person.submit(home, "/sign-out/")
    assert page.url.startswith(f"{person.url}/signed-out/")
    assert len(site.provider.sessions) == sessions_at_provider - 1
    replayed = site.browser().call("/api/proxy/echo/", cookies={COOKIE: key})
    assert replayed.status_code == 401


def test_own_sessions_can_be_ended(site: Site) -> None:
    here, there = site.browser(), site.browser()
    here.sign_in(FINANCE)
    there.sign_in(FINANCE)
    page = here.get("/sessions/")
    assert page.status_code == 200
    here.submit(page, "/sessions/end-others/")
    assert there.call("/api/proxy/echo/").status_code == 401
    assert here.call("/api/proxy/echo/").status_code == 200


def test_purge_sessions_kills_by_name_mail_and_sub(site: Site) -> None:
    for name in ("jihoon.park", "jihoon.park@example.com", SUPPORT):
        person = site.browser()
        person.sign_in(SUPPORT)
        dry = json.loads(
            site.manage("purge_sessions", "--user", name, "--dry-run", "--json").stdout
        )
        assert dry["ended"] >= 1
        assert person.call("/api/proxy/echo/").status_code == 200
        done = site.manage("purge_sessions", "--user", name, "--yes", "--json")
        assert json.loads(done.stdout)["ended"] == dry["ended"]
        assert person.call("/api/proxy/echo/").status_code == 401


def test_purge_sessions_exit_codes(site: Site) -> None:
    def code(*arguments: str) -> int:
        return site.manage("purge_sessions", *arguments, check=False).returncode

    assert code() == 0
    assert code("--user", "nobody") == 1
    assert code("--everyone") == 2
    assert code("--nonsense") == 2
    site.environment["REDIS_URL"], kept = "redis://127.0.0.1:1/0", site.store.url
    try:
        assert code() == 1
        assert code("--everyone", "--yes") == 3
    finally:
        site.environment["REDIS_URL"] = kept


def test_no_provider_token_is_left_in_sql(site: Site, browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    dump = subprocess.run(
        [
            "/usr/bin/env",
            "python3",
            "-c",
            "import sqlite3,sys; "
            "print('\\n'.join(sqlite3.connect(sys.argv[1]).iterdump()))",
            str(site.folder / "db.sqlite3"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "access_token" not in dump
    assert "eyJ" not in dump
    assert str(browser.session_key) not in dump


def test_logs_hold_no_session_key(site: Site, browser: Browser) -> None:
    browser.sign_in(SUPPORT)
    log = (site.folder / "site.log").read_text()
    assert str(browser.session_key) not in log
    assert "eyJ" not in log
