"""Ending sessions: first the question, then exactly what was shown.

The question is a page that changes nothing, so it has an address, and a person who
must sign in afresh comes back to it. The answer is a POST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit
from accounts.desk import recent, suspending, telling, tidying
from accounts.desk.confirmation import ConfirmationForm
from accounts.desk.job import Job
from accounts.desk.target import Scope, Target
from accounts.models import User
from accounts.request import StaffRequest
from accounts.sessions import live
from accounts.sessions.live import LiveSession
from accounts.sso import step_up

LIST = "admin:accounts_livesession_changelist"
ASK = "admin:accounts_livesession_end"
PROGRESS = "admin:accounts_livesession_ending"
MAY_END = "accounts.end_livesession"
MAY_END_IN_BULK = "accounts.end_livesessions_in_bulk"


def ask_or_end(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    """Asks; or, when the answer came with it, ends what was meant."""
    if not request.user.has_perm(MAY_END):
        raise PermissionDenied
    target = Target.of(request.POST if request.method == "POST" else request.GET)
    if target is None:
        messages.warning(request, _("No session was chosen."))
        return redirect(LIST)
    total, sample = target.look()
    is_answered = request.method == "POST" and "confirmed" in request.POST
    is_bulk = target.is_bulk(_shown(request, total) if is_answered else total)
    if is_bulk and not request.user.has_perm(MAY_END_IN_BULK):
        raise PermissionDenied
    if is_bulk and not step_up.is_fresh(request):
        return step_up.demand(request, f"{reverse(ASK)}?{target.query}")
    own = _own(request)
    form = ConfirmationForm(
        request.POST if is_answered else None,
        total=total,
        is_counted=target.scope is not Scope.CHOSEN,
        is_bulk=is_bulk,
        holds_own=own is not None and target.holds(own),
        must_hold_own=target.scope is Scope.EVERYONE,
    )
    if is_answered and form.is_valid():
        return _end(request, target, form.values, own)
    return _ask(request, page, target, total, sample, form)


def _shown(request: HttpRequest, total: int) -> int:
    """What counts is the larger number: more may match now than when it was asked."""
    shown = request.POST.get("shown", "")
    return max(total, int(shown) if shown.isdecimal() and len(shown) < 10 else 0)


def _ask(
    request: HttpRequest,
    page: dict[str, Any],
    target: Target,
    total: int,
    sample: Sequence[LiveSession],
    form: ConfirmationForm,
) -> HttpResponse:
    own = cast("StaffRequest", request).session.session_id
    context = {
        **page,
        "title": _("End live sessions"),
        "target": target,
        "total": total,
        "gone": len(target.ids) - total if target.scope is Scope.CHOSEN else 0,
        "sessions": [replace(each, current=each.id == own) for each in sample],
        "people": suspending.people_of(request, sample),
        "form": form,
        "back": f"{reverse(LIST)}?{target.filters}",
    }
    status = 200 if not form.is_bound else 422
    return render(
        request, "admin/accounts/livesession/end.html", context, status=status
    )


def _end(
    request: HttpRequest,
    target: Target,
    answer: dict[str, Any],
    own: LiveSession | None,
) -> HttpResponse:
    spared = own.id if own and not answer.get("own") else ""
    by, reason = _name(request), answer["reason"]
    if target.scope is Scope.EVERYONE:
        outcome = live.end_everyone(by=by, reason=reason)
        telling.tell_cut_off(request, outcome)
        if not outcome.pending:
            tidying.begin()
        return redirect(LIST)
    if target.scope is Scope.CHOSEN:
        chosen = [each for each in target.ids if each != spared]
        outcome = live.end(chosen, by=by, reason=reason)
        telling.tell(request, outcome)
        _note(request, len(outcome.ended), reason, *outcome.ended[:1])
        return redirect(LIST)
    begun = Job.begin(
        request,
        query=target.query,
        as_of=answer["as_of"].isoformat(),
        besides=spared,
        reason=reason,
        total=answer["shown"],
    )
    audit.record(
        audit.Event.BULK_KILLED,
        actor=by,
        reason=reason,
        details={"filter": target.query, "shown": answer["shown"]},
    )
    return _step(request, begun)


def go_on(request: HttpRequest, page: dict[str, Any], job_id: str) -> HttpResponse:
    """How far a long ending is; by POST, its next step."""
    if not request.user.has_perm(MAY_END_IN_BULK):
        raise PermissionDenied
    job = Job.of(request, job_id)
    if job is None:
        # Also a step that was sent twice; its script follows the redirect.
        messages.info(request, _("That ending is done."))
        return redirect(LIST)
    if request.method == "POST":
        return _step(request, job)
    context = {**page, "title": _("Ending live sessions"), "job": job}
    return render(request, "admin/accounts/livesession/progress.html", context)


def _step(request: HttpRequest, job: Job) -> HttpResponse:
    job = job.step(_name(request))
    if job.is_done:
        job.forget(request)
        telling.tell_job(request, job)
        _note(request, job.ended, job.reason)
        to = f"{reverse(LIST)}?{job.filters}"
    else:
        job.remember(request)
        to = reverse(PROGRESS, args=[job.id])
    if not request.accepts("text/html"):
        return JsonResponse({"ended": job.ended, "done": job.is_done, "to": to})
    return redirect(to)


def _note(request: HttpRequest, number: int, reason: str, only: str = "") -> None:
    words = ngettext("%(n)d session ended.", "%(n)d sessions ended.", number)
    session_id = only if number == 1 else ""
    if number:
        recent.note(request, words % {"n": number}, reason, session_id)


def _name(request: HttpRequest) -> str:
    return cast("User", request.user).username


def _own(request: HttpRequest) -> LiveSession | None:
    session = cast("StaffRequest", request).session
    record = session.record
    return LiveSession.of(record, session.last_used) if record else None
