"""What the store does for the audit: it keeps entries while SQL is away, and it knows
where the chain ended, which somebody who can write to SQL alone cannot undo.

Sealed like everything here. What comes with an act (`hold`, `anchor`) never raises: the
audit must not undo what it tells of.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError

from accounts import audit, keys
from accounts.audit import writing
from accounts.audit.chain import Link
from accounts.sessions import outages, seal
from accounts.sessions.connections import answering, client
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.seal import NotSealed

log = logging.getLogger(__name__)

BATCH = 500
BRIEFLY = 0.2
# Every process sees the same one end.
OUTAGES_APART_SECONDS = 60
# KEYS: the anchor. ARGV: number and sealed link. Of two who write at once the one with
# the lower number may come last.
_RAISE_ANCHOR = """
local known = redis.call('HGET', KEYS[1], 'n')
if not known or tonumber(known) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'n', ARGV[1], 'link', ARGV[2])
end
return 1
"""


def hold(entries: Sequence[audit.Entry]) -> bool:
    """Keeps entries until `settle`; tells whether the store took them."""
    try:
        with answering():
            for start in range(0, len(entries), BATCH):
                part = entries[start : start + BATCH]
                held = {each.reference.hex: _sealed(each) for each in part}
                client().hset(keys.HELD_ENTRIES, mapping=held)
    except SessionStoreError:
        return False
    return True


def settle(wait: float = writing.WAIT_SECONDS) -> int:
    """Enters what was held, here and in this process; tells how many entries.

    `wait` seconds at most for somebody who holds the table. Two who settle at once
    write each entry once. Raises DatabaseError while SQL is still away, and
    SessionStoreError.
    """
    written = 0
    while writing.waiting:
        batch = list(writing.waiting)
        written += audit.append_missing(batch, wait)
        for _ in batch:
            writing.waiting.popleft()
    with answering():
        held = client().hgetall(keys.HELD_ENTRIES)
    names = list(held)
    for start in range(0, len(names), BATCH):
        part = names[start : start + BATCH]
        found = [entry for name in part if (entry := _opened(held[name]))]
        found.sort(key=lambda entry: entry.at)
        written += audit.append_missing(found, wait)
        with answering():
            client().hdel(keys.HELD_ENTRIES, *part)
    return written


def settle_if_any() -> None:
    """As `settle`, from beside other work: an outage is a matter for the next time."""
    try:
        with answering():
            some = bool(client().exists(keys.HELD_ENTRIES))
        if some or writing.waiting:
            log.info("audit_settled entries=%d", settle(BRIEFLY))
    except (DatabaseError, SessionStoreError) as error:
        log.warning("audit_not_settled because=%s", type(error).__name__)


def count_held() -> int:
    """How many entries wait in the store. Raises SessionStoreError."""
    with answering():
        return int(client().hlen(keys.HELD_ENTRIES))


def report_outage() -> None:
    """Enters the outage that this process saw end, and that no other has entered.

    Not where the store is asked whether it may be believed: a store that takes no
    writes would be disbelieved for it, and asked again, for ever.
    """
    outage = outages.take()
    if outage is None:
        return
    try:
        with answering():
            name, once = keys.OUTAGE, OUTAGES_APART_SECONDS
            if not client().set(name, b"", nx=True, ex=once):
                return
    except SessionStoreError:
        return
    seconds = round(outage.ended - outage.began)
    for event, moment in (
        (audit.Event.STORE_LOST, outage.began),
        (audit.Event.STORE_BACK, outage.ended),
    ):
        details = {"cause": outage.cause, "seconds": seconds}
        at = datetime.fromtimestamp(moment, UTC)
        audit.record(event, later=True, actor="system", at=at, details=details)


def anchor(link: Link) -> None:
    """Notes where the chain ends, never further back than it is noted already."""
    content = json.dumps(link).encode()
    sealed = seal.seal(keys.AUDIT_ANCHOR, content)
    try:
        with answering():
            client().eval(_RAISE_ANCHOR, 1, keys.AUDIT_ANCHOR, link.sequence, sealed)
    except SessionStoreError as error:
        log.warning("audit_not_anchored cause=%s", error.cause)


def anchored() -> Link | None:
    """Where the chain ended when last noted; None when the store knows nothing of it.

    Raises SessionStoreError.
    """
    with answering():
        sealed = client().hget(keys.AUDIT_ANCHOR, "link")
    if sealed is None:
        return None
    try:
        return Link(*json.loads(seal.unseal(keys.AUDIT_ANCHOR, sealed)))
    except NotSealed as error:
        log.warning("audit_anchor_refused because=%s", error)
        return None


def _sealed(entry: audit.Entry) -> bytes:
    content: Any = json.dumps(entry.to_json()).encode()
    return seal.seal(keys.HELD_ENTRIES, content)


def _opened(sealed: bytes) -> audit.Entry | None:
    try:
        content = seal.unseal(keys.HELD_ENTRIES, sealed)
    except NotSealed as error:
        log.warning("held_entry_refused because=%s", error)
        return None
    return audit.Entry.from_json(json.loads(content))
