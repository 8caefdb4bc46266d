"""What the provider is asked at one sign-in, and what the browser keeps of it.

Under each `state` that is sent there, a few facts wait for the answer: when it was
asked, and where a step-up leads. In the browser's live session if there is one, else in
a cookie (accounts.sso.pending); never in SQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounts.sessions import clock
from accounts.sso.conversation import Conversation

MAX_OF_ONE_BROWSER = 5
# A live session may hold little more than these beside what else is kept in it.
MAX_BYTES_OF_ONE_BROWSER = 6 * 1024

# What is asked at a step-up, in seconds. Without a `max_age` no `auth_time` is due
# (Core 3.1.2.1). With 0, a provider that checks the age again after the sign-in asks
# for the password for ever. Half of OIDC_LEEWAY_SECONDS: whatever passes there passes
# here, with the clocks up to the other half apart.
STEP_UP_MAX_AGE = 30


@dataclass(frozen=True, slots=True)
class _Nonce:
    """What the library would have in SQL: the nonce that was sent with a state."""

    id: str
    assoc_type: str


class Question(Conversation):
    """The way to the provider."""

    # Set before `start`: asks for a fresh sign-in, and where to go afterwards.
    back_to = login_hint = ""

    @property
    def stepping_up_to(self) -> str:
        """Where the step-up leads that is being answered; "" when it is none."""
        return str((self._oauth2_transaction or {}).get("back_to", ""))

    @property
    def started(self) -> int:
        """When this sign-in was sent to the provider, in whole seconds by our clock.

        Rounded up: whoever signs in within the second of a kill came after it.
        """
        transaction = self._oauth2_transaction or {}
        return int(transaction.get("timestamp", 0)) + 1

    @property
    def begun_at(self) -> int:
        """The same by the clock that is never set back, which kills go by."""
        transaction = self._oauth2_transaction or {}
        return int(transaction.get("begun", 0)) + 1

    @property
    def is_answer(self) -> bool:
        """Whether what came back answers a question that this browser was sent with."""
        return self._oauth2_transaction is not None

    def start(self) -> Any:
        # Before anything is kept: with the provider away nothing can begin.
        self.oidc_config()
        return super().start()

    def _prune_transactions(self, now: int, lifetime: int) -> dict[str, int]:
        active = super()._prune_transactions(now, lifetime)
        sizes = {state: self._size(state) for state in active}
        for state in _oldest_to_drop(active, sizes):
            self.strategy.session_pop(self.transaction_key(state))
            del active[state]
        return active

    def _size(self, state: str) -> int:
        kept = self.strategy.session_get(self.transaction_key(state))
        return len(json.dumps(kept, ensure_ascii=False).encode())

    def get_or_create_state(self) -> str | None:
        state = super().get_or_create_state()
        if state:
            key = self.transaction_key(state)
            ours: dict[str, Any] = {"begun": clock.now()}
            if self.back_to:
                ours["back_to"] = self.back_to
            asked = self.strategy.session_get(key)
            self.strategy.session_set(key, {**asked, **ours})
        return state

    def get_and_store_nonce(self, url: str, state: str | None) -> str:
        # The library keeps it beside the state as well, which is enough.
        return str(self.strategy.random_string(64))

    def get_nonce(self, nonce: str) -> _Nonce | None:
        """The nonce of the sign-in whose answer this is, if it is this one."""
        asked = self._oauth2_transaction or {}
        is_it = asked.get("oidc_nonce") == nonce
        return _Nonce(nonce, str(asked.get("state"))) if is_it else None

    def remove_nonce(self, nonce_id: object) -> None:
        """It has gone with its state."""

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        params: dict[str, Any] = super().auth_params(state)
        if self.back_to:
            # Providers are known that understand one of the two, so both are said.
            params |= {
                "prompt": "login",
                "max_age": STEP_UP_MAX_AGE,
                "login_hint": self.login_hint,
            }
        elif self.data.get("account") == "another":
            params["prompt"] = self.prompt_for_another()
        return params


def _oldest_to_drop(started: Mapping[str, int], sizes: Mapping[str, int]) -> list[str]:
    """The states that must go before this browser may start one more.

    `started` is when, in seconds; `sizes` what each takes, in bytes.
    """
    by_age = sorted(started, key=lambda state: started[state])
    kept = sum(sizes.values())
    dropped = []
    for place, state in enumerate(by_age):
        is_many = len(by_age) - place >= MAX_OF_ONE_BROWSER
        if not is_many and kept <= MAX_BYTES_OF_ONE_BROWSER:
            break
        dropped.append(state)
        kept -= sizes[state]
    return dropped
