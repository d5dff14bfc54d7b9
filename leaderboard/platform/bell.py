"""The bell: an empty Celery message that wakes a worker when rows are waiting. It may be lost."""

from functools import partial
from typing import Any

import structlog
from celery import Signature, Task
from django.db import transaction

log = structlog.get_logger(__name__)


def ring(task: "Task[..., Any] | Signature[Any]") -> None:
    """Send `task` to the workers. Never raises or blocks: beat rings again if the message is lost."""
    try:
        task.apply_async(retry=False, ignore_result=True)
    except Exception as error:
        log.warning("broker unreachable; beat will ring", task=task.name, error=type(error).__name__)


def ring_on_commit(task: "Task[..., Any] | Signature[Any]") -> None:
    """Ring after the current transaction commits, so that the worker finds the row."""
    transaction.on_commit(partial(ring, task), robust=True)
