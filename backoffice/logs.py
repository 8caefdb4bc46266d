"""Log lines for people in development, JSON lines for machines in production.

Session keys, tokens, cookies and profile contents never reach a log call; this
module only gives the lines their form.
"""

from __future__ import annotations

import logging.config
from typing import Any

import structlog
from structlog.typing import EventDict, Processor


def _drop_requests(logger: Any, name: str, event: EventDict) -> EventDict:
    """Django hands its log lines the request, whose text is its whole address.

    The provider's answer comes in an address, with a code that may be unspent. What
    was refused on purpose needs no traceback either.
    """
    event.pop("request", None)
    if event.get("logger") == "django.request" and event.get("status_code", 500) < 500:
        event.pop("exc_info", None)
    return event


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    _drop_requests,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(options: dict[str, Any]) -> None:
    """LOGGING_CONFIG: `options` is LOGGING, `{"json": bool}`.

    JSON also encodes line breaks and escape signs, so that a hostile user agent
    cannot forge a line (CWE-117).
    """
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=True)
        if options["json"]
        else structlog.dev.ConsoleRenderer(colors=False, repr_native_str=True)
    )
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": _formatter(renderer)},
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "line"}
            },
            "root": {"handlers": ["stderr"], "level": "INFO"},
            # Its info lines repeat the provider's own words (security.md, OID-26).
            "loggers": {"social": {"level": "WARNING"}},
        }
    )


def _formatter(renderer: Processor) -> dict[str, Any]:
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _SHARED,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    }
