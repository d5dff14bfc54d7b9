"""The bell: an empty Celery message that wakes a worker when rows are waiting. It may be lost."""

from functools import partial
from typing import Any

import structlog
from celery import Signature, Task
from django.db import transaction

log = structlog.get_logger(__name__)

ENOUGH = 16  # waiting messages, to keep all workers busy until one of them rings again


def ring(task: "Task[..., Any] | Signature[Any]") -> None:
    """Send `task` to the workers. Never raises or blocks: beat rings again if the message is lost."""
    try:
        task.apply_async(retry=False, ignore_result=True)
    except Exception as error:
        log.warning("broker unreachable; beat will ring", task=task.name, error=type(error).__name__)


def ring_again(task: "Task[..., Any]") -> None:
    """Ring for rows that still wait, unless enough messages do: each finished one would otherwise leave another behind."""
    try:
        with task.app.connection_or_acquire() as link:
            channel: Any = link.default_channel
            enough = channel.queue_declare(task.app.conf.task_default_queue).message_count >= ENOUGH
    except Exception:
        enough = False
    if not enough:
        ring(task)


def ring_on_commit(task: "Task[..., Any] | Signature[Any]") -> None:
    """Ring after the current transaction commits, so that the worker finds the row."""
    transaction.on_commit(partial(ring, task), robust=True)
