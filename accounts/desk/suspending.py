"""Suspending a person and lifting it: first a page that asks, then the POST.

Both take `suspend_person` and a fresh sign-in: with a stolen cookie nobody may lock the
security admins out one by one, or let somebody back in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self, cast
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import suspension
from accounts.desk import telling
from accounts.models import Suspension, User
from accounts.profile import StaffProfile
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sessions.live import LiveSession, Outcome
from accounts.sso import step_up
from accounts.sso import suspending as sso_suspending
from accounts.suspension import Person

MAY_SUSPEND = "accounts.suspend_person"
LIST = "admin:accounts_suspension_changelist"
SUSPEND = "admin:accounts_suspension_suspend"
RESTORE = "admin:accounts_suspension_restore"
PERSON = "admin:accounts_user_change"
KEYS = ("issuer", "sub", "email")


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a person is suspended, and where that can be changed; for a template.

    `suspend_url` and `restore_url` are empty for who may not do that.
    """

    name: str
    row: Suspension | None
    suspend_url: str
    restore_url: str

    @classmethod
    def of(cls, request: HttpRequest, person: User | StaffProfile) -> Self:
        may = request.user.has_perm(MAY_SUSPEND)
        row = suspension.current(person.issuer, person.sub, person.email)
        query = urlencode({"issuer": person.issuer, "sub": person.sub})
        return cls(
            name=person.name or person.username,
            row=row,
            suspend_url=f"{reverse(SUSPEND)}?{query}" if may else "",
            restore_url=f"{reverse(RESTORE)}?{query}" if may and row else "",
        )


def restore_url(request: HttpRequest, row: Suspension) -> str:
    """Where this suspension can be lifted; empty when it is over, or may not be."""
    is_in_effect = Suspension.objects.in_effect().filter(pk=row.pk).exists()
    if not is_in_effect or not request.user.has_perm(MAY_SUSPEND):
        return ""
    return _address(RESTORE, Person(row.issuer, row.sub, row.email))


def people_of(request: HttpRequest, sessions: Iterable[LiveSession]) -> list[Standing]:
    """The people whose sessions these are, each once, for who may suspend them."""
    if not request.user.has_perm(MAY_SUSPEND):
        return []
    found = {(each.profile.issuer, each.profile.sub): each.profile for each in sessions}
    return [Standing.of(request, profile) for profile in found.values()]


class ReasonForm(forms.Form):
    """Why; kept in the audit."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=Suspension.MAX_REASON,
        help_text=gettext_lazy("Kept in the audit with your name."),
    )

    def __init__(self, data: QueryDict | None = None, **kwargs: Any) -> None:
        super().__init__(data, auto_id="suspend-%s", label_suffix="", **kwargs)
        self.fields["reason"].widget.attrs["autocomplete"] = "off"


class RestoreForm(ReasonForm):
    """What is asked before a suspension is lifted."""

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data)
        self.fields["reason"].label = _("Reason for lifting it")


class SuspendForm(ReasonForm):
    """What is asked before somebody is suspended; of oneself also a tick."""

    until = forms.DateTimeField(
        label=gettext_lazy("Until"),
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"
        ),
        help_text=gettext_lazy(
            "Empty: until somebody lifts it. In the time zone of these pages."
        ),
    )
    own = forms.BooleanField(
        label=gettext_lazy(
            "I suspend myself: I am signed out, and somebody else must lift it."
        ),
        error_messages={"required": gettext_lazy("This person is you.")},
    )

    def __init__(self, data: QueryDict | None = None, *, is_self: bool) -> None:
        super().__init__(data)
        if not is_self:
            del self.fields["own"]

    def clean_until(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["until"]
        if until and until <= timezone.now():
            raise forms.ValidationError(_("That time is in the past."))
        return until


class StrangerForm(forms.Form):
    """Who is meant, where it is somebody who has never signed in."""

    provider = forms.ChoiceField(label=gettext_lazy("Provider"))
    kind = forms.ChoiceField(
        label=gettext_lazy("Known by"),
        choices=(
            ("email", gettext_lazy("e-mail address")),
            ("sub", gettext_lazy("subject (sub)")),
        ),
    )
    value = forms.CharField(
        label=gettext_lazy("E-mail address or subject"),
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy(
            "An address refuses every sign-in with it at this provider. Once the "
            "provider has verified it, the subject is stored and decides alone."
        ),
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="suspend-%s", label_suffix="")
        names = [(each.issuer, each.label) for each in settings.PROVIDERS]
        self.fields["provider"].choices = names  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if found.get("kind") == "email" and "@" not in found.get("value", "@"):
            self.add_error("value", _("This is no e-mail address."))
        return found

    def query(self) -> str:
        """The address of the page that asks about this person."""
        given = self.cleaned_data
        return urlencode({"issuer": given["provider"], given["kind"]: given["value"]})


def find(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    """Asks who it is that has never signed in, and leads to the page that asks why."""
    _require(request)
    form = StrangerForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        return redirect(f"{reverse(SUSPEND)}?{form.query()}")
    context = {**page, "title": _("Suspend somebody who has never signed in")}
    return _render(request, "find", {**context, "form": form}, form)


def ask_or_suspend(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    """Asks; or, when the answer came with it, suspends the person."""
    _require(request)
    person = _person(request)
    if not step_up.is_fresh(request):
        return step_up.demand(request, _address(SUSPEND, person))
    is_self = _is_self(request, person)
    answer = request.POST if request.method == "POST" else None
    form = SuspendForm(answer, is_self=is_self)
    if form.is_bound and form.is_valid():
        outcome = sso_suspending.suspend(
            person,
            by=_name(request),
            reason=form.cleaned_data["reason"],
            until=form.cleaned_data["until"],
        )
        _tell(request, person, outcome)
        return redirect(_page_of(person))
    own = cast("StaffRequest", request).session.session_id
    sessions = live.of_person(person.issuer, person.sub) if person.sub else []
    context = {
        **page,
        "title": _("Suspend %(name)s") % {"name": _words(person)},
        "person": person,
        "name": _words(person),
        "is_self": is_self,
        "sessions": [replace(each, current=each.id == own) for each in sessions],
        "row": suspension.current(person.issuer, person.sub, person.email),
        "form": form,
        "back": _page_of(person),
    }
    return _render(request, "suspend", context, form)


def ask_or_restore(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    """Asks; or, when the answer came with it, lifts all suspensions of the person."""
    _require(request)
    person = _person(request)
    if not step_up.is_fresh(request):
        return step_up.demand(request, _address(RESTORE, person))
    form = RestoreForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        reason = form.cleaned_data["reason"]
        if suspension.lift(person, by=_name(request), reason=reason):
            text = _("Lifted: %(name)s can sign in again.")
            messages.success(request, text % {"name": _words(person)})
        else:
            text = _("Nothing to lift: %(name)s was not suspended any more.")
            messages.info(request, text % {"name": _words(person)})
        return redirect(_page_of(person))
    rows = Suspension.objects.of_person(person.issuer, person.sub, person.email)
    context = {
        **page,
        "title": _("Lift the suspension of %(name)s") % {"name": _words(person)},
        "person": person,
        "name": _words(person),
        "rows": rows.in_effect(),
        "form": form,
        "back": _page_of(person),
    }
    return _render(request, "restore", context, form)


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm(MAY_SUSPEND):
        raise PermissionDenied


def _render(
    request: HttpRequest, name: str, context: dict[str, Any], form: forms.Form
) -> HttpResponse:
    template = f"admin/accounts/suspension/{name}.html"
    return render(request, template, context, status=422 if form.errors else 200)


def _person(request: HttpRequest) -> Person:
    """Whom the address or the form names. 404 for nobody at an issuer we do not know.

    A person is suspended by `sub` where there is one: the e-mail address is looked at
    then only to lift what went by it.
    """
    given = request.POST if request.method == "POST" else request.GET
    issuer, sub, email = (given.get(key, "").strip() for key in KEYS)
    user = User.objects.filter(identity=User.identity_of(issuer, sub)).first()
    if user:
        return replace(Person.of(user), email=user.email)
    known = {each.issuer for each in settings.PROVIDERS}
    is_known = issuer in known or Suspension.objects.filter(issuer=issuer).exists()
    if not is_known or bool(sub) == bool(email) or max(map(len, (sub, email))) > 254:
        raise Http404
    return Person(issuer, sub, email)


def _is_self(request: HttpRequest, person: Person) -> bool:
    user = cast("User", request.user)
    if user.issuer != person.issuer:
        return False
    if person.sub:
        return person.sub == user.sub
    return person.email.lower() == user.email.lower()


def _address(view: str, person: Person) -> str:
    query = {"issuer": person.issuer, "sub": person.sub, "email": person.email}
    if person.sub:
        del query["email"]
    else:
        del query["sub"]
    return f"{reverse(view)}?{urlencode(query)}"


def _account(person: Person) -> User | None:
    identity = User.identity_of(person.issuer, person.sub)
    return User.objects.filter(identity=identity).first()


def _page_of(person: Person) -> str:
    user = _account(person)
    return reverse(PERSON, args=[user.pk]) if user else reverse(LIST)


def _words(person: Person) -> str:
    """The person as colleagues know them: name and user name, where there are two."""
    user = _account(person)
    if user is None or user.name == user.username:
        return person.label
    return f"{user.name} ({user.username})"


def _name(request: HttpRequest) -> str:
    return cast("User", request.user).username


def _tell(request: HttpRequest, person: Person, outcome: Outcome) -> None:
    # Django's admin begins every message with a capital, which a name may not have.
    name = {"name": _words(person)}
    if outcome.durable:
        messages.success(request, _("Suspended: %(name)s.") % name)
    else:
        text = _(
            "NOT suspended: %(name)s. The database does not answer; try again when it "
            "is back."
        )
        messages.error(request, text % name)
    if outcome.incomplete:
        text = _(
            "A session of this person is still live, or could not be looked for: see "
            "the list, and end it by itself."
        )
        messages.error(request, text)
    telling.tell_suspended(request, outcome)
