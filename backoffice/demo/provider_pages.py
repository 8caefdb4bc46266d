from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from backoffice.demo.messages import NO_STORE, Response
from backoffice.demo.provider_faults import FaultSetting
from backoffice.demo.provider_state import ProviderSession
from backoffice.demo.provider_texts import TEXTS
from backoffice.demo.staff import DemoPerson

STYLESHEET = Path(__file__).with_name("provider.css")
HUES = 6


def sign_in_page(
    staff: Iterable[DemoPerson],
    language: str,
    *,
    secret: str,
    redirect_uri: str,
    current: str = "",
    hint: str = "",
    is_again: bool = False,
) -> Response:
    """One button per person; `secret` comes back with the choice."""
    texts = TEXTS[language]
    lead = texts["again" if is_again else "asked-by"]
    hinted = [person for person in staff if is_hinted(person, hint)]
    others = [person for person in staff if person not in hinted]
    cards = [
        card(
            person, texts, is_current=person.sub == current, is_hinted=person in hinted
        )
        for person in [*hinted, *others]
    ]
    body = (
        f"<h1>{texts['choose']}</h1>"
        f'<p class="lead">{lead.format(site=escape(origin(redirect_uri)))}</p>'
        f'<p class="notice">{texts["notice"]}</p>'
        f'<form method="post" action="/sign-in">{hidden(secret)}'
        f'<ul class="cards">{"".join(cards)}</ul></form>'
    )
    return page(texts["choose"], body, language, leads_to=redirect_uri)


def sign_out_page(
    person: DemoPerson | None, language: str, *, secret: str, leads_to: str
) -> Response:
    """Asks before signing out: shown when nothing proves that the site itself asked."""
    texts = TEXTS[language]
    lead = texts["sign-out-lead" if person else "sign-out-nobody"]
    body = (
        f"<h1>{texts['sign-out']}</h1>"
        f'<p class="lead">{lead.format(name=escape(person.name if person else ""))}</p>'
        f'<form method="post" action="/sign-out">{hidden(secret)}'
        f'<button class="action">{texts["sign-out-action"]}</button></form>'
    )
    return page(texts["sign-out"], body, language, leads_to=leads_to)


def signed_out_page(language: str) -> Response:
    texts = TEXTS[language]
    lead = f'<p class="lead">{texts["signed-out-lead"]}</p>'
    body = f"<h1>{texts['signed-out']}</h1>{lead}"
    return page(texts["signed-out"], body, language)


def refusal_page(reason: str, language: str, status: int = 400) -> Response:
    """For what must not be answered by a redirect; `reason` is for developers."""
    texts = TEXTS[language]
    body = (
        f"<h1>{texts['refused']}</h1>"
        f'<p class="lead">{texts["refused-lead"]}</p>'
        f"<p><code>{escape(reason)}</code></p>"
    )
    return page(texts["refused"], body, language, status=status)


def control_page(
    sessions: Iterable[ProviderSession],
    staff: Mapping[str, DemoPerson],
    faults: Iterable[FaultSetting],
    *,
    secret: str,
    outcome: str = "",
) -> Response:
    """What goes on at the provider, with a button to end each session."""
    rows = [session_row(each, staff[each.sub]) for each in sessions]
    listed = "".join(rows) or '<tr><td colspan="4">Nobody is signed in.</td></tr>'
    active = ", ".join(escape(str(each.fault)) for each in faults) or "none"
    body = (
        "<h1>Development identity provider</h1>"
        '<p class="lead">Ending a session here sends a back-channel logout to every '
        "site it was used for.</p>"
        + (f'<p class="notice" role="status">{escape(outcome)}</p>' if outcome else "")
        + f'<form method="post" action="/dev/end">{hidden(secret)}'
        '<div class="scroll"><table><thead><tr><th>Person</th><th>Session (sid)</th>'
        "<th>Sites</th><th>Action</th></tr></thead>"
        f"<tbody>{listed}</tbody></table></div></form>"
        f"<h2>Faults</h2><p>{active}</p>"
    )
    return page("Development identity provider", body, "en")


def session_row(session: ProviderSession, person: DemoPerson) -> str:
    sites = escape(", ".join(session.clients) or "–")
    return (
        f"<tr><td>{escape(person.name)}</td><td><code>{escape(session.sid)}</code></td>"
        f'<td>{sites}</td><td><button class="action" name="sid" '
        f'value="{escape(session.sid)}" '
        f'aria-label="End the session of {escape(person.name)}">End</button></td></tr>'
    )


def card(
    person: DemoPerson, texts: Mapping[str, str], *, is_current: bool, is_hinted: bool
) -> str:
    hue = sum(person.sub.encode()) % HUES
    groups = [*person.groups, *([texts["current"]] if is_current else [])]
    chips = "".join(f'<span class="group">{escape(group)}</span>' for group in groups)
    return (
        f'<li><button class="card{" hinted" if is_hinted else ""}" name="sub" '
        f'value="{escape(person.sub)}"{" autofocus" if is_hinted else ""}>'
        f'<span class="face hue-{hue}" aria-hidden="true">'
        f"{escape(person.name[0])}</span>"
        f'<span class="name">{escape(person.name)}</span>'
        f'<span class="post">{escape(person.department)} · '
        f"{escape(person.title)}</span>"
        f'<span class="mail">{escape(person.email)}</span>'
        f'<span class="groups">{chips}</span></button></li>'
    )


def hidden(secret: str) -> str:
    return f'<input type="hidden" name="answer" value="{escape(secret)}">'


def is_hinted(person: DemoPerson, hint: str) -> bool:
    return hint in {person.sub, person.username, person.email}


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def page(
    title: str, body: str, language: str, *, status: int = 200, leads_to: str = ""
) -> Response:
    # Browsers hold form-action against the redirect that follows the form as well, so
    # the site the person came from must be named.
    targets = f"'self' {origin(leads_to)}" if leads_to else "'self'"
    policy = (
        f"default-src 'none'; style-src 'self'; form-action {targets}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    document = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>"
        '<link rel="stylesheet" href="/style.css"></head>'
        f"<body><main>{body}</main></body></html>\n"
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        ("Content-Language", language),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        NO_STORE,
    )
    return Response(status, headers, document.encode())


def stylesheet() -> Response:
    headers = (("Content-Type", "text/css; charset=utf-8"), NO_STORE)
    return Response(200, headers, STYLESHEET.read_bytes())
