"""One short queue at a time: a named lock that ends with the transaction."""

import zlib

from django.db import connection


def hold_lock(name: str) -> None:
    """Wait for the named lock and hold it until the transaction ends.

    PostgreSQL: an advisory lock. SQLite needs none: an IMMEDIATE transaction is the only writer.
    """
    assert connection.in_atomic_block, "a lock ends with its transaction: open one first"
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(name.encode())])
