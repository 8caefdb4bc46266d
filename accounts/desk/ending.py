"""Ending sessions: first the question, then exactly what was shown.

The question is a page that changes nothing, so it has an address, and a person who
must sign in afresh comes back to it. The answer is a POST.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import audit
from accounts.desk import suspending, telling, tidying
from accounts.desk.confirmation import ConfirmationForm
from accounts.desk.job import Job
from accounts.desk.shown import Shown
from accounts.desk.target import Scope, Target
from accounts.models import User
from accounts.request import StaffRequest
from accounts.sessions import frozen, live
from accounts.sessions.frozen import ListTooLong
from accounts.sessions.live import LiveSession
from accounts.sso import step_up

LIST = "admin:accounts_livesession_changelist"
ASK = "admin:accounts_livesession_end"
PROGRESS = "admin:accounts_livesession_ending"
KEPT_AFTERWARDS = 600
MAY_END = "accounts.end_livesession"
MAY_END_IN_BULK = "accounts.end_livesessions_in_bulk"


def ask_or_end(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    """Asks; or, when the answer came with it, ends what was meant."""
    if not request.user.has_perm(MAY_END):
        raise PermissionDenied
    given = request.POST if request.method == "POST" else request.GET
    target = Target.of(given)
    if target is None:
        messages.warning(request, _why_nothing(given))
        return redirect(LIST)
    is_answered = request.method == "POST" and "confirmed" in request.POST
    token = request.POST.get("shown", "") if is_answered else ""
    recalled = Shown.recall(request, target, token)
    total, ids = (recalled.total, []) if recalled else target.look()
    is_bulk = target.is_bulk(total)
    if is_bulk and not request.user.has_perm(MAY_END_IN_BULK):
        raise PermissionDenied
    if is_bulk and not step_up.is_fresh(request):
        return step_up.demand(request, f"{reverse(ASK)}?{target.query}")
    try:
        shown = recalled or Shown.show(request, target, total, ids)
    except ListTooLong:
        return _too_many(request, target)
    own = _own(request)
    form = ConfirmationForm(
        request.POST if is_answered else None,
        token=shown.token,
        total=shown.total,
        is_outdated=not recalled and target.scope is not Scope.CHOSEN,
        is_bulk=is_bulk,
        holds_own=own is not None and target.holds(own),
        must_hold_own=target.scope in {Scope.EVERYONE, Scope.PERSON},
    )
    if is_answered and form.is_valid():
        return _end(request, target, shown, form.values, own)
    return _ask(request, page, target, shown, form)


def _why_nothing(given: QueryDict) -> str:
    if given.keys() - {"session", "csrfmiddlewaretoken"}:
        return _("A filter is unknown or cannot be read, so no session was chosen.")
    return _("No session was chosen.")


def _too_many(request: HttpRequest, target: Target) -> HttpResponse:
    messages.warning(
        request,
        _(
            "More than %(n)d sessions match, which is too many to end by filter. "
            "Narrow the filter, or end everyone."
        )
        % {"n": frozen.AT_MOST},
    )
    return redirect(f"{reverse(LIST)}?{target.filters}")


def _ask(
    request: HttpRequest,
    page: dict[str, Any],
    target: Target,
    shown: Shown,
    form: ConfirmationForm,
) -> HttpResponse:
    own = cast("StaffRequest", request).session.session_id
    sample = shown.sample(target)
    context = {
        **page,
        "title": _("End live sessions"),
        "target": target,
        "total": shown.total,
        "gone": len(target.ids) - shown.total if target.ids else 0,
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
    shown: Shown,
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
        telling.tell(request, live.end(chosen, by=by, reason=reason))
        return redirect(LIST)
    if target.person:
        issuer, sub = target.person
        outcome = live.end_subject(issuer, sub, by=by, reason=reason)
        _record(by, reason, target, shown)
        telling.tell(request, outcome)
        return redirect(f"{reverse(LIST)}?{target.filters}")
    frozen.keep(shown.token, settings.SESSION_ABSOLUTE_SECONDS)
    begun = Job.begin(
        request,
        query=target.query,
        frozen=shown.token,
        besides=spared,
        reason=reason,
        total=shown.total,
    )
    _record(by, reason, target, shown)
    return _step(request, begun)


def _record(by: str, reason: str, target: Target, shown: Shown) -> None:
    """One entry for the whole, beside one for each session that ends."""
    audit.record(
        audit.Event.BULK_KILLED,
        actor=by,
        subject=_person_named(target),
        reason=reason,
        details={"filter": target.query, "shown": shown.total},
    )


def _person_named(target: Target) -> str:
    if target.person is None:
        return ""
    identity = User.identity_of(*target.person)
    user = User.objects.filter(identity=identity).first()
    return user.username if user else ""


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
        # For whoever sends the last form or step twice: they read what is gone.
        frozen.keep(job.frozen, KEPT_AFTERWARDS)
        telling.tell_job(request, job)
        to = f"{reverse(LIST)}?{job.filters}"
    else:
        job.remember(request)
        to = reverse(PROGRESS, args=[job.id])
    if not request.accepts("text/html"):
        return JsonResponse({"ended": job.ended, "done": job.is_done, "to": to})
    return redirect(to)


def _name(request: HttpRequest) -> str:
    return cast("User", request.user).username


def _own(request: HttpRequest) -> LiveSession | None:
    session = cast("StaffRequest", request).session
    record = session.record
    return LiveSession.of(record, session.last_used) if record else None
