"""The route table as nginx configuration, for doors 2 and 3.

Several files, because nginx takes these directives at three levels: `http.conf` beside
the servers, `server.conf` within one, and within its locations `route.conf` for calls
and `fields.conf` for every answer. What does not depend on routes is in deploy/nginx.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from backoffice.proxy.errors import NO_STORE, DoorError
from backoffice.proxy.nginx_lines import (
    IDENTITY,
    IDENTITY_BY_LUA,
    MADE_BY_NGINX,
    Rules,
    duration,
    kept_answers,
    late_refusal,
    quoted,
    refusal_bodies,
    route_pass,
    route_upstream,
    sent_fields,
    site_fields,
    spoken_refusals,
    target_map,
    tls,
    upstream_block,
)

STORE_MILLISECONDS = int(settings.STORE_TIMEOUT_SECONDS * 1000)
# Orders that an upstream could give to nginx itself, a file to send among them.
_ORDERS = ("Redirect", "Expires", "Limit-Rate", "Buffering", "Charset")
# Made by nginx itself, under these words.
_LATE = {
    413: "body-too-large",
    500: "failed",
    502: "upstream-down",
    504: "upstream-slow",
}

FORGET = 'log_by_lua_block { package.loaded["backoffice.watch"].forget() }'


class Door(StrEnum):
    """How nginx asks the gate: at the site's `/gate/check`, or by the Lua script."""

    CHECK = "check"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True)
class Nginx:
    """The rules (export.exported), which door, and where its files lie.

    `folder`: what is made here; `snippets`: deploy/nginx. `site`: host:port of a web
    server of this site. `lua`: whether this nginx has Lua; door 3 is made of it.
    """

    rules: Rules
    door: Door
    folder: str
    snippets: str
    site: str
    lua: bool = True

    def files(self) -> dict[str, str]:
        """Name and content of each file. Raises DoorError."""
        return {
            "http.conf": _file(self._http()),
            "server.conf": _file(self._server()),
            "route.conf": _file(self._route()),
            "fields.conf": _file(self._fields()),
        }

    def _http(self) -> Iterator[str]:
        yield f"include {self.snippets}/maps.conf;"
        # Each route adds variables of its own.
        yield "variables_hash_max_size 4096;"
        yield "variables_hash_bucket_size 128;"
        yield from upstream_block("backoffice_site", self.site)
        for route in self.rules["routes"]:
            yield from route_upstream(route)
            yield from target_map(self.rules["gate"]["prefix"], route)
        yield from refusal_bodies(self.rules["refusals"])
        yield from kept_answers(self.rules["response_headers"]["cache_control"])
        if self.lua:
            yield f'lua_package_path "{self.snippets}/lua/?.lua;;";'
            yield "lua_shared_dict backoffice 4m;"
            for what in ("connect", "send", "read"):
                yield f"lua_socket_{what}_timeout {STORE_MILLISECONDS}ms;"
            yield "lua_socket_log_errors off;"
            # A round's answers in one read.
            yield "lua_socket_buffer_size 64k;"
            yield "lua_socket_pool_size 128;"
            script = f'require("backoffice.{self.door}")'
            rules = f'"{self.folder}/gate.json"'
            yield f"init_by_lua_block {{ {script}.start({rules}) }}"
            yield f"init_worker_by_lua_block {{ {script}.start_worker() }}"

    def _server(self) -> Iterator[str]:
        prefix = self.rules["gate"]["prefix"]
        for route in self.rules["routes"]:
            if not self.lua:
                _refuse_what_needs_lua(route)
            path = f"{prefix}/{route['prefix']}"
            yield from self._locations(path, self._location(route))
        yield from self._locations(prefix, self._nowhere())
        yield from self._late_refusals()
        # Between the doors and the site alone.
        yield "location ^~ /gate/ { return 404; }"
        if not self.lua:
            yield f"include {self.snippets}/check.conf;"
            yield from spoken_refusals(self.rules["refusals"], self._refused())

    def _locations(self, path: str, lines: Iterable[str]) -> Iterator[str]:
        body = [f"    {line}" for line in lines]
        yield from [f"location = {path} {{", *body, "}"]
        yield from [f"location ^~ {path}/ {{", *body, "}"]

    def _judge(self, name: str) -> Iterator[str]:
        if self.lua:
            yield f'access_by_lua_block {{ {self._call("access")}("{name}") }}'

    def _call(self, function: str) -> str:
        # Not require(), which costs each call a way out of machine code.
        return f'package.loaded["backoffice.{self.door}"].{function}'

    def _cookies(self, route: Rules | None) -> Iterator[str]:
        """Its cookies either way, and the rest of what Lua sees to in an answer."""
        clean, sent = "clean()", '""'
        if route and route["cookies"]:
            clean, sent = f'clean_with_cookies("{route["name"]}")', "$gate_cookies"
            yield 'set $gate_cookies "";'
        else:
            yield "proxy_hide_header Set-Cookie;"
        yield f"proxy_set_header Cookie {sent};"
        if self.lua:
            call = f'package.loaded["backoffice.answers"].{clean}'
            yield f"header_filter_by_lua_block {{ {call} }}"

    def _nowhere(self) -> Iterator[str]:
        """What names no route is put before the gate all the same, and never passes."""
        yield f"add_header Cache-Control {NO_STORE} always;"
        yield from self._judge("")
        yield from self._cookies(None)
        yield f"include {self.folder}/route.conf;"
        yield "proxy_pass http://127.0.0.1:1/;"

    def _location(self, route: Rules) -> Iterator[str]:
        upstream, timeouts = route["upstream"], route["timeouts"]
        answers = self.rules["response_headers"]
        shown = {*route["response_headers"], *MADE_BY_NGINX, "set-cookie"}
        hidden = {*answers["drop"]} - shown | {*route["hide_headers"]}
        yield from self._judge(route["name"])
        yield from self._cookies(route)
        cache = NO_STORE if route["cache"] == NO_STORE else "$gate_kept"
        yield f"add_header Cache-Control {cache} always;"
        yield f"include {self.folder}/route.conf;"
        for name in sorted(hidden):
            yield f"proxy_hide_header {name};"
        yield f"proxy_connect_timeout {duration(timeouts['connect'])};"
        yield f"proxy_read_timeout {duration(timeouts['read'])};"
        yield f"proxy_send_timeout {duration(timeouts['read'])};"
        # To nginx, 0 is no limit at all.
        yield f"client_max_body_size {route['max_body'] or 1};"
        yield f"proxy_set_header Host {upstream['host']};"
        yield from tls(upstream)
        yield from route_pass(route)

    def _route(self) -> Iterator[str]:
        """The question to the gate, and the fields either way."""
        kind, identity = ("lua", IDENTITY_BY_LUA) if self.lua else ("check", IDENTITY)
        for variable in identity.values():
            if variable.startswith("$"):
                yield f'set {variable} "";'
        yield f"include {self.snippets}/{kind}-route.conf;"
        yield f"include {self.snippets}/proxy.conf;"
        yield from sent_fields(self.rules["request_headers"], identity)
        answers = self.rules["response_headers"]
        # X-Gate is our own word in a refusal made here: that one is hidden by name.
        prefixes = [p for p in answers["drop_prefixes"] if p not in {"x-gate", "sec-"}]
        yield f"more_clear_headers {' '.join(f'{p}*' for p in prefixes)};"
        yield "proxy_hide_header X-Gate;"
        yield from (f"proxy_ignore_headers X-Accel-{order};" for order in _ORDERS)
        yield f"include {self.folder}/fields.conf;"

    def _fields(self) -> Iterator[str]:
        """What each answer has, a refusal too: a location inherits none of it."""
        for name, value in {
            **self.rules["response_headers"]["set"],
            **site_fields(),
        }.items():
            yield f"add_header {name} {quoted(value)} always;"

    def _refused(self) -> list[str]:
        return [
            f"    include {self.snippets}/refused.conf;",
            f"    include {self.folder}/fields.conf;",
        ]

    def _late_refusals(self) -> Iterator[str]:
        for status, word in _LATE.items():
            yield f"location @{word} {{"
            if self.lua:
                # It may have been followed before it failed; its socket goes on.
                yield f"    {FORGET}"
            if status == 413:
                # Judged all the same: without a session nobody learns a limit.
                yield from self._too_large()
            else:
                yield from late_refusal(status, word, self._refused())
            yield "}"
        if self.lua:
            yield from self._bad_response()

    def _bad_response(self) -> Iterator[str]:
        """A 502 that answers.lua makes, when nginx has begun to send a response.

        nginx marks the client's connection as broken then, and still keeps it: it would
        read the next request and send nothing.
        """
        yield "location @bad-response {"
        yield f"    {FORGET}"
        yield "    keepalive_timeout 0;"
        yield from late_refusal(502, _LATE[502], self._refused())
        yield "}"

    def _too_large(self) -> Iterator[str]:
        if self.lua:
            yield f"    include {self.snippets}/lua-too-large.conf;"
            yield f"    include {self.folder}/fields.conf;"
            yield f"    content_by_lua_block {{ {self._call('too_large')}() }}"
        else:
            yield f"    include {self.snippets}/check-route.conf;"
            yield f"    include {self.snippets}/check-too-large.conf;"


def _refuse_what_needs_lua(route: Rules) -> None:
    if route["cookies"]:
        place = route["places"].get("cookies", route["place"])
        raise DoorError(
            f"{place}: {route['name']}: cookies: nginx without Lua cannot keep an "
            "upstream's cookies apart; leave this route to another door"
        )


def _file(lines: Iterable[str]) -> str:
    return "\n".join(
        ["# Made by manage.py export_nginx; changes are lost.", *lines, ""]
    )
