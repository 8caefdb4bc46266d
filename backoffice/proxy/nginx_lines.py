"""The lines of nginx configuration that one rule or one route comes to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from backoffice.proxy.errors import NO_STORE
from backoffice.proxy.route_values import KeepAlive

Rules = dict[str, Any]

CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
IDLE_CONNECTIONS = 64
# Shorter than any server's keep-alive: what is closed while we send costs a 502.
IDLE_SECONDS = 2
# nginx makes these itself, and needs them where a call becomes a WebSocket.
MADE_BY_NGINX = frozenset(
    {"connection", "content-length", "host", "transfer-encoding", "upgrade"}
)
# A WebSocket's own fields begin so. What else does is cleared by name.
_NEEDED_PREFIX = "sec-"
_PROBLEM = "    default_type application/problem+json;"
_BROWSER_CLAIMS = (
    *("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User"),
    *("Sec-Fetch-Storage-Access", "Sec-GPC", "Sec-Purpose"),
    *("Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "Sec-CH-UA-Arch"),
    *("Sec-CH-UA-Model", "Sec-CH-UA-Platform-Version", "Sec-CH-UA-Full-Version-List"),
    *("Sec-CH-UA-Bitness", "Sec-CH-UA-WoW64", "Sec-CH-UA-Form-Factors"),
    *("Sec-CH-Prefers-Color-Scheme", "Sec-CH-Prefers-Reduced-Motion"),
)
# What says who is calling, and the variable with which nginx's own directives say it.
IDENTITY = {
    "X-Staff-Sub": "$staff_sub",
    "X-Staff-User": "$staff_user",
    "X-Staff-Name": "$staff_name",
    "X-Staff-Email": "$staff_email",
    "X-Staff-Department": "$staff_department",
    "X-Staff-Groups": "$staff_groups",
    "X-Staff-Token": "$staff_token",
    "X-Session-Id": "$staff_session",
}
# Where there is Lua, one of them holds the lines of the others as well.
IDENTITY_BY_LUA = {
    **dict.fromkeys(IDENTITY, '""'),
    "X-Staff-Token": "$staff_token",
    "X-Session-Id": "$staff_session",
}


def problem(word: str, refusal: Rules) -> str:
    """The body of a refusal, as every door writes it (RFC 9457)."""
    return json.dumps(
        {
            "type": "about:blank",
            "status": refusal["status"],
            "code": word,
            "detail": refusal["detail"],
        }
    )


def upstream_block(name: str, server: str) -> list[str]:
    return [
        f"upstream {name} {{",
        f"    server {server} max_fails=0;",
        f"    keepalive {IDLE_CONNECTIONS};",
        f"    keepalive_timeout {IDLE_SECONDS}s;",
        "}",
    ]


def unkept_block(name: str, server: str) -> list[str]:
    """An upstream whose connections serve one request each."""
    return [
        f"upstream {name} {{",
        f"    server {server} max_fails=0;",
        # Said, and not left out: nginx 1.29.7 and later keep connections by default,
        # also those on which they have sent `Connection: close`.
        "    keepalive 1;",
        "    keepalive_requests 1;",
        "}",
    ]


def route_upstream(route: Rules) -> list[str]:
    upstream = route["upstream"]
    server = upstream["host"]
    if upstream["socket"]:
        server = f"unix:{upstream['socket']}"
    elif not re.search(r":\d+$", server):
        server += ":443" if upstream["scheme"] == "https" else ":80"
    name = upstream_name(route)
    if route["keepalive"] == KeepAlive.SHARED:
        return [*upstream_block(name, server), *unkept_block(f"{name}.once", server)]
    return unkept_block(name, server)


def route_pass(route: Rules) -> Iterator[str]:
    """Where requests go, and whether that connection ends with them (maps.conf)."""
    name, scheme = upstream_name(route), route["upstream"]["scheme"]
    is_shared = route["keepalive"] == KeepAlive.SHARED
    connection = "$gate_shared_connection" if is_shared else "$gate_connection"
    yield f"proxy_set_header Connection {connection};"
    once = "$gate_once" if is_shared else ""
    yield f"proxy_pass {scheme}://{name}{once}{target_variable(route)};"


def target_map(prefix: str, route: Rules) -> Iterator[str]:
    """The raw rest of the target below the upstream's mount, byte for byte.

    A map, because nginx's own way (a URI in proxy_pass) decodes and encodes anew.
    """
    mount = route["upstream"]["mount"]
    path = re.escape(f"{prefix}/{route['prefix']}")
    yield f"# The rest of the target at {route['name']}."
    yield f"map $request_uri {target_variable(route)} {{"
    yield f'    default "{mount or "/"}";'
    yield f'    "~^{path}(?<backoffice_rest>/.*)$" "{mount}$backoffice_rest";'
    yield f'    "~^{path}(?<backoffice_rest>\\?.*)$" "{mount or "/"}$backoffice_rest";'
    yield "}"


def sent_fields(rules: Rules, identity: dict[str, str]) -> Iterator[str]:
    """Takes from the client whatever could pass for our word, and puts ours."""
    prefixes = [p for p in rules["drop_prefixes"] if p != _NEEDED_PREFIX]
    yield f"more_clear_input_headers {' '.join(f'{p}*' for p in prefixes)};"
    ours = {name.lower() for name in IDENTITY} | {"x-request-id", "cookie"}
    dropped = [
        name.title() for name in rules["drop"] if name not in ours | MADE_BY_NGINX
    ]
    for name in [*dropped, *_BROWSER_CLAIMS]:
        yield f'proxy_set_header {name} "";'
    for name, value in identity.items():
        yield f"proxy_set_header {name} {value};"


def site_fields() -> dict[str, str]:
    """What the site says with each of its answers; a location inherits none of it."""
    fields = {"Referrer-Policy": settings.SECURE_REFERRER_POLICY}
    if settings.SECURE_HSTS_SECONDS:
        scope = "; includeSubDomains" * settings.SECURE_HSTS_INCLUDE_SUBDOMAINS
        life = f"max-age={settings.SECURE_HSTS_SECONDS}"
        fields["Strict-Transport-Security"] = life + scope
    return fields


def tls(upstream: Rules) -> Iterator[str]:
    if upstream["scheme"] == "https":
        yield "proxy_ssl_server_name on;"
        yield f"proxy_ssl_name {re.sub(r':[0-9]+$', '', upstream['host'])};"
        yield "proxy_ssl_verify on;"
        yield "proxy_ssl_verify_depth 4;"
        yield f"proxy_ssl_trusted_certificate {upstream['ca_file'] or CA_FILE};"


def refusal_bodies(refusals: Rules) -> Iterator[str]:
    yield "map $gate_word $gate_body {"
    yield '    default "";'
    for word, refusal in refusals.items():
        if refusal["detail"]:
            yield f"    {word} '{problem(word, refusal)}';"
    yield "}"


def kept_answers(values: Rules) -> Iterator[str]:
    """What a browser may do with an answer on a route where it may keep some.

    Nothing with a refusal of ours, before which no upstream was asked, and nothing with
    what the upstream itself would not have kept.
    """
    yield 'map "$upstream_status $upstream_http_cache_control" $gate_kept {'
    yield f'    default "{values["revalidate"]}";'
    yield f'    "~^ " {values["no-store"]};'
    yield f'    "~*{NO_STORE}" {values["no-store"]};'
    yield "}"


def late_refusal(status: int, word: str, refused: list[str]) -> Iterator[str]:
    """A refusal that is made after the call has passed the gate."""
    yield from [*refused, _PROBLEM]
    yield f'    set $gate_word "{word}";'
    yield f"    return {status} $gate_body;"


def spoken_refusals(refusals: Rules, refused: list[str]) -> Iterator[str]:
    """`return` takes no variable for its status, hence one line for each of them."""
    # auth_request has taken WWW-Authenticate over already.
    yield "location @no-session {"
    yield from refused
    yield '    default_type "";'
    yield "    set $gate_word no-session;"
    yield "    return 401 $gate_body;"
    yield "}"
    yield "location @too-large {"
    yield from late_refusal(413, "body-too-large", refused)
    yield "}"
    yield "location @refused {"
    yield from [*refused, _PROBLEM]
    for status in sorted({refusal["status"] for refusal in refusals.values()}):
        yield f"    if ($gate_status = {status}) {{ return {status} $gate_body; }}"
    yield "    return 403 $gate_body;"
    yield "}"
    # Nobody answered the question. That is an outage of ours, like the store's.
    yield "location @unasked {"
    yield from [*refused, _PROBLEM]
    # The site's web server takes no such request; that is the client's doing.
    yield "    if ($gate_answered = 400) { return 400 $gate_body; }"
    yield "    set $gate_word store-down;"
    yield "    set $gate_retry 1;"
    yield "    return 503 $gate_body;"
    yield "}"


def upstream_name(route: Rules) -> str:
    return f"backoffice_to_{route['name'].replace('-', '_')}"


def target_variable(route: Rules) -> str:
    """Of the same length for every name: nginx takes only short ones without setup."""
    digest = hashlib.sha256(route["name"].encode()).hexdigest()
    return f"$backoffice_target_{digest[:16]}"


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
