"""Locks that last until the end of the transaction.

To prevent deadlocks, code that needs several rows locks them in one order: the competition, its teams, its phases,
then what belongs to these. This includes a worker that records a score.
"""

import zlib
from typing import Any

from django.db import connection, models


def lock_named(name: str) -> None:
    """Wait for the named lock and keep it until the transaction ends.

    PostgreSQL: an advisory lock. SQLite needs none: an IMMEDIATE transaction is the only writer.
    """
    assert connection.in_atomic_block, "a lock needs a transaction: open one first"
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(name.encode())])


def lock_rows(rows: models.QuerySet[Any]) -> list[Any]:
    """Lock these rows, in the order of their keys, and return them as they are once locked.

    Not FOR UPDATE, so that rows which only reference them (a submission, a standing) need not wait.
    """
    # Read again after locking: rows joined in the locking query date from before the wait.
    list(
        rows.select_related(None)
        .order_by("pk")
        .select_for_update(of=("self",), no_key=True)
        .values_list("pk")
    )
    return list(rows.order_by("pk"))
