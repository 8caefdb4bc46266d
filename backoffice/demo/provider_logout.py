from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from backoffice.demo.messages import Request, Response
from backoffice.demo.provider_browser import (
    browser_of,
    new_browser,
    redirect,
    with_cookie,
)
from backoffice.demo.provider_claims import logout_token
from backoffice.demo.provider_pages import (
    refusal_page,
    sign_out_page,
    signed_out_page,
)
from backoffice.demo.provider_state import Client, ProviderSession, ProviderState
from backoffice.demo.provider_texts import chosen_language
from backoffice.demo.staff import DemoPerson

logger = logging.getLogger(__name__)

DELIVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One logout token sent to one client: its status, or None if nobody answered."""

    client_id: str
    token: str
    status: int | None


def end_and_tell(state: ProviderState, sid: str) -> list[Delivery]:
    """End a session and tell the clients it was used for; nothing if there is none."""
    session = state.end_session(sid)
    if session is None:
        return []
    clients = [state.clients[each] for each in session.clients if each in state.clients]
    return tell(state, clients, sid=sid, sub=session.sub)


def tell(
    state: ProviderState,
    clients: Iterable[Client],
    *,
    sid: str | None = None,
    sub: str | None = None,
) -> list[Delivery]:
    """Send a logout token to each of these clients that wants one."""
    return [
        deliver(client, logout_token(state, client.client_id, sid=sid, sub=sub))
        for client in clients
        if client.backchannel_logout_uri
    ]


def deliver(client: Client, token: str) -> Delivery:
    """POST a logout token; an answer that does not come in time is no error."""
    status = None
    # Proxy settings and .netrc of the developer have no business in this call.
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.post(
                client.backchannel_logout_uri,
                data={"logout_token": token},
                timeout=DELIVERY_SECONDS,
                allow_redirects=False,
            )
            status = answer.status_code
        except requests.RequestException:
            logger.info("logout-undelivered client=%s", client.client_id)
    return Delivery(client.client_id, token, status)


def end_session(state: ProviderState, request: Request) -> Response:
    """RP-initiated logout: at once with a good id_token_hint, else after a question."""
    asked = request.form if request.method == "POST" else request.query
    hint = hinted(state, asked)
    client = asking_client(state, asked, hint)
    if hint is None or client is None:
        return question(state, request, asked)
    end_and_tell(state, str(hint.get("sid", "")))
    return signed_out(state, request, asked, client)


def sign_out(state: ProviderState, request: Request) -> Response:
    """The answer of the sign-out page."""
    browser = browser_of(request)
    asked = state.take_answer(browser, request.form.get("answer", ""))
    if asked is None:
        return refusal_page("unknown or old form", language_of(request, {}), 403)
    session = state.session_of(browser)
    if session is not None:
        end_and_tell(state, session.sid)
    return signed_out(state, request, asked, asking_client(state, asked, None))


def question(
    state: ProviderState, request: Request, asked: Mapping[str, str]
) -> Response:
    browser = browser_of(request) or new_browser()
    session = state.session_of(browser)
    shown = sign_out_page(
        person_of(state, session),
        language_of(request, asked),
        secret=state.expect_answer(browser, dict(asked)),
        leads_to=return_address(asked, asking_client(state, asked, None)),
    )
    return with_cookie(shown, browser)


def signed_out(
    state: ProviderState,
    request: Request,
    asked: Mapping[str, str],
    client: Client | None,
) -> Response:
    """Back to the site if the address is registered, else our own last page."""
    uri = return_address(asked, client)
    if not uri:
        response = signed_out_page(language_of(request, asked))
    else:
        response = redirect(uri, {k: asked[k] for k in ("state",) if k in asked})
    is_known = state.session_of(browser_of(request)) is not None
    return response if is_known else with_cookie(response, "")


def hinted(state: ProviderState, asked: Mapping[str, str]) -> dict[str, Any] | None:
    """The claims of the ID token in the request, if we made it."""
    return state.keys.verify(asked.get("id_token_hint", ""), issuer=state.issuer)


def asking_client(
    state: ProviderState, asked: Mapping[str, str], hint: Mapping[str, Any] | None
) -> Client | None:
    """The client that asks; None if unknown or if hint and client_id disagree."""
    names = {str(hint["aud"])} if hint else set()
    names |= {asked["client_id"]} if "client_id" in asked else set()
    return state.clients.get(names.pop()) if len(names) == 1 else None


def return_address(asked: Mapping[str, str], client: Client | None) -> str:
    uri = asked.get("post_logout_redirect_uri", "")
    return uri if client and uri in client.post_logout_redirect_uris else ""


def person_of(
    state: ProviderState, session: ProviderSession | None
) -> DemoPerson | None:
    return state.staff[session.sub] if session else None


def language_of(request: Request, asked: Mapping[str, str]) -> str:
    return chosen_language(request, asked.get("ui_locales", ""))
