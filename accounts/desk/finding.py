"""One box for whatever an admin has in hand, and where to go with it.

It comes by POST: it may be the value of a cookie that was found in a leak, which is as
good as a password. That is turned into a session id at once, and goes nowhere else:
not into an address, a message or a log. Into an address goes only what is known not to
be secret: an address or a network, what is on record, or a part of somebody's name.
"""

from __future__ import annotations

import re
import uuid
from ipaddress import ip_network
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
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
ENTRIES = "admin:accounts_auditentry_changelist"
ENTRY = "admin:accounts_auditentry_change"
LONGEST_NAME = 254
# A cookie header may have been pasted whole, so anywhere in the text.
_SESSION_KEY = re.compile(r"(?<![A-Za-z0-9])[a-z0-9]{32}(?![A-Za-z0-9])")
# No name, address or id of ours has so many characters in a row.
_SECRET_LOOKING = re.compile(r"[A-Za-z0-9_-]{25,}")
# A part of a cookie value: letters among digits, as few names have them.
_PART_LOOKING = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{8,}")
_LONG_PART_LOOKING = re.compile(r"(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]{16,}")
_NUMBER = re.compile(r"\d{1,12}")
# The ids that requests get here and at nginx, and those of audit entries.
_REQUEST_ID = re.compile(
    r"[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


@sensitive_post_parameters()
def find(request: HttpRequest) -> HttpResponse:
    """Goes to the list narrowed to this, or to the page of the one session or entry."""
    if not request.user.has_perm("accounts.view_livesession"):
        raise PermissionDenied
    if "text" not in request.POST:
        return _narrow(request)
    text = request.POST["text"].strip()[:4096]
    if pasted := _SESSION_KEY.findall(text):
        ids = [i for key in pasted for i in keys.session_ids(key)]
        return _to_session(request, ids) or _to_entries(request, text) or _none(request)
    if keys.is_session_id(text):
        return _to_session(request, [text]) or _none(request)
    return (
        _to_entries(request, text)
        or _to_network(request, text)
        or _to_people(request, text)
        or _nobody(request, text)
    )


def _narrow(request: HttpRequest) -> HttpResponse:
    """The filters of the list, which go into its address, but for what looks secret."""
    filled = dict(FilterForm(request.POST).filled())
    if any(_may_be_secret(name, text) for name, text in filled.items()):
        return _refused(request)
    return redirect(f"{reverse(LIST)}?{urlencode(filled)}")


def _may_be_secret(name: str, text: str) -> bool:
    if name == "issuer" or (name == "session" and keys.is_session_id(text)):
        return False
    looks = _SECRET_LOOKING.search(text) or _LONG_PART_LOOKING.search(text)
    return bool(looks) and not _names_somebody(text)


def _to_session(request: HttpRequest, ids: list[str]) -> HttpResponse | None:
    known = [each for each in ids if live.find(each) or _is_recorded(each)]
    return redirect(ONE, known[0]) if known else None


def _to_entries(request: HttpRequest, text: str) -> HttpResponse | None:
    """Where a reference leads: to the session it is about, else to what is recorded."""
    entries = _entries_of(text)
    if not entries:
        return None
    sessions = {each.session_id for each in entries} - {""}
    if len(sessions) == 1:
        return redirect(ONE, sessions.pop())
    if not request.user.has_perm("accounts.view_auditentry"):
        messages.info(
            request,
            _(
                "The audit has an entry with this reference, but it is not about one "
                "session, and you may not read the audit."
            ),
        )
        return redirect(LIST)
    if len(entries) == 1:
        return redirect(ENTRY, entries[0].pk)
    return redirect(f"{reverse(ENTRIES)}?{urlencode({'q': text})}")


def _entries_of(text: str) -> list[AuditEntry]:
    """By the number of an entry, its own reference, or the request that it is of."""
    if _NUMBER.fullmatch(text):
        return list(AuditEntry.objects.filter(pk=int(text)))
    if not _REQUEST_ID.fullmatch(text):
        return []
    found = Q(request_id=text)
    if len(text) >= 32:
        found |= Q(reference=uuid.UUID(text))
    return list(AuditEntry.objects.filter(found)[:50])


def _to_network(request: HttpRequest, text: str) -> HttpResponse | None:
    """The sessions that signed in from an address or a network."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    named = text if "/" in text else str(network.network_address)
    return _to_list(request, network=named)


def _to_people(request: HttpRequest, text: str) -> HttpResponse | None:
    return _to_list(request, q=text) if text and _names_somebody(text) else None


def _to_list(request: HttpRequest, **filters: str) -> HttpResponse:
    """The list as it was narrowed already, and by this."""
    # With names that are no filters, too: the list says so, and shows nothing.
    kept = {**request.GET.dict(), **filters}
    return redirect(f"{reverse(LIST)}?{urlencode(kept)}")


def _names_somebody(text: str) -> bool:
    return len(text) <= LONGEST_NAME and User.objects.containing(text).exists()


def _is_recorded(session_id: str) -> bool:
    return AuditEntry.objects.filter(session_id=session_id).exists()


def _none(request: HttpRequest) -> HttpResponse:
    messages.info(request, _("No such session is live, and the audit knows of none."))
    if _REQUEST_ID.fullmatch(request.POST["text"].strip()):
        return _no_reference(request)
    return redirect(LIST)


def _no_reference(request: HttpRequest) -> HttpResponse:
    messages.info(
        request,
        _(
            "No entry of the audit has this reference. Not every page with a reference "
            "leaves an entry; an error leaves at least a line in the log of the site."
        ),
    )
    return redirect(LIST)


def _nobody(request: HttpRequest, text: str) -> HttpResponse:
    if not text:
        return _to_list(request)
    if _REQUEST_ID.fullmatch(text):
        return _no_reference(request)
    if _SECRET_LOOKING.search(text) or _PART_LOOKING.search(text):
        return _refused(request)
    messages.warning(
        request,
        _(
            "Nobody is known by that name, user name, e-mail address or subject. The "
            "list below is not narrowed by it."
        ),
    )
    return redirect(LIST)


def _refused(request: HttpRequest) -> HttpResponse:
    messages.warning(
        request,
        _(
            "That may be a part of something secret, and nobody is known by it, so it "
            "was not searched for. Paste a cookie value whole: it has 32 characters."
        ),
    )
    return redirect(LIST)
