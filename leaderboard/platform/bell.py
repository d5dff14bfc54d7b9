"""The bell: a Celery message that tells a worker that rows are waiting. It carries no work and may be lost."""

from functools import partial
from typing import Any

import structlog
from celery import Task
from django.db import transaction

log = structlog.get_logger(__name__)


def ring(task: "Task[..., Any]") -> None:
    """Send `task` to the workers. Never raises and never blocks: the beat rings again for what no worker heard."""
    try:
        task.apply_async(retry=False, ignore_result=True)
    except Exception as error:
        log.warning("broker unreachable; the beat will ring", task=task.name, error=type(error).__name__)


def ring_on_commit(task: "Task[..., Any]") -> None:
    """Ring once the running transaction has committed, so that the worker finds the row."""
    transaction.on_commit(partial(ring, task), robust=True)
