from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from tests.accounts.sessions.conftest import begin, is_live, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

END_OTHERS = "/sessions/end-others/"


def end_address(session_id: str | None) -> str:
    return f"/sessions/{session_id}/end/"


# One's own sessions -----------------------------------------------------------------


def test_own_other_session_is_ended(client: Client, user: User) -> None:
    own, other = sign_in(client, user), begin()
    answer = client.post(end_address(other.session_id), follow=True)
    assert "1 session ended." in answer.content.decode()
    assert not is_live(other)
    assert is_live(own)


def test_session_of_somebody_else_is_not_ended(client: Client, user: User) -> None:
    """The id is public: it stands in URLs, log lines and audit entries."""
    sign_in(client, user)
    theirs = begin("u-2")
    answer = client.post(end_address(theirs.session_id), follow=True)
    assert is_live(theirs)
    # The same text as for an id that never existed: nobody learns which ids are live.
    unknown = client.post(end_address("0" * 24), follow=True)
    for page in (answer, unknown):
        assert "That session was already gone." in page.content.decode()


def test_session_of_the_same_subject_at_another_issuer_is_not_ended(
    client: Client, user: User
) -> None:
    other = User.objects.create(
        identity=User.identity_of("https://other.example", user.sub),
        issuer="https://other.example",
        sub=user.sub,
        username=user.username,
    )
    sign_in(client, user)
    theirs = sign_in(Client(), other)
    client.post(end_address(theirs.session_id))
    client.post(END_OTHERS)
    assert is_live(theirs)


def test_current_session_is_ended_by_signing_out_alone(
    client: Client, user: User
) -> None:
    own = sign_in(client, user)
    answer = client.post(end_address(own.session_id), follow=True)
    assert "That session was already gone." in answer.content.decode()
    assert is_live(own)


def test_ending_the_others_ends_neither_this_one_nor_somebody_else_s(
    client: Client, user: User
) -> None:
    own, others, theirs = sign_in(client, user), [begin(), begin()], begin("u-2")
    answer = client.post(END_OTHERS, follow=True)
    assert "2 sessions ended." in answer.content.decode()
    assert not any(map(is_live, others))
    assert is_live(own)
    assert is_live(theirs)


# Methods ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_what_ends_a_session_takes_post_alone(
    client: Client, user: User, method: str
) -> None:
    """A link or an image on a page of another site must not end anything."""
    own, other = sign_in(client, user), begin()
    for address in (end_address(other.session_id), END_OTHERS, "/sign-out/"):
        answer = getattr(client, method)(address)
        assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert is_live(own)
    assert is_live(other)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
@pytest.mark.parametrize("address", ["/", "/sessions/", "/sign-in/", "/signed-out/"])
def test_page_that_changes_nothing_takes_get_and_head_alone(
    client: Client, user: User, address: str, method: str
) -> None:
    sign_in(client, user)
    answer = getattr(client, method)(address)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


# Redirects and caches ---------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"],
)
def test_sign_in_page_leads_nobody_elsewhere(
    client: Client, user: User, target: str
) -> None:
    """An open redirect on this page would be a phishing link with our name in it."""
    page = client.get("/sign-in/", {"next": target})
    assert 'name="next" value="/"' in page.content.decode()
    sign_in(client, user)
    answer = client.get("/sign-in/", {"next": target})
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_sign_in_page_leads_the_signed_in_to_an_own_path(
    client: Client, user: User
) -> None:
    sign_in(client, user)
    answer = client.get("/sign-in/", {"next": "/sessions/?x=1"})
    assert (answer.status_code, answer["Location"]) == (302, "/sessions/?x=1")


@pytest.mark.parametrize("address", ["/sign-in/", "/signed-out/"])
def test_page_for_strangers_is_kept_by_no_cache(client: Client, address: str) -> None:
    """It depends on who asks, also where no session was looked at."""
    answer = client.get(address)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert "private" in answer["Cache-Control"]
