from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

# Any moment that a clock could show; a number beyond is no date but an attempt.
LAST_MOMENT = 1e11
# Not printable to Python, but part of how names are written.
JOINERS_AND_SPACES = frozenset("\u00a0\u200c\u200d\u3000")


def is_moment(value: object) -> TypeGuard[float]:
    """Whether this is a NumericDate; JSON's true, NaN and Infinity are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < LAST_MOMENT


def readable(value: object, length: int) -> str:
    """The text of a claim for people to read, cut to this length; "" if it is none.

    Without control characters, and without those that turn the direction of what
    follows: a name in a list must not rearrange the line it stands in.
    """
    if not isinstance(value, str):
        return ""
    kept = (each for each in value if each.isprintable() or each in JOINERS_AND_SPACES)
    return "".join(kept)[:length]


def verified_domain(said: Mapping[str, Any]) -> str:
    """The domain of the e-mail address, in lower case; "" unless it was verified.

    An address that the provider has not verified is what somebody typed there, and the
    text "true" is not JSON's true (OpenID Connect Core 5.1).
    """
    address = said.get("email")
    if said.get("email_verified") is not True or not isinstance(address, str):
        return ""
    local, at, domain = address.partition("@")
    return domain.lower() if local and at and "@" not in domain else ""


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """What two sources say of one person; `above` wins.

    But for this: that an address is verified only they can say who named it.
    """
    merged = {**below, **above}
    if "email" in above and above["email"] != below.get("email"):
        merged["email_verified"] = above.get("email_verified")
    return merged
