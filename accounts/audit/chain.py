"""How entries hang together, so that no quiet change goes unnoticed.

`hash` is SHA-256 over an entry's own content, its number and the hash of the entry
before. Anybody who has an export can check it, in any year, without a secret.

`seal` is an HMAC of that hash under a key derived from SECRET_KEY. Somebody who can
write to the database can calculate hashes anew from the row that they changed up to the
last one; they cannot make the seals. One good seal vouches for everything before it,
which is why the rotation of SECRET_KEY leaves the past provable: what a forgotten key
sealed is vouched for by the next seal of a known one.

Neither shows that the newest entries were taken away. That takes a copy of the last
hash elsewhere: in the session store (accounts/sessions/audit_copy.py), in the log line
of each entry, in an export.
"""

from __future__ import annotations

import hmac
import json
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, NamedTuple

from django.conf import settings

from accounts.audit.entry import Entry
from accounts.audit_models import AuditEntry

FORM = 1
START = "0" * 64


class Link(NamedTuple):
    """One place in the chain: the number of an entry and its hash."""

    sequence: int
    hash: str


BEGINNING = Link(0, START)


def linked(entry: Entry, last: Link) -> AuditEntry:
    """The row for this entry, right behind the last one; not yet written."""
    sequence = last.sequence + 1
    digest = digest_of(entry, sequence, last.hash)
    key, seal = seal_of(digest)
    return AuditEntry(
        pk=sequence,
        previous=last.hash,
        hash=digest,
        key=key,
        seal=seal,
        **{name: getattr(entry, name) for name in entry.__slots__},
    )


def digest_of(entry: Entry | AuditEntry, sequence: int, previous: str) -> str:
    """The hash of an entry in its place: 64 hexadecimal digits."""
    content = [
        FORM,
        sequence,
        previous,
        entry.reference.hex,
        entry.at.isoformat(timespec="microseconds"),
        entry.event,
        entry.actor,
        entry.subject,
        entry.session_id,
        # The number, since one address is written in several ways.
        int(ip_address(entry.address)) if entry.address else None,
        entry.reason,
        entry.details,
        entry.request_id,
    ]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def seal_of(digest: str) -> tuple[str, str]:
    """The name of today's key, and the seal under it."""
    name, key = next(iter(_keys().items()))
    return name, _sealed(key, digest)


def is_sealed(row: AuditEntry) -> bool | None:
    """Whether we sealed this row's hash; None when its key is not known any more."""
    key = _keys().get(row.key)
    if key is None:
        return None
    return hmac.compare_digest(row.seal, _sealed(key, row.hash))


def pseudonym(name: str) -> str:
    """A person in a log line: the same person, the same word, and no name."""
    key = next(iter(_keys().values()))
    return hmac.digest(key, b"name\0" + name.encode(), "sha256")[:8].hex()


def _sealed(key: bytes, digest: str) -> str:
    return hmac.digest(key, digest.encode(), "sha256").hex()


def _keys() -> dict[str, bytes]:
    return _derive((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=8)
def _derive(secrets: tuple[str, ...]) -> dict[str, Any]:
    keys = (
        hmac.digest(secret.encode(), b"backoffice/audit/seal/1", "sha256")
        for secret in secrets
    )
    return {hmac.digest(key, b"id", "sha256")[:4].hex(): key for key in keys}
