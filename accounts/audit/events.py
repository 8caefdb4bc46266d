from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What is recorded: `subject:action`."""

    SIGNED_IN = "session:signed-in"
    NEW_DEVICE = "session:new-device"
    DEVICE_DENIED = "session:device-denied"
    SIGN_IN_REFUSED = "sign-in:refused"
    LIMIT_REACHED = "session:limit-reached"

    RENEWED = "session:renewed"
    RENEWAL_REFUSED = "session:renewal-refused"
    STEPPED_UP = "session:stepped-up"
    STEP_UP_REFUSED = "session:step-up-refused"
    ADDRESS_CHANGED = "session:address-changed"
    AGENT_CHANGED = "session:agent-changed"

    SIGNED_OUT = "session:signed-out"
    REPLACED = "session:replaced"
    ENDED = "session:ended"
    KILLED = "session:killed"
    EXPIRED = "session:expired"
    LOGGED_OUT_BY_PROVIDER = "session:logged-out-by-provider"
    # One for the whole, beside one for each session that it ended.
    BULK_KILLED = "sessions:killed-in-bulk"
    CUT_OFF = "everyone:cut-off"

    LOGOUT_REFUSED = "provider-logout:refused"
    RIGHTS_CHANGED = "rights:changed"
    SUSPENDED = "person:suspended"
    RESTORED = "person:restored"
    CALL_REFUSED = "call:refused"

    STORE_LOST = "store:lost"
    STORE_BACK = "store:back"
    PURGED = "store:purged"
    REPAIRED = "store:repaired"

    AUDIT_EXPORTED = "audit:exported"
    AUDIT_TRIMMED = "audit:trimmed"


# What a session's story ends with. A new kind of end has its place here.
ENDS = (
    Event.SIGNED_OUT,
    Event.REPLACED,
    Event.ENDED,
    Event.KILLED,
    Event.EXPIRED,
    Event.LOGGED_OUT_BY_PROVIDER,
    Event.LIMIT_REACHED,
    Event.RENEWAL_REFUSED,
)
