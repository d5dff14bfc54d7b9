"""Locks that last until the end of the transaction.

To prevent deadlocks, code that needs several rows locks them in one order: the competition, its teams, its phases,
then what belongs to these. This includes a worker that records a score.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models, transaction


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
    if connection.vendor == "sqlite":  # an IMMEDIATE transaction is the only writer
        return list(rows.order_by("pk"))
    # Read again after locking: rows joined in the locking query date from before the wait.
    list(
        rows.select_related(None)
        .order_by("pk")
        .select_for_update(of=("self",), no_key=True)
        .values_list("pk")
    )
    return list(rows.order_by("pk"))


@contextmanager
def snapshot() -> Iterator[None]:
    """A transaction that only reads, sees one moment of the database, and stops no writer.

    Inside another transaction it is a part of that one.
    """
    if connection.in_atomic_block:
        yield
        return
    mode = getattr(connection, "transaction_mode", None)
    if connection.vendor == "sqlite":
        connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    finally:
        if connection.vendor == "sqlite":
            connection.transaction_mode = mode  # type: ignore[attr-defined]
