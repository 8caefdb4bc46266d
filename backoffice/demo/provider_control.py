"""The provider's control page, and the switch for its faults.

Both change things, and any page a developer visits can send requests to loopback. The
page's buttons therefore need the answer it was shown with; the switch takes only JSON,
which a foreign page cannot send without asking first.
"""

from __future__ import annotations

from dataclasses import asdict

from backoffice.demo.messages import Request, Response, json_response
from backoffice.demo.provider_browser import browser_of, new_browser, with_cookie
from backoffice.demo.provider_logout import end_and_tell
from backoffice.demo.provider_pages import control_page, refusal_page
from backoffice.demo.provider_state import ProviderState


def control(state: ProviderState, request: Request) -> Response:
    return shown(state, request)


def end(state: ProviderState, request: Request) -> Response:
    """The button: end one session and tell its sites."""
    if state.take_answer(browser_of(request), request.form.get("answer", "")) is None:
        return refusal_page("unknown or old form", "en", 403)
    deliveries = end_and_tell(state, request.form.get("sid", ""))
    told = [f"{each.client_id}: {each.status or 'no answer'}" for each in deliveries]
    return shown(
        state, request, outcome=f"Ended. {', '.join(told) or 'No site to tell'}."
    )


def faults(state: ProviderState, request: Request) -> Response:
    """GET lists, DELETE clears, POST {"fault": …, "once": …} adds."""
    if request.method == "DELETE":
        state.faults.clear()
    if request.method == "POST":
        if request.media_type != "application/json":
            return json_response({"error": "send application/json"}, 415)
        try:
            settings = request.json()
            state.faults.add(settings.pop("fault"), **settings)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return json_response({"error": f"no such fault: {error}"}, 400)
    return json_response([asdict(each) for each in state.faults.settings()])


def shown(state: ProviderState, request: Request, outcome: str = "") -> Response:
    browser = browser_of(request) or new_browser()
    page = control_page(
        list(state.sessions.values()),
        state.staff,
        state.faults.settings(),
        secret=state.expect_answer(browser, {}),
        outcome=outcome,
    )
    return with_cookie(page, browser)
