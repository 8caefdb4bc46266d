"""C1 once more as it is in production: the cookie's name begins with `__Host-`.

Browsers promise that nobody but this very host sets a cookie of such a name. So nothing
may pass for one that a browser would also have taken from somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys.site import Site, running_site
from tests.journeys.test_raw_requests import answer_to

SIGN_IN = """
from accounts import keys
from accounts.sessions.store import SessionStore
profile = {"issuer": "https://idp.example", "sub": "u-1", "username": "haneul"}
profile |= {"name": "Haneul", "email": "", "department": "", "groups": ["staff"]}
session = SessionStore()
session.begin({"profile": profile}, person=keys.person("https://idp.example", "u-1"),
              origin=None)
session.save()
print("key", session.session_key)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that people reach by https; in front of it we are the proxy."""
    folder = tmp_path_factory.mktemp("https")
    with running_site(folder, SITE_URL="https://localhost") as running:
        yield running


@pytest.fixture(scope="module")
def key(site: Site) -> bytes:
    said = site.manage("shell", "-c", SIGN_IN).stdout
    return said.rpartition("key ")[2].strip().encode()


@pytest.mark.parametrize(
    "cookie",
    [
        b"__Host-session_id=%s",
        b"session_id=other; __Host-session_id=%s",
        b"__Host-session_id=%s; session_id=other",
        b"__host-session_id=other; __Host-session_id=%s",
    ],
)
def test_own_cookie_passes_whatever_a_sibling_host_planted(
    site: Site, key: bytes, cookie: bytes
) -> None:
    """COO-03."""
    assert answer_to(site, b"Cookie: " + cookie.replace(b"%s", key))[0] == 200


@pytest.mark.parametrize(
    "cookie",
    [
        b"session_id=%s",
        b"__host-session_id=%s",
        b"__HOST-session_id=%s",
        b"__Host-Session_id=%s",
        b"__Secure-session_id=%s",
        b"__Host_session_id=%s",
        b"__Host-session_id2=%s",
        b"_Host-session_id=%s",
        b"__Host%2Dsession_id=%s",
        b"\xc2\xa0__Host-session_id=%s",
        b"\xe2\x80\x89__Host-session_id=%s",
        b"\xe2\x81\xa0__Host-session_id=%s",
        b"\x85__Host-session_id=%s",
        b"\x0b__Host-session_id=%s",
        b"\x0c__Host-session_id=%s",
        b"\x1f__Host-session_id=%s",
        b"__Host-session_id\xc2\xa0=%s",
        b"__Host-session_id=%s\xa0",
        b"__Host-session_id=\x85%s",
        b"__Host-session_id=\xe2\x80\x89%s",
        b"x=1, __Host-session_id=%s",
        b'$Version=1; __Host-session_id="%s"; $Path="/"',
        b"=__Host-session_id=%s",
        b'x="; __Host-session_id=%s"',
        b"__Host-session_id=%s; __Host-session_id=%s",
        b"__Host-session_id=%s; __Host-session_id=other",
        b"__Host-session_id=other; __Host-session_id=%s",
    ],
)
def test_what_only_looks_like_it_is_refused(
    site: Site, key: bytes, cookie: bytes
) -> None:
    status, answer = answer_to(site, b"Cookie: " + cookie.replace(b"%s", key))
    assert status in {400, 401}
    assert b"set-cookie" not in answer.lower()
    assert key not in answer
