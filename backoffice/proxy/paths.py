"""Which path is meant, beyond doubt.

The gate allows a path, the upstream acts on a path. Whoever finds a spelling that
the two read differently walks through a route that was never meant for them. So a
path is passed on exactly as it came, and only if every reading of it agrees: as it
stands, decoded, decoded again, with look-alike signs folded, with `;parameters`
cut off. All other paths are refused, not repaired: a repair is one more reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from accounts.text_cache import text_cache
from backoffice.proxy.errors import AmbiguousPath

PREFIX = "/api/proxy"

# RFC 3986 path characters, and the four that browsers leave as they are.
_PATH = re.compile(r"/(?:[\w\-.~!$&'()*+,;=:@/\[\]|^]|%[0-9A-F]{2})*", re.A | re.I)
_QUERY = re.compile(r"[!-~]*")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.I | re.S)
_TREACHEROUS = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|//")
_DOTS = {".", ".."}
# Honest paths are decoded once, twice when a file name holds a percent sign.
_MOST_DECODINGS = 5
# Paths of pages are shorter. Longer ones are read anew each time.
_MAX_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class ProxyPath:
    """`/api/proxy/members/42?x=1` is route `members`, suffix `/42?x=1`.

    `route` is the first name of the path only: a route's prefix may have more of them.
    """

    route: str
    suffix: str

    @property
    def below(self) -> str:
        """The target below the prefix, as it came."""
        return self.route + self.suffix

    def decoded(self) -> str:
        """The path as a web server hands it to its application."""
        path = f"{PREFIX}/{self.route}{self.suffix.partition('?')[0]}"
        return unquote(path).rstrip("/")


@text_cache(entries=1024, longest=_MAX_REMEMBERED)
def is_proxy_path(path: str) -> bool:
    """Whether any server, however lenient, could take this path for one of ours.

    Wider than the URL table on purpose: `//api/proxy/x`, `/a/../api/proxy/x` and
    `/api%2Fproxy/x` are ours, and are then refused for not being spelled properly.
    """
    try:
        return any(_lies_under_prefix(reading) for reading in _readings(path))
    except AmbiguousPath:
        return True


def read_target(target: str, host: str) -> ProxyPath:
    """The route and suffix that a raw request target names (RFC 9112, 3.2).

    `target` is the target as it stood on the request line; `host` is the host the
    request was accepted for. `%2F` inside a segment stays what it is.
    Raises AmbiguousPath when the target can be read in more than one way.
    """
    return _read_origin_form(_origin_form(target, host))


@text_cache(entries=1024, longest=_MAX_REMEMBERED)
def _read_origin_form(target: str) -> ProxyPath:
    path, mark, query = target.partition("?")
    if not _PATH.fullmatch(path) or not _QUERY.fullmatch(query) or "#" in query:
        raise AmbiguousPath("signs")
    if any(_is_ambiguous(reading) for reading in _readings(path)):
        raise AmbiguousPath("segments")
    if path != PREFIX and not path.startswith(f"{PREFIX}/"):
        raise AmbiguousPath("spelling")
    route, slash, rest = path[len(PREFIX) + 1 :].partition("/")
    # One spelling per route: `%6dembers` would be a second name for `members`.
    if "%" in route:
        raise AmbiguousPath("route")
    return ProxyPath(route, f"{slash}{rest}{mark}{query}")


def folded(target: str) -> Iterator[str]:
    """What the path of this target means to readers who look less closely.

    Decoded any number of times, without `;parameters`, in one case, look-alike signs
    folded. For comparing spellings, never for sending. Raises AmbiguousPath.
    """
    for reading in _readings(target.partition("?")[0]):
        signs = unicodedata.normalize("NFKC", reading).lower()
        yield "/".join(map(_without_parameters, signs.split("/")))


def _origin_form(target: str, host: str) -> str:
    if target.startswith("/"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    # With two hosts in one request, each reader along the way picks its own.
    if absolute is None or absolute[1].lower() != host.lower():
        raise AmbiguousPath("form")
    return absolute[2] or "/"


def _readings(path: str) -> Iterator[str]:
    """The path as read by one who decodes it never, once, twice and so on."""
    for _ in range(_MOST_DECODINGS):
        yield path
        try:
            # Strict: an overlong form such as %c0%ae is a dot to lax decoders.
            decoded = unquote(path, errors="strict")
        except UnicodeDecodeError:
            raise AmbiguousPath("encoding") from None
        if decoded == path:
            return
        path = decoded
    raise AmbiguousPath("depth")


def _is_ambiguous(reading: str) -> bool:
    # NFKC as some upstreams apply it to names: ‥ becomes two dots, ＼ a backslash.
    folded = unicodedata.normalize("NFKC", reading)
    return _TREACHEROUS.search(folded) is not None or any(
        _without_parameters(segment) in _DOTS for segment in folded.split("/")
    )


def _without_parameters(segment: str) -> str:
    # `..;x` is a dot segment to servers that strip path parameters first.
    return segment.partition(";")[0].strip()


def _lies_under_prefix(reading: str) -> bool:
    segments: list[str] = []
    for segment in map(_without_parameters, re.split(r"[/\\]+", reading)):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    return "/".join(["", *segments[:2]]) == PREFIX
