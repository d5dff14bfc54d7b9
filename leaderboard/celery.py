"""The Celery application. Messages carry no work: the database row is the queue of record."""

import os
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from django_structlog.celery.steps import DjangoStructLogInitStep

from leaderboard import processes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.settings")

# The warning about running as root is about pickled messages; here they are JSON and carry no work.
warnings.filterwarnings(
    "ignore", message="You're running the worker with superuser", category=SecurityWarning
)

app = Celery("leaderboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["evaluation"])
for module in ("reports", "mails", "reviews", "housekeeping"):
    app.autodiscover_tasks(["leaderboard"], related_name=module)
app.steps["worker"].add(DjangoStructLogInitStep)


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Keep Django's LOGGING: with a listener on this signal Celery installs no handlers of its own."""


@signals.celeryd_init.connect
@signals.beat_init.connect
def follow_supervisor(**_: Any) -> None:
    """Worker and beat end with the `manage.py serve` that started them."""
    processes.end_with_supervisor()
