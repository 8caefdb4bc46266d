from __future__ import annotations

from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth import SESSION_KEY as USER_SESSION_KEY
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from accounts import audit, devices, figures, keys, limit, profile, suspension
from accounts.browser import Browser
from accounts.models import User
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sso import sign_in


def begin_session(
    sender: Any, request: StaffRequest, user: User, **kwargs: Any
) -> None:
    """`user_logged_in`: makes the live session, of exactly what the sign-in found.

    Raises PermissionDenied for a login that did not come through the provider,
    LimitReached where one more session is refused, and Suspended for a person who was
    suspended since the provider vouched for them. The caller ends the session.
    """
    found: sign_in.SignIn | None = getattr(user, "sign_in", None)
    if found is None:
        raise PermissionDenied("only the provider signs people in")
    browser = Browser.of(request).as_remembered()
    found = found.seen_from(browser.address, browser.agent)
    django_keys = (USER_SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)
    person = found.profile
    request.session.begin(
        {key: request.session[key] for key in django_keys} | found.contents(),
        person=keys.person(person.issuer, person.sub),
        origin=keys.origin(person.issuer, found.sid) if found.sid else None,
        since=found.started,
    )
    request.session.save()
    # After the session was written, see accounts.suspension.
    suspension.check(person)
    session_id = str(request.session.session_id)
    limit.keep(person, session_id)
    audit.record(
        audit.Event.SIGNED_IN,
        actor=person.username,
        subject=person.username,
        session_id=session_id,
        address=browser.address or None,
        details={
            "agent": browser.agent,
            "provider": found.provider,
            profile.SESSION_KEY: person.to_session(),
        },
    )
    devices.remember(user, browser, session_id)
    figures.note_live_now_and_then()


def end_sessions_at_loss_of_rights(
    sender: Any, instance: User, created: bool, **kwargs: Any
) -> None:
    """`post_save` of User: what a person had open does not outlive their rights."""
    before = instance.rights_as_loaded
    if not created and instance.has_lost_rights():
        live.end_person(instance, by="system", reason="rights taken")
    if not created and before and before != instance.rights:
        _record_rights(instance, "changed in the account itself")
    instance.rights_as_loaded = instance.rights


def end_sessions_at_loss_of_a_group(
    sender: Any,
    instance: User | Group | Permission,
    action: str,
    pk_set: set[int] | None,
    **kwargs: Any,
) -> None:
    """`m2m_changed` of User's groups and permissions, from either side: the same.

    Before the loss, while it can still be seen who has what is being taken.
    """
    if action not in {"pre_remove", "pre_clear"}:
        return
    for user in _losers(sender, instance, pk_set):
        live.end_person(user, by="system", reason="rights taken")
        _record_rights(user, "taken by hand")


def record_given_rights(
    sender: Any,
    instance: User | Group | Permission,
    action: str,
    pk_set: set[int] | None,
    **kwargs: Any,
) -> None:
    """`m2m_changed`, the other direction: what somebody gave without the provider."""
    if action == "post_add" and pk_set:
        is_user = isinstance(instance, User)
        people = [instance.pk] if is_user else pk_set
        for user in User.objects.filter(pk__in=people):
            _record_rights(user, "given by hand")


def _record_rights(user: User, how: str) -> None:
    audit.record(
        audit.Event.RIGHTS_CHANGED, actor="system", subject=user.username, reason=how
    )


def _losers(
    sender: Any, instance: User | Group | Permission, pk_set: set[int] | None
) -> QuerySet[User]:
    field = "groups" if sender is User.groups.through else "user_permissions"
    if isinstance(instance, User):
        mine = User.objects.filter(pk=instance.pk, **{f"{field}__isnull": False})
        found = mine if pk_set is None else mine.filter(**{f"{field}__in": pk_set})
    else:
        theirs = User.objects.filter(**{field: instance})
        found = theirs if pk_set is None else theirs.filter(pk__in=pk_set)
    return found.distinct()


def end_sessions_of_deleted(sender: Any, instance: User, **kwargs: Any) -> None:
    """`pre_delete` of User: an account that is gone has no session."""
    live.end_person(instance, by="system", reason="account deleted")
