"""What is said after an ending: what is known to have happened, and nothing more."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.desk.job import Job
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.live import Outcome


def tell(request: HttpRequest, outcome: Outcome) -> None:
    """Says what was read back from the store."""
    _tell_numbers(request, len(outcome.ended), len(outcome.already_gone), outcome)
    if outcome.ended or outcome.pending:
        tell_alive_at_provider(request)


def tell_suspended(request: HttpRequest, outcome: Outcome) -> None:
    """The same of the sessions of somebody who was suspended."""
    if outcome.ended or outcome.pending:
        _tell_numbers(request, len(outcome.ended), 0, outcome)
    messages.info(
        request,
        _(
            "Their session at the sign-in provider is still alive: it no longer opens "
            "Backoffice, but end it there, too, if it should open no other site."
        ),
    )


def tell_alive_at_provider(request: HttpRequest) -> None:
    """What no end here can do, and what to do about it."""
    messages.info(
        request,
        _(
            "Their session at the sign-in provider is still alive, so one click brings "
            "them back: to keep a person out, suspend them."
        ),
    )


def tell_job(request: HttpRequest, job: Job) -> None:
    """The same of all the steps of a long one together."""
    _tell_numbers(request, job.ended, job.gone, job)
    if job.is_lost:
        messages.warning(
            request,
            _(
                "The store has lost the list of the sessions that were shown. Those "
                "that had not had their turn were left alone: choose them again."
            ),
        )
    if not job.pending:
        _tell_more(request, job)
    if job.ended or job.pending:
        tell_alive_at_provider(request)


def _tell_more(request: HttpRequest, job: Job) -> None:
    """What matches now and was not shown is for the admin to look at, not for us."""
    try:
        more = job.more()
    except SessionStoreError:
        return
    if more:
        text = ngettext(
            "%(n)d more session matches now; it was not shown and is not ended.",
            "%(n)d more sessions match now; they were not shown and are not ended.",
            more,
        )
        messages.warning(request, text % {"n": more})


def tell_cut_off(request: HttpRequest, outcome: Outcome) -> None:
    """Whoever reads it has signed in again since, if anybody does."""
    if not outcome.pending:
        messages.success(request, _("Every session that began before now has ended."))
    if outcome.pending:
        _tell_pending(request)
    _tell_doubts(request, outcome)
    tell_alive_at_provider(request)


def _tell_numbers(
    request: HttpRequest, ended: int, gone: int, outcome: Outcome | Job
) -> None:
    if ended:
        text = ngettext("%(n)d session ended.", "%(n)d sessions ended.", ended)
        messages.success(request, text % {"n": ended})
    if outcome.pending:
        _tell_pending(request)
        return
    if gone:
        text = ngettext(
            "%(n)d session was already gone.", "%(n)d sessions were already gone.", gone
        )
        messages.info(request, text % {"n": gone})
    if not ended and not gone and not getattr(outcome, "is_lost", False):
        messages.info(request, _("There was nothing left to end."))
    _tell_doubts(request, outcome)


def _tell_pending(request: HttpRequest) -> None:
    messages.warning(
        request,
        _(
            "The session store cannot be used at the moment. The revocation is "
            "recorded and takes effect within 2 seconds of the store being back."
        ),
    )


def _tell_doubts(request: HttpRequest, outcome: Outcome | Job) -> None:
    if outcome.acknowledged is False:
        messages.warning(
            request,
            _(
                "No replica of the store has confirmed it yet. Should the store fail "
                "over now, the kill is repeated from the ledger."
            ),
        )
    if not outcome.durable:
        messages.warning(
            request,
            _(
                "The database does not answer: the kill is done in the store, but not "
                "yet durable."
            ),
        )
