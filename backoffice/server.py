"""Configuration of the production web server, gunicorn (`make serve`)."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from backoffice import processors
from backoffice.env import Environment, WebServer

# What is wrong with them is told by on_starting, with everything else that is wrong.
_values = WebServer.read(Environment())
# Workers are forked from here, and after a reload (HUP) have to read the file anew.
sys.modules.pop("backoffice.env", None)

wsgi_app = "backoffice.wsgi"
bind = _values.bind
worker_class = "backoffice.worker.LingeringWorker"
workers = _values.workers
threads = _values.threads
# Watches the worker, not a request: the proxy keeps its own deadlines.
timeout = 60
graceful_timeout = 20
keepalive = 5
limit_request_line = 8190
limit_request_field_size = 16380
forwarded_allow_ips = ",".join(_values.trusted_proxies) or "127.0.0.1,::1"
# Not even a proxy of ours says where the site begins: most pass on what a client wrote.
forwarder_headers = ""
umask = 0o077
# One line per request is nginx's job; ours are the gate's and the audit's.
accesslog = None
errorlog = "-"
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Starts nothing that `manage.py check` refuses: settings, the route table.

    In a process of its own: what this one has read, each worker would inherit, and a
    graceful reload (HUP) is there to read it anew.
    """
    manage = Path(__file__).parents[1] / "manage.py"
    check = [sys.executable, str(manage), "check"]
    found = subprocess.run(check, check=False, capture_output=True)
    # A log that takes no line is no reason not to start.
    with suppress(OSError):
        os.write(sys.stderr.fileno(), found.stderr)
    if found.returncode:
        raise SystemExit(found.returncode)


def pre_fork(server: Any, worker: Any) -> None:
    """Chooses the processor of a process that is to be started."""
    taken = [each.processor for each in server.WORKERS.values()]
    places = processors.allowed()
    worker.processor = processors.choose(places, taken, server.num_workers)


def post_worker_init(worker: Any) -> None:
    """Settles what does not change any more, before the first request."""
    processors.keep_to(worker.processor)
    # Not at import: Django is set up by now, and a thread does not outlive a fork.
    from accounts.sessions import lease

    lease.start()
    # What is loaded now stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    # Each request asks for some twenty settings, each of which is found by three calls.
    settings = worker.cfg.settings
    worker.cfg.__dict__.update({name: one.get() for name, one in settings.items()})
