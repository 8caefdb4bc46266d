from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from backoffice.demo.messages import Request, Response
from backoffice.demo.provider_browser import (
    authorization_response,
    browser_of,
    new_browser,
    with_cookie,
)
from backoffice.demo.provider_claims import ACR_CARD, ACR_STRONG
from backoffice.demo.provider_faults import Fault
from backoffice.demo.provider_logout import end_and_tell
from backoffice.demo.provider_pages import is_hinted, refusal_page, sign_in_page
from backoffice.demo.provider_state import Grant, ProviderSession, ProviderState
from backoffice.demo.provider_texts import chosen_language

SCOPES = ("openid", "profile", "email", "groups", "offline_access")
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of a SHA-256

Problem = tuple[str, str]
Parameters = Mapping[str, str]


def authorize(state: ProviderState, request: Request) -> Response:
    """The authorization endpoint: code flow with PKCE S256, nothing else."""
    pairs = request.form_pairs if request.method == "POST" else request.query_pairs
    asked = dict(pairs)
    client = state.clients.get(asked.get("client_id", ""))
    # Until both are known to belong together, a redirect would be an open one.
    if client is None:
        return refusal_page("unknown client_id", language_of(request, asked))
    if asked.get("redirect_uri") not in client.redirect_uris:
        return refusal_page("unregistered redirect_uri", language_of(request, asked))
    if problem := request_problem(pairs, asked):
        return refused(state, asked, problem)
    return decided(state, request, asked)


def sign_in(state: ProviderState, request: Request) -> Response:
    """The answer of the sign-in page: a person was chosen."""
    browser = browser_of(request)
    asked = state.take_answer(browser, request.form.get("answer", ""))
    if asked is None:
        return refusal_page("unknown or old form", language_of(request, {}), 403)
    sub = request.form.get("sub", "")
    if sub not in state.staff:
        return refusal_page("unknown person", language_of(request, asked))
    earlier = state.session_of(browser)
    if earlier is not None and earlier.sub != sub:
        end_and_tell(state, earlier.sid)
    session = state.sign_in(sub, browser)
    return with_cookie(granted(state, session, asked), session.browser)


def request_problem(
    pairs: Sequence[tuple[str, str]], asked: Parameters
) -> Problem | None:
    """What is wrong with the request, in the words of RFC 6749 and Core 3.1.2.6."""
    repeated = Counter(name for name, _ in pairs).most_common(1)[0][1] > 1
    prompts = set(asked.get("prompt", "").split())
    ladder: list[tuple[bool, str, str]] = [
        (repeated, "invalid_request", "a parameter was sent twice"),
        ("request" in asked, "request_not_supported", "no request objects"),
        ("request_uri" in asked, "request_uri_not_supported", "no request objects"),
        (
            asked.get("response_type") != "code",
            "unsupported_response_type",
            "only the code flow",
        ),
        (
            asked.get("response_mode", "query") != "query",
            "invalid_request",
            "only response_mode query",
        ),
        ("openid" not in scope_of(asked), "invalid_scope", "openid must be asked for"),
        (
            asked.get("code_challenge_method") != "S256",
            "invalid_request",
            "PKCE with S256 is required",
        ),
        (
            not CHALLENGE.fullmatch(asked.get("code_challenge", "")),
            "invalid_request",
            "code_challenge is not a SHA-256",
        ),
        (not prompts <= PROMPTS, "invalid_request", "unknown prompt"),
        (
            "none" in prompts and len(prompts) > 1,
            "invalid_request",
            "prompt none goes with no other",
        ),
        (
            not re.fullmatch(r"[0-9]{1,9}|", asked.get("max_age", "")),
            "invalid_request",
            "max_age is not a number of seconds",
        ),
    ]
    return next(((error, text) for wrong, error, text in ladder if wrong), None)


def decided(state: ProviderState, request: Request, asked: Parameters) -> Response:
    """A code for whom we know well enough, else the sign-in page."""
    session = state.session_of(browser_of(request))
    if session is not None and not must_sign_in(state, session, asked):
        return granted(state, session, asked)
    if "none" in asked.get("prompt", "").split():
        return refused(state, asked, ("login_required", "nobody is signed in"))
    browser = browser_of(request) or new_browser()
    shown = sign_in_page(
        state.staff.values(),
        language_of(request, asked),
        secret=state.expect_answer(browser, dict(asked)),
        redirect_uri=asked["redirect_uri"],
        current=session.sub if session else "",
        hint=asked.get("login_hint", ""),
        is_again=session is not None,
    )
    return with_cookie(shown, browser)


def must_sign_in(
    state: ProviderState, session: ProviderSession, asked: Parameters
) -> bool:
    """Whether the site asked for more than the session that is there."""
    if state.faults.take(Fault.REAUTHENTICATION_IGNORED):
        return False
    if {"login", "select_account"} & set(asked.get("prompt", "").split()):
        return True
    hint = asked.get("login_hint", "")
    if hint and not is_hinted(state.staff[session.sub], hint):
        return True
    age = state.now() - session.auth_time
    return bool(asked.get("max_age")) and age >= int(asked["max_age"])


def granted(
    state: ProviderState, session: ProviderSession, asked: Parameters
) -> Response:
    wanted = asked.get("acr_values", "").split()
    grant = Grant(
        client_id=asked["client_id"],
        sid=session.sid,
        sub=session.sub,
        auth_time=session.auth_time,
        scope=tuple(each for each in SCOPES if each in scope_of(asked)),
        nonce=asked.get("nonce", ""),
        acr=ACR_STRONG if ACR_STRONG in wanted else ACR_CARD,
    )
    code = state.issue_code(
        session, grant, asked["redirect_uri"], asked["code_challenge"]
    )
    return authorization_response(state, asked, {"code": code})


def refused(state: ProviderState, asked: Parameters, problem: Problem) -> Response:
    error, description = problem
    answer = {"error": error, "error_description": description}
    return authorization_response(state, asked, answer)


def scope_of(asked: Parameters) -> list[str]:
    return asked.get("scope", "").split()


def language_of(request: Request, asked: Parameters) -> str:
    return chosen_language(request, asked.get("ui_locales", ""))
