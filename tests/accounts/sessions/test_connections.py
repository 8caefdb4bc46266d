from __future__ import annotations

from copy import deepcopy

import pytest
from django.conf import settings

from accounts.sessions import connections


@pytest.mark.parametrize("kind", ["single", "sentinel", "cluster"])
def test_settings_are_left_as_they_are(kind: str) -> None:
    """Else one form of store would leave its pool behind for the next."""
    options = settings.CACHES[settings.SESSION_STORE_ALIAS]["OPTIONS"]
    given = {**options, "SENTINELS": (("127.0.0.1", 1),)}
    before = deepcopy(given)
    getattr(connections, kind)(given)
    assert given == before
