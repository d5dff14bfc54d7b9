"""gunicorn's settings in production: `gunicorn --config python:leaderboard.platform.gunicorn leaderboard.wsgi`.

Threads do not survive slow clients: keep a proxy that buffers bodies in front (deploy/nginx.conf does).
"""

import os
import shutil
from typing import Any

from leaderboard.platform import environment as env

# Before anything imports prometheus_client: where the processes add their counts together, in memory.
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", f"/dev/shm/leaderboard-metrics-{os.getpid()}")  # noqa: S108
os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)

from prometheus_client import multiprocess  # noqa: E402

# In a container: every address of the container, and only the proxy reaches those.
bind = f"{env.text('HOST', '0.0.0.0')}:{env.number('PORT', 8000, least=1, most=65535)}"  # noqa: S104
worker_class = "gthread"
workers = env.number("WEB_PROCESSES", 2, least=1, most=256)
threads = env.number("WEB_THREADS", 8, least=1, most=256)
timeout = 120  # a request that takes longer has lost its reader
graceful_timeout = 30
keepalive = 75  # longer than nginx keeps a connection open (60 s): it is nginx that closes first
max_requests, max_requests_jitter = 20000, 2000
worker_tmp_dir = "/dev/shm"  # noqa: S108  the heartbeat file, in memory


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a process that ended; its counters stay."""
    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Remove the counts, which lie in memory."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
