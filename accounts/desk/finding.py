"""One box for whatever an admin has in hand, and where to go with it.

It comes by POST: it may be the value of a cookie that was found in a leak, which is as
good as a password. That is turned into a session id at once, and goes nowhere else:
not into an address, a message or a log.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts import keys
from accounts.desk.filters import FilterForm
from accounts.models import AuditEntry, User
from accounts.sessions import live

LIST = "admin:accounts_livesession_changelist"
ONE = "admin:accounts_livesession_change"
# A cookie header may have been pasted whole, so anywhere in the text.
_SESSION_KEY = re.compile(r"(?<![A-Za-z0-9])[a-z0-9]{32}(?![A-Za-z0-9])")
# No name, address or id of ours has so many characters in a row.
_SECRET_LOOKING = re.compile(r"[A-Za-z0-9_-]{25,}")
_REFERENCE = re.compile(r"\d{1,12}")


@sensitive_post_parameters()
def find(request: HttpRequest) -> HttpResponse:
    """Goes to the list narrowed to this, or to the page of the one session."""
    if not request.user.has_perm("accounts.view_livesession"):
        raise PermissionDenied
    text = request.POST.get("text", "").strip()[:4096]
    if pasted := _SESSION_KEY.findall(text):
        return _to_session(
            request, [i for key in pasted for i in keys.session_ids(key)]
        )
    if keys.is_session_id(text):
        return _to_session(request, [text])
    if _SECRET_LOOKING.search(text) and not _names_somebody(text):
        messages.warning(
            request,
            _(
                "That looks like a part of something secret, so it was not searched "
                "for. Paste a cookie value whole: it has 32 characters."
            ),
        )
        return redirect(LIST)
    if _REFERENCE.fullmatch(text) and (found := _by_reference(text)):
        return _to_session(request, [found])
    kept = dict(FilterForm(request.GET).filled()) | {"q": text}
    query = urlencode({name: value for name, value in kept.items() if value})
    return redirect(f"{reverse(LIST)}?{query}")


def _to_session(request: HttpRequest, ids: list[str]) -> HttpResponse:
    known = [each for each in ids if live.find(each) or _is_recorded(each)]
    if known:
        return redirect(ONE, known[0])
    messages.info(
        request,
        _("No such session is live, and the audit knows of none."),
    )
    return redirect(LIST)


def _names_somebody(text: str) -> bool:
    return "@" in text or User.objects.filter(sub=text).exists()


def _is_recorded(session_id: str) -> bool:
    return AuditEntry.objects.filter(session_id=session_id).exists()


def _by_reference(number: str) -> str:
    """The session of an audit entry: the number that ended people are told."""
    found = AuditEntry.objects.filter(pk=int(number)).first()
    return found.session_id if found else ""
