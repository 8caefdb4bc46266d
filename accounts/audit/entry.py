from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Self

import structlog

from accounts.audit.events import Event
from accounts.audit_models import AuditEntry

_LENGTHS: dict[str, int] = {
    field.name: field.max_length or 0
    for field in AuditEntry._meta.local_fields
    if field.name in {"actor", "subject", "session_id", "reason", "request_id"}
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, in a form that every database gives back as it took it."""

    event: str
    actor: str = ""
    subject: str = ""
    session_id: str = ""
    address: str | None = None
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    request_id: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    reference: uuid.UUID = field(default_factory=uuid.uuid4)

    @classmethod
    def of(
        cls,
        event: Event,
        *,
        actor: str = "",
        subject: str = "",
        session_id: str | None = "",
        address: str | None = None,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> Self:
        """The entry, as of now; texts are cut to what the table takes."""
        texts = {
            "actor": actor,
            "subject": subject,
            "session_id": session_id or "",
            "reason": reason,
            "request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
        }
        cut: dict[str, Any] = {
            name: _text(text)[: _LENGTHS[name]] for name, text in texts.items()
        }
        return cls(
            event=event.value,
            address=_address(address),
            details=_plain(details or {}),
            at=at or datetime.now(UTC),
            **cut,
        )

    def to_json(self) -> dict[str, Any]:
        """For whoever keeps it until SQL is back; `from_json` reads it."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"at": self.at.isoformat(), "reference": self.reference.hex}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        moment = datetime.fromisoformat(content["at"])
        reference = uuid.UUID(content["reference"])
        return cls(**{**content, "at": moment, "reference": reference})


def _text(value: object) -> str:
    """No NUL, which PostgreSQL does not store, and nothing that is not Unicode."""
    text = str(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode(errors="replace").decode()


def _plain(value: Any) -> Any:
    """Only what JSON columns everywhere return unchanged; a float is not among it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return _text(value)


def _address(text: str | None) -> str | None:
    try:
        # Without the zone of a link-local one, for which there is no column.
        return str(ip_address((text or "").partition("%")[0]))
    except ValueError:
        return None
