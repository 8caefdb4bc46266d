"""Which live sessions a command means: the same arguments for every command."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from django.core.management.base import CommandError

from accounts import keys
from accounts.management import people
from accounts.management.exit_codes import ExitCode
from accounts.management.moments import moment, span
from accounts.sessions.selection import Selection

MAX_TEXT = 255
_PLAIN = (
    "session",
    "group",
    "department",
    "network",
    "agent",
    "provider",
    "idle_for",
    "started_before",
    "started_after",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A selection, and in words what was asked for, as in `group=support`.

    `people`: the names of those that `--user` means.
    """

    selection: Selection
    words: str
    people: tuple[str, ...] = ()

    @property
    def is_narrow(self) -> bool:
        """Whether any filter was given at all."""
        return self.selection != Selection()


def add_selection(parser: ArgumentParser) -> None:
    """All of them narrow: what two filters mean is what both mean."""
    group = parser.add_argument_group("which live sessions (filters combine)")
    group.add_argument(
        "--user",
        type=_text,
        metavar="NAME",
        help="user name, e-mail address or sub",
    )
    group.add_argument("--group", type=_text, help="everybody in this group")
    group.add_argument("--department", type=_text, metavar="NAME")
    group.add_argument(
        "--ip",
        type=_network,
        dest="network",
        metavar="CIDR",
        help="an address or a network, as in 10.20.0.0/16",
    )
    group.add_argument(
        "--agent",
        type=_text,
        metavar="WORDS",
        help="words of the device, as in 'chrome windows'",
    )
    group.add_argument("--provider", type=_text, metavar="NAME", help="as in oidc")
    group.add_argument(
        "--idle-for", type=span, metavar="SPAN", help="not used for 2h, 45m, 1d12h"
    )
    group.add_argument(
        "--started-before",
        type=moment,
        metavar="TIME",
        help="signed in before 2026-11-24T09:30 or '2h ago'",
    )
    group.add_argument(
        "--started-after", type=moment, metavar="TIME", help="signed in since then"
    )
    group.add_argument(
        "--session", type=_session_id, metavar="ID", help="one, by its session id"
    )


def read_selection(options: dict[str, Any]) -> Chosen:
    """What was asked for. Raises CommandError when nobody has the name that it says."""
    fields = {name: options[name] for name in _PLAIN if options[name] is not None}
    said = {**fields}
    who: tuple[str, ...] = ()
    if options["user"] is not None:
        said = {"user": options["user"], **said}
        found = _known(options["user"])
        fields["person"], who = tuple(found), tuple(sorted(set(found.values())))
    words = " ".join(f"{name}={value}" for name, value in said.items())
    return Chosen(Selection(**fields), words, who)


def _known(name: str) -> people.People:
    found = people.named(name)
    if not found:
        raise CommandError(f"Nobody is known as {name!r}.", returncode=ExitCode.FAILED)
    return found


def _text(text: str) -> str:
    if not text.strip() or len(text) > MAX_TEXT or not text.isprintable():
        raise ArgumentTypeError("must be a text of one line, and not empty")
    return text.strip()


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip())
    except ValueError as error:
        raise ArgumentTypeError(f"no address or network: {error}") from None


def _session_id(text: str) -> str:
    if not keys.is_session_id(text.strip()):
        # Not repeated: it may be a session key that was pasted by mistake.
        raise ArgumentTypeError("no session id: it has 24 hexadecimal digits")
    return text.strip()
