from __future__ import annotations

# Any moment that a clock could show; a number beyond is no date but an attempt.
LAST_MOMENT = 1e11
# Not printable to Python, but part of how names are written.
JOINERS_AND_SPACES = frozenset("\u00a0\u200c\u200d\u3000")


def is_moment(value: object) -> bool:
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
