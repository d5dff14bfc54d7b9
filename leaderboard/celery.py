"""The Celery application. Messages carry no work: the database row is the queue of record."""

import os
import sys
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from django.db import close_old_connections, connection
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu.transport import TRANSPORT_ALIASES

from leaderboard.platform import garbage, processes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")

# The root warning concerns pickled messages; these are JSON and carry no work.
warnings.filterwarnings(
    "ignore", message="You're running the worker with superuser", category=SecurityWarning
)

TRANSPORT_ALIASES["local"] = "leaderboard.platform.broker:Transport"
app = Celery("leaderboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.CELERY_DB_REUSE_MAX = (
    sys.maxsize
)  # or Celery closes the connection twice for each task: see keep_connection
TASK_MODULES = {
    "leaderboard.scoring": ("tasks",),
    "leaderboard.reporting": ("counting", "reports", "reviews"),
    "leaderboard.notifications": ("mails", "announcements", "notices", "webhooks"),
    "leaderboard.actions": ("bulk", "uploads"),
    "leaderboard.platform": ("housekeeping",),
    "rehearsal": ("tasks",),
}
for package, modules in TASK_MODULES.items():
    for module in modules:
        app.autodiscover_tasks([package], related_name=module)

# Task names of version 1.0, so that messages sent before an upgrade still find their task. Remove in version 2.
FORMER_NAMES = {
    "evaluation.tasks.work": "leaderboard.scoring.tasks.work",
    "evaluation.tasks.sweep": "leaderboard.scoring.tasks.sweep",
    "leaderboard.reports.work": "leaderboard.reporting.reports.work",
    "leaderboard.reviews.work": "leaderboard.reporting.reviews.work",
    "leaderboard.mails.deliver": "leaderboard.notifications.mails.deliver",
    "leaderboard.housekeeping.work": "leaderboard.platform.housekeeping.work",
}


@signals.import_modules.connect(sender=app)
def _accept_former_names(**_: Any) -> None:
    """Runs after the task modules are imported (autodiscovery was connected to the same signal first)."""
    for former, name in FORMER_NAMES.items():
        app.tasks[former] = app.tasks[name]


app.steps["worker"].add(DjangoStructLogInitStep)


@signals.task_prerun.connect
@signals.task_postrun.connect
def keep_connection(**_: Any) -> None:
    """Keep a task's database connection for the next one, as Django does between requests: a new one costs PostgreSQL more
    than a task's statements. One that broke or is too old (CONN_MAX_AGE) is closed."""
    if not connection.in_atomic_block:  # a test's
        close_old_connections()


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Keep Django's LOGGING: with this signal connected, Celery installs no handlers."""


@signals.celeryd_init.connect
@signals.beat_init.connect
def follow_supervisor(**_: Any) -> None:
    """Worker and beat exit with the `manage.py serve` that started them."""
    processes.end_with_supervisor()


@signals.worker_ready.connect
def keep_what_is_loaded(**_: Any) -> None:
    garbage.keep_what_is_loaded()
