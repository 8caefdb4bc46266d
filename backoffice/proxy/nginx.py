"""The route table as nginx configuration, for doors 2 and 3.

Three files, because nginx takes these directives at three levels: `http.conf` beside
the servers, `server.conf` within one, `route.conf` within each of its locations (the
second includes the third). What does not depend on routes is in deploy/nginx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings

from backoffice.proxy.errors import DoorError

Rules = dict[str, Any]

CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
IDLE_CONNECTIONS = 64
# Shorter than any server's keep-alive: what is closed while we send costs a 502.
IDLE_SECONDS = 2
STORE_MILLISECONDS = int(settings.STORE_TIMEOUT_SECONDS * 1000)
# nginx makes these itself, and needs them where a call becomes a WebSocket.
_MADE_BY_NGINX = frozenset(
    {"connection", "content-length", "host", "transfer-encoding", "upgrade"}
)
# A WebSocket's own fields begin so. What else does is cleared by name.
_NEEDED_PREFIX = "sec-"
_BROWSER_CLAIMS = (
    *("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User"),
    *("Sec-Fetch-Storage-Access", "Sec-GPC", "Sec-Purpose"),
    *("Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "Sec-CH-UA-Arch"),
    *("Sec-CH-UA-Model", "Sec-CH-UA-Platform-Version", "Sec-CH-UA-Full-Version-List"),
    *("Sec-CH-UA-Bitness", "Sec-CH-UA-WoW64", "Sec-CH-UA-Form-Factors"),
    *("Sec-CH-Prefers-Color-Scheme", "Sec-CH-Prefers-Reduced-Motion"),
)
_IDENTITY = {
    "X-Staff-Sub": "$staff_sub",
    "X-Staff-User": "$staff_user",
    "X-Staff-Name": "$staff_name",
    "X-Staff-Email": "$staff_email",
    "X-Staff-Department": "$staff_department",
    "X-Staff-Groups": "$staff_groups",
    "X-Staff-Token": "$staff_token",
    "X-Session-Id": "$staff_session",
}
# Orders that an upstream could give to nginx itself, a file to send among them.
_ORDERS = ("Redirect", "Expires", "Limit-Rate", "Buffering", "Charset")
# Made here after the call has passed, under these words.
_LATE = {502: "upstream-down", 504: "upstream-slow", 413: "body-too-large"}


class Door(StrEnum):
    """How nginx asks the gate: at the site's `/gate/check`, or by the Lua script."""

    CHECK = "check"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True)
class Nginx:
    """The rules (export.exported), which door, and where its files lie.

    `folder`: what is made here; `snippets`: deploy/nginx. `site`: host:port of a web
    server of this site. `watch`: whether door 2 has Lua to end open streams with.
    """

    rules: Rules
    door: Door
    folder: str
    snippets: str
    site: str
    watch: bool = False

    def files(self) -> dict[str, str]:
        """Name and content of each file. Raises DoorError."""
        return {
            "http.conf": _file(self._http()),
            "server.conf": _file(self._server()),
            "route.conf": _file(self._route()),
        }

    def _http(self) -> Iterator[str]:
        yield f"include {self.snippets}/maps.conf;"
        # Each route adds variables of its own.
        yield "variables_hash_max_size 4096;"
        yield "variables_hash_bucket_size 128;"
        yield from _upstream("backoffice_site", self.site)
        for route in self.rules["routes"]:
            yield from _route_upstream(route)
            yield from _target_map(self.rules["gate"]["prefix"], route)
        yield from _refusal_bodies(self.rules["refusals"])
        if self.door is Door.SCRIPT or self.watch:
            yield f'lua_package_path "{self.snippets}/lua/?.lua;;";'
            yield "lua_shared_dict backoffice 4m;"
            for what in ("connect", "send", "read"):
                yield f"lua_socket_{what}_timeout {STORE_MILLISECONDS}ms;"
            yield "lua_socket_log_errors off;"
            yield "lua_socket_pool_size 128;"
            yield (
                "init_by_lua_block { "
                f'require("backoffice.{self.door}").start("{self.folder}/gate.json") }}'
            )
            yield (
                "init_worker_by_lua_block { "
                f'require("backoffice.{self.door}").start_worker() }}'
            )

    def _server(self) -> Iterator[str]:
        prefix = self.rules["gate"]["prefix"]
        for route in self.rules["routes"]:
            _refuse_what_nginx_cannot(route)
            path = f"{prefix}/{route['prefix']}"
            yield from self._locations(path, self._location(route))
        yield from self._locations(prefix, self._nowhere())
        yield from self._late_refusals()
        # Between the doors and the site alone.
        yield "location ^~ /gate/ { return 404; }"
        if self.door is Door.CHECK:
            yield f"include {self.snippets}/check.conf;"
            yield from _spoken_refusals(self.rules["refusals"], self.snippets)

    def _locations(self, path: str, lines: Iterable[str]) -> Iterator[str]:
        body = [f"    {line}" for line in lines]
        yield from [f"location = {path} {{", *body, "}"]
        yield from [f"location ^~ {path}/ {{", *body, "}"]

    def _judge(self, name: str) -> Iterator[str]:
        if self.door is Door.SCRIPT:
            call = f'require("backoffice.script").access("{name}")'
            yield f"access_by_lua_block {{ {call} }}"

    def _nowhere(self) -> Iterator[str]:
        """What names no route is put before the gate all the same, and never passes."""
        yield 'set $gate_cache "no-store";'
        yield from self._judge("")
        yield f"include {self.folder}/route.conf;"
        yield "proxy_pass http://127.0.0.1:1/;"

    def _location(self, route: Rules) -> Iterator[str]:
        upstream, timeouts = route["upstream"], route["timeouts"]
        answers = self.rules["response_headers"]
        cache = answers["cache_control"][route["cache"]]
        dropped = set(answers["drop"]) - set(route["response_headers"]) - _MADE_BY_NGINX
        yield from self._judge(route["name"])
        # A refusal by the script is made in this same place, and is never kept.
        yield f'set $gate_cache "{cache if self.door is Door.CHECK else "no-store"}";'
        yield f"include {self.folder}/route.conf;"
        for name in sorted(dropped | set(route["hide_headers"])):
            yield f"proxy_hide_header {name};"
        yield f"proxy_connect_timeout {_duration(timeouts['connect'])};"
        yield f"proxy_read_timeout {_duration(timeouts['read'])};"
        yield f"proxy_send_timeout {_duration(timeouts['read'])};"
        # To nginx, 0 is no limit at all.
        yield f"client_max_body_size {route['max_body'] or 1};"
        yield f"proxy_set_header Host {upstream['host']};"
        yield from _tls(upstream)
        yield f"proxy_pass {upstream['scheme']}://{_name(route)}${_name(route)}_target;"

    def _route(self) -> Iterator[str]:
        """The question to the gate, and the fields either way."""
        for variable in _IDENTITY.values():
            yield f'set {variable} "";'
        yield f"include {self.snippets}/{self.door}-route.conf;"
        if self.watch:
            yield f"include {self.snippets}/check-watch.conf;"
        yield f"include {self.snippets}/proxy.conf;"
        yield from _sent_fields(self.rules["request_headers"])
        answers = self.rules["response_headers"]
        # X-Gate is our own word in a refusal made here: that one is hidden by name.
        prefixes = [p for p in answers["drop_prefixes"] if p not in {"x-gate", "sec-"}]
        yield f"more_clear_headers {' '.join(f'{p}*' for p in prefixes)};"
        yield "proxy_hide_header X-Gate;"
        yield from (f"proxy_ignore_headers X-Accel-{order};" for order in _ORDERS)
        for name, value in {**answers["set"], **_site_fields()}.items():
            yield f"add_header {name} {_quoted(value)} always;"

    def _late_refusals(self) -> Iterator[str]:
        for status, word in _LATE.items():
            yield f"location @{word} {{"
            if status == 413 and self.door is Door.SCRIPT:
                # Judged all the same: without a session nobody learns a limit.
                yield f"    include {self.snippets}/script-too-large.conf;"
            else:
                yield f"    include {self.snippets}/refused.conf;"
                yield f'    set $gate_word "{word}";'
                yield f"    return {status} $gate_body;"
            yield "}"


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


def _refuse_what_nginx_cannot(route: Rules) -> None:
    if route["cookies"]:
        raise DoorError(
            f"{route['place']}: {route['name']}: cookies: an nginx door cannot keep an "
            "upstream's cookies apart; leave this route to door 1"
        )


def _upstream(name: str, server: str) -> list[str]:
    return [
        f"upstream {name} {{",
        f"    server {server} max_fails=0;",
        f"    keepalive {IDLE_CONNECTIONS};",
        f"    keepalive_timeout {IDLE_SECONDS}s;",
        "}",
    ]


def _route_upstream(route: Rules) -> list[str]:
    upstream = route["upstream"]
    server = upstream["host"]
    if upstream["socket"]:
        server = f"unix:{upstream['socket']}"
    elif not re.search(r":\d+$", server):
        server += ":443" if upstream["scheme"] == "https" else ":80"
    return _upstream(_name(route), server)


def _target_map(prefix: str, route: Rules) -> Iterator[str]:
    """The raw rest of the target below the upstream's mount, byte for byte.

    A map, because nginx's own way (a URI in proxy_pass) decodes and encodes anew.
    """
    name, mount = _name(route), route["upstream"]["mount"]
    path = re.escape(f"{prefix}/{route['prefix']}")
    yield f"map $request_uri ${name}_target {{"
    yield f'    default "{mount or "/"}";'
    yield f'    "~^{path}(?<below_{name}>/.*)$" "{mount}$below_{name}";'
    yield f'    "~^{path}(?<query_{name}>\\?.*)$" "{mount or "/"}$query_{name}";'
    yield "}"


def _sent_fields(rules: Rules) -> Iterator[str]:
    """Takes from the client whatever could pass for our word."""
    prefixes = [p for p in rules["drop_prefixes"] if p != _NEEDED_PREFIX]
    yield f"more_clear_input_headers {' '.join(f'{p}*' for p in prefixes)};"
    ours = {name.lower() for name in _IDENTITY} | {"x-request-id"} | _MADE_BY_NGINX
    dropped = [name.title() for name in rules["drop"] if name not in ours]
    for name in [*dropped, *_BROWSER_CLAIMS]:
        yield f'proxy_set_header {name} "";'
    for name, variable in _IDENTITY.items():
        yield f"proxy_set_header {name} {variable};"


def _site_fields() -> dict[str, str]:
    """What the site says with each of its answers; a location inherits none of it."""
    fields = {"Referrer-Policy": settings.SECURE_REFERRER_POLICY}
    if settings.SECURE_HSTS_SECONDS:
        scope = "; includeSubDomains" * settings.SECURE_HSTS_INCLUDE_SUBDOMAINS
        life = f"max-age={settings.SECURE_HSTS_SECONDS}"
        fields["Strict-Transport-Security"] = life + scope
    return fields


def _tls(upstream: Rules) -> Iterator[str]:
    if upstream["scheme"] == "https":
        yield "proxy_ssl_server_name on;"
        yield f"proxy_ssl_name {re.sub(r':[0-9]+$', '', upstream['host'])};"
        yield "proxy_ssl_verify on;"
        yield "proxy_ssl_verify_depth 4;"
        yield f"proxy_ssl_trusted_certificate {upstream['ca_file'] or CA_FILE};"


def _refusal_bodies(refusals: Rules) -> Iterator[str]:
    yield "map $gate_word $gate_body {"
    yield '    default "";'
    for word, refusal in refusals.items():
        if refusal["detail"]:
            yield f"    {word} '{problem(word, refusal)}';"
    yield "}"


def _spoken_refusals(refusals: Rules, snippets: str) -> Iterator[str]:
    """`return` takes no variable for its status, hence one line for each of them."""
    yield "location @refused {"
    yield f"    include {snippets}/refused.conf;"
    for status in sorted({refusal["status"] for refusal in refusals.values()}):
        yield f"    if ($gate_status = {status}) {{ return {status} $gate_body; }}"
    yield "    return 403 $gate_body;"
    yield "}"
    # Nobody answered the question. That is an outage of ours, like the store's.
    yield "location @unasked {"
    yield f"    include {snippets}/refused.conf;"
    # The site's web server takes no such request; that is the client's doing.
    yield "    if ($gate_answered = 400) { return 400 $gate_body; }"
    yield "    set $gate_word store-down;"
    yield "    set $gate_retry 1;"
    yield "    return 503 $gate_body;"
    yield "}"


def _name(route: Rules) -> str:
    return f"backoffice_{route['name'].replace('-', '_')}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _file(lines: Iterable[str]) -> str:
    return "\n".join(
        ["# Made by manage.py export_nginx; changes are lost.", *lines, ""]
    )
