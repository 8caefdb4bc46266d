"""What the web server calls: Django, with a shorter way around it for the gate."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import django
from django.conf import LazySettings
from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections, connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from backoffice.proxy.reload import read_routes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

# What the gate's middleware answer themselves: neither view nor URL table is reached.
_BELOW = ("/api/proxy/", "/gate/check/")
_CHECKS = frozenset({"/gate/check", "/gate/checks"})


class Application(WSGIHandler):
    """Django's own, which spares the gate's calls the signals around a request.

    The same middleware answers them. Who listens to those signals tidies up after
    queries, which such a call makes next to none of: that is done once, at its end.

    Whoever names no host is refused (RFC 9112, 3.2): Django would go by the address
    that we listen at.
    """

    _middleware_chain: Callable[[Any], Any]

    def __call__(  # type: ignore[override]
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if "HTTP_HOST" not in environ:
            start_response("400 Bad Request", [("Content-Length", "0")])
            return []
        path = environ["PATH_INFO"]
        if path not in _CHECKS and not path.startswith(_BELOW):
            return super().__call__(environ, start_response)
        request = self.request_class(environ)
        response = self._middleware_chain(request)
        response._resource_closers.append(request.close)
        status = f"{response.status_code} {response.reason_phrase}"
        start_response(status, _fields(response))
        return _Answer(response)


def _fields(response: Any) -> list[tuple[str, str]]:
    # Django finds each field's name again to give its value.
    if getattr(response, "repeated", None):
        return list(response.items())
    return list(response.headers._store.values())


class _Answer:
    """A response that ends without a signal."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)

    def close(self) -> None:
        for close in self._response._resource_closers:
            # As Django does: what fails to close keeps nothing else open.
            with suppress(Exception):
                close()
        if _sql.is_open:
            close_old_connections()
            mine = connections.all(initialized_only=True)
            _sql.is_open = any(each.connection is not None for each in mine)


class _Sql(threading.local):
    """Whether this thread may have a connection to SQL; to ask Django takes longer."""

    is_open = True


_sql = _Sql()


@receiver(connection_created)
def _note_connection(**_: Any) -> None:
    _sql.is_open = True


# A call asks for some twenty settings. Django looks each time whether it has to hide a
# method of that name, which settings never have; that takes longer than all the rest.
LazySettings.__getattribute__ = object.__getattribute__  # type: ignore[method-assign]
django.setup(set_prefix=False)
read_routes()
application = Application()
