"""What the list is narrowed by: from a page's address to a selection, and back.

Everything stands in the query, so that the address of a page can be sent to a
colleague. Nothing secret ever does: a pasted cookie value goes to `finding`, by POST.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from accounts import keys
from accounts.models import User
from accounts.sessions.selection import Selection

# More names than that are no search any more.
PEOPLE_AT_MOST = 500
_DURATION = re.compile(r"\s*(\d{1,6})\s*([smhd]?)\s*")
_PLAIN_NAME = re.compile(r"[A-Za-z_-]{1,24}")
_UNITS = {"s": "seconds", "": "minutes", "m": "minutes", "h": "hours", "d": "days"}


class IdleField(forms.CharField):
    """A length of time, as in "15m"; minutes when there is no unit."""

    def clean(self, value: Any) -> timedelta | None:
        text = super().clean(value)
        if not text:
            return None
        found = _DURATION.fullmatch(text)
        if found is None:
            raise forms.ValidationError(
                _("Write a number and a unit, as in 15m, 2h or 1d.")
            )
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


class NetworkField(forms.CharField):
    """An address, or a network in CIDR form."""

    def clean(self, value: Any) -> IPv4Network | IPv6Network | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return ip_network(text, strict=False)
        except ValueError as error:
            raise forms.ValidationError(
                _("Write an address or a network, as in 203.0.113.7 or 10.1.0.0/16.")
            ) from error


class SessionField(forms.CharField):
    """A session id. Anything else is refused, and not repeated."""

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if text and not keys.is_session_id(text):
            raise forms.ValidationError(_("A session id has 24 characters, 0–9, a–f."))
        return text


class MomentField(forms.CharField):
    """A date and a time, in the zone of the pages."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"})

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        try:
            found = parse_datetime(text) if text else None
        except ValueError:
            found = None
        if text and found is None:
            raise forms.ValidationError(
                _("Write a date and a time, as in 2026-05-31T18:00.")
            )
        return make_aware(found) if found and is_naive(found) else found


def _shown(name: str) -> str:
    """A name from an address; not repeated when it may be something secret."""
    return name if _PLAIN_NAME.fullmatch(name) else "…"


class FilterForm(forms.Form):
    """Each field narrows; all that are filled in must hold."""

    q = forms.CharField(label=_("Person"), required=False, max_length=254)
    sub = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)
    issuer = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)
    session = SessionField(label=_("Session id"), required=False, max_length=64)
    group = forms.CharField(label=_("Group"), required=False, max_length=255)
    department = forms.CharField(label=_("Department"), required=False, max_length=255)
    network = NetworkField(label=_("Address or network"), required=False, max_length=64)
    agent = forms.CharField(label=_("Device"), required=False, max_length=120)
    provider = forms.ChoiceField(label=_("Provider"), required=False)
    idle = IdleField(label=_("Idle for at least"), required=False, max_length=12)
    after = MomentField(label=_("Signed in from"), required=False, max_length=32)
    before = MomentField(label=_("Signed in before"), required=False, max_length=32)

    def __init__(
        self, query: QueryDict | dict[str, str], besides: Collection[str] = ()
    ) -> None:
        """`besides` are names in the same query that say something else."""
        super().__init__(query, auto_id="filter-%s", label_suffix="")
        self.unknown = set(query) - set(self.fields) - set(besides)
        names = [(each.name, each.label) for each in settings.PROVIDERS]
        self.fields["provider"].choices = [("", _("any")), *names]  # type: ignore[attr-defined]
        hints = {"idle": "2h", "network": "10.1.0.0/16", "agent": "chrome windows"}
        for name, hint in hints.items():
            self.fields[name].widget.attrs["placeholder"] = hint
        for name in self.errors.keys() & self.fields.keys():
            self.fields[name].widget.attrs["aria-invalid"] = "true"

    def clean_q(self) -> tuple[tuple[str, str], ...] | None:
        """Everybody whose name, user name, e-mail or subject this is or begins."""
        text = self.cleaned_data["q"].strip()
        if not text:
            return None
        found = User.objects.containing(text).values_list("issuer", "sub")
        people = tuple(found[: PEOPLE_AT_MOST + 1])
        if len(people) > PEOPLE_AT_MOST:
            raise forms.ValidationError(
                _("More than %(n)d people fit. Write more of the name."),
                params={"n": PEOPLE_AT_MOST},
            )
        return people

    def clean(self) -> dict[str, Any]:
        """Refuses what would be left out: more would be selected than was meant."""
        if self.unknown:
            raise forms.ValidationError(
                ngettext_lazy(
                    "There is no filter called %(names)s.",
                    "There are no filters called %(names)s.",
                    len(self.unknown),
                ),
                params={"names": ", ".join(sorted(map(_shown, self.unknown)))},
            )
        found = self.cleaned_data
        if found.get("issuer") and not found.get("sub"):
            raise forms.ValidationError(_("An issuer needs a subject beside it."))
        return found

    @property
    def query(self) -> str:
        """The filters that are set, in the form of an address."""
        return urlencode(list(self.filled()))

    def filled(self) -> Iterator[tuple[str, str]]:
        """Name and text of every filter that is set."""
        for name in self.fields:
            text = self.data.get(name, "").strip()
            if text:
                yield name, text

    @property
    def chips(self) -> list[dict[str, Any]]:
        """What is set, in words, each with the address of the list without it."""
        filled = dict(self.filled())
        providers = dict(self.fields["provider"].choices)  # type: ignore[attr-defined]
        chips = []
        for name, text in filled.items():
            if name == "issuer" and "sub" in filled:
                continue
            gone = {"sub", "issuer"} if name == "sub" else {name}
            rest = {key: each for key, each in filled.items() if key not in gone}
            label = self.fields[name].label or _("Subject")
            shown = providers.get(text, text) if name == "provider" else text
            chips.append({"label": label, "text": shown, "without": urlencode(rest)})
        return chips

    def selection(self) -> Selection:
        """What these filters select; the form must be valid."""
        found = self.cleaned_data
        people = found["q"]
        if found["sub"]:
            named = User.objects.filter(sub=found["sub"])
            if found["issuer"]:
                named = named.filter(issuer=found["issuer"])
            exactly = tuple(named.values_list("issuer", "sub"))
            if found["issuer"] and not exactly:
                exactly = ((found["issuer"], found["sub"]),)
            people = exactly if people is None else tuple(set(exactly) & set(people))
        return Selection(
            person=people,
            session=found["session"],
            group=found["group"].strip(),
            department=found["department"].strip(),
            network=found["network"],
            agent=found["agent"].strip(),
            provider=found["provider"],
            idle_for=found["idle"],
            started_before=found["before"],
            started_after=found["after"],
        )
