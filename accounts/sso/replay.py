"""Each logout token works once.

The token is taken for a few seconds before anything is done, in one command, so that of
two that arrive together one is refused; and for good, which is longer than anybody
would accept it, only once the logout has been carried out. A worker that dies in
between has not used the token up: the provider's next attempt with it does the logout.
"""

from __future__ import annotations

from accounts import keys
from accounts.sessions.connections import answering, client
from accounts.sessions.questions import answers
from accounts.sso.logout_token import LEEWAY_SECONDS, MAX_AGE_SECONDS, LogoutToken

# Longer than carrying out a logout takes at the very most.
TAKEN_SECONDS = 15
# From the earliest moment at which a token is accepted to the latest, and a day more:
# where our clock is set back, tokens that were too old are accepted again, while the
# store's clock goes on.
USED_SECONDS = MAX_AGE_SECONDS + 2 * LEEWAY_SECONDS + 24 * 3600


def take(token: LogoutToken) -> bool:
    """Whether this token is new; it is not any more, for TAKEN_SECONDS.

    Raises StoreUnavailable.
    """
    with answering():
        pipeline = client().pipeline(transaction=False)
        pipeline.set(_name(token), b"", nx=True, ex=TAKEN_SECONDS)
        (is_new,) = answers(pipeline)
    return bool(is_new)


def use_up(token: LogoutToken) -> None:
    """Remembers the token for as long as it could be accepted.

    Raises StoreUnavailable.
    """
    with answering():
        pipeline = client().pipeline(transaction=False)
        pipeline.set(_name(token), b"", ex=USED_SECONDS)
        answers(pipeline)


def _name(token: LogoutToken) -> str:
    return keys.logout_token(token.issuer, token.jti)
