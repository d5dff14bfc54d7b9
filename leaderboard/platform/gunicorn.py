"""gunicorn settings for production: `gunicorn --config python:leaderboard.platform.gunicorn leaderboard.wsgi`.

Slow clients would block the threads: a proxy in front must buffer bodies (deploy/nginx.conf does).
"""

import os
import shutil
from typing import Any

from leaderboard.platform import environment as env

if not env.number("TRUSTED_PROXIES", 0, most=10):
    raise SystemExit(
        "gunicorn needs a proxy in front that buffers bodies, because fifteen slow clients would block all its threads. Set "
        "TRUSTED_PROXIES to the number of proxies (deploy/nginx.conf is one), or run `python manage.py serve`, which needs none."
    )

# Must be set before prometheus_client is imported: the processes share their counters here, in memory.
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", f"/dev/shm/leaderboard-metrics-{os.getpid()}")  # noqa: S108
os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)

from prometheus_client import multiprocess  # noqa: E402

# All addresses of the container, which only the proxy can reach.
_host = env.text("HOST", "0.0.0.0").strip("[]")  # noqa: S104
bind = f"{f'[{_host}]' if ':' in _host else _host}:{env.number('PORT', 8000, least=1, most=65535)}"
worker_class = "gthread"
workers = env.number("WEB_PROCESSES", 2, least=1, most=256)
threads = env.number("WEB_THREADS", 8, least=1, most=256)
timeout = 120  # after this, the client has given up
graceful_timeout = 30
keepalive = 75  # longer than nginx's 60 s, so that nginx closes connections first
max_requests, max_requests_jitter = 20000, 2000
worker_tmp_dir = "/dev/shm"  # noqa: S108  the heartbeat file, in memory


def child_exit(server: Any, worker: Any) -> None:
    """Remove the gauges of a finished process; its counters stay."""
    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Remove the counter files, which are in memory."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
