from __future__ import annotations

import unicodedata
from urllib.parse import unquote, urlsplit

MAX_BYTES = 2000


def own_path(target: object, default: str = "/") -> str:
    """The target if it is a path on this site, else the default.

    Browsers read `//host`, `/\\host`, `https:host` and addresses with control
    characters in them as other sites (WHATWG URL), so none of those is a path. It is
    looked at decoded as well, in case something in front of us decodes once more.
    """
    if not isinstance(target, str) or _size(target) > MAX_BYTES:
        return default
    return target if _is_own_path(target) and _is_own_path(unquote(target)) else default


def _size(target: str) -> int:
    # What a browser sends has no lone surrogates; they are no path either (below).
    return len(target.encode(errors="surrogatepass"))


def _is_own_path(target: str) -> bool:
    if not target.startswith("/") or target.startswith("//") or "\\" in target:
        return False
    if any(unicodedata.category(character)[0] == "C" for character in target):
        return False
    try:
        parts = urlsplit(target)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc
