"""What an admin did lately, where Django's admin shows it. A reminder, no audit."""

from __future__ import annotations

import logging
from typing import cast

from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, transaction
from django.http import HttpRequest

from accounts.models import LiveSession, User

log = logging.getLogger(__name__)
MAX_WORDS = 200


def note(request: HttpRequest, words: str, reason: str, session_id: str = "") -> None:
    """Notes it under "Recent actions"; with a session id as a link to its page.

    The end that it is about has happened, so a database that is away is no error here.
    """
    try:
        with transaction.atomic():
            LogEntry.objects.create(
                user=cast("User", request.user),
                content_type=ContentType.objects.get_for_model(LiveSession),
                object_id=session_id or None,
                object_repr=words[:MAX_WORDS],
                action_flag=CHANGE if session_id else DELETION,
                change_message=reason,
            )
    except DatabaseError as error:
        log.warning("recent_action_not_noted because=%s", type(error).__name__)
