"""What stands behind the doors: the route table, and an upstream that does what its
path says."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tests.fakes.upstream import Answer, Talk, answer, chunked

ROUTES = """
[[route]]
name = "echo"
upstream = "{url}/v1"
methods = ["GET", "HEAD", "POST", "PUT", "OPTIONS"]
max_body = 1000
max_header = 4000

[[route]]
name = "bulk"
upstream = "{url}"
methods = ["POST"]
max_body = 4000000

[[route]]
name = "reports"
upstream = "{url}"
groups = ["finance"]

[[route]]
name = "nested"
prefix = "crm/admin"
upstream = "{url}/nested"
groups = ["finance"]

[[route]]
name = "crm"
upstream = "{url}/crm"
methods = ["GET", "POST"]
write_groups = ["finance"]

[[route]]
name = "signed"
upstream = "{url}/signed"
identity = "token"

[[route]]
name = "kept"
upstream = "{url}"
identity = "none"
cache = "revalidate"
response_headers = ["x-runtime"]
hide_headers = ["x-inner"]
max_header = 20000

[[route]]
name = "themed"
prefix = "crm/themed"
upstream = "{url}"
identity = "none"
cookies = ["theme", "tab"]

[[route]]
name = "slow"
upstream = "{url}"
read_timeout = 0.5
total_timeout = 60

[[route]]
name = "short"
upstream = "{url}"
methods = ["GET", "HEAD", "POST"]
connect_timeout = 0.5
read_timeout = 2.5
total_timeout = 5
max_body = 4000000

[[route]]
name = "halted"
upstream = "{url}"
methods = ["GET", "POST"]
writes = false

[[route]]
name = "socket"
upstream = "unix:{socket}:/v1"

[[route]]
name = "secure"
upstream = "https://localhost:{secure}/v1"
ca_file = "{authority}"

[[route]]
name = "doubtful"
upstream = "https://localhost:{secure}"

[[route]]
name = "unaccepting"
upstream = "{unaccepting}"
connect_timeout = 0.5

[[route]]
name = "shared"
upstream = "{shared}"
methods = ["GET", "HEAD", "POST", "DELETE"]
identity = "none"
keepalive = "shared"

[[route]]
name = "trusted"
upstream = "{trusted}"
identity = "none"
keepalive = "shared"

[[route]]
name = "once"
upstream = "{url}"
keepalive = "off"

[[route]]
name = "gone"
upstream = "http://127.0.0.1:1"
"""
EXPOSING = [
    ("Content-Type", "text/plain"),
    ("Set-Cookie", "session_id=planted"),
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Opener-Policy", "unsafe-none"),
    ("Strict-Transport-Security", "max-age=0"),
    ("Clear-Site-Data", '"*"'),
    ("Alt-Svc", 'h2="evil.example:443"'),
    ("Server", "a secret"),
    ("Service-Worker-Allowed", "/"),
    ("Public-Key-Pins", "max-age=1"),
    ("Set-Cookie", "__Host-session_id=planted; Secure; Path=/"),
    ("X-Gate", "passed"),
    ("X-Staff-Sub", "somebody"),
    ("X-Accel-Redirect", "/gate/check"),
    ("X-Powered-By", "a secret"),
    ("X-Runtime", "0.1"),
    ("X-Inner", "1"),
    ("Cache-Control", "public, max-age=9999"),
    ("Content-Security-Policy", "default-src *"),
    ("Vary", "Accept"),
    ("X-Kept", "yes"),
]


def respond(acts: Mapping[str, Answer], talk: Talk) -> bool | None:
    """Answers by the path; `/act/NAME` does what a test has put into `acts`."""
    target = talk.last.target
    _, _, name = target.partition(b"/act/")
    if name:
        return acts[name.decode()](talk)
    if b"/ws" in target and talk.last.get("Upgrade"):
        _be_a_websocket(talk)
    elif b"/stream" in target:
        _stream(talk)
    elif b"/exposing" in target:
        talk.say(answer(fields=EXPOSING, body=b"hello"))
    elif b"/garbage" in target:
        talk.say(b"HTTP/1.1 200 OK\r\nNo field at all\r\n\r\n")
    elif b"/late" in target:
        time.sleep(2)
    elif b"/401" in target:
        talk.say(answer("401 Unauthorized", body=b"the upstream's own"))
    else:
        talk.say(answer(fields=[("Content-Type", "text/plain")], body=b"hello"))
        return True
    return None


def _stream(talk: Talk) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    talk.say(head + b"Transfer-Encoding: chunked\r\n\r\n")
    talk.say(chunked(b"data: first\n\n", end=b""))
    is_silent = b"/stream/silent" in talk.last.target
    for _ in range(3000):
        if talk.is_gone(within=0.1):
            return
        if not is_silent:
            talk.say(chunked(b"data: more\n\n", end=b""))


def _be_a_websocket(talk: Talk) -> None:
    talk.say(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
    )
    # Bytes are bytes to a tunnel: they are sent back, frames or not.
    while data := talk.sock.recv(65536):
        talk.say(data)
