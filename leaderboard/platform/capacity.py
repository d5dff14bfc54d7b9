"""How full the server is: the disk of DATA_DIR, and the database."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.db import connection


@dataclass(frozen=True)
class Capacity:
    """Sizes in bytes. ``used_percent``: of the disk that holds DATA_DIR."""

    disk_free: int
    disk_total: int
    database: int

    @property
    def used_percent(self) -> int:
        return round(100 * (self.disk_total - self.disk_free) / max(1, self.disk_total))

    @property
    def is_low(self) -> bool:
        """Whether the disk may soon be full: less than a tenth is free, or less than room for twenty archives."""
        return self.disk_free < self.disk_total / 10 or self.disk_free < 20 * settings.MAX_UPLOAD_BYTES


def capacity() -> Capacity:
    """Measured now; on PostgreSQL it asks the database for its size."""
    disk = shutil.disk_usage(settings.DATA_DIR)
    return Capacity(disk_free=disk.free, disk_total=disk.total, database=database_size())


def database_size() -> int:
    """In bytes; PostgreSQL, which measures every file of it, is asked once a minute."""
    if connection.vendor == "postgresql":
        return int(cache.get_or_set("database_size", _postgresql_size, 60) or 0)
    file = Path(str(connection.settings_dict["NAME"]))
    parts = (file, file.with_name(f"{file.name}-wal"))
    return sum(part.stat().st_size for part in parts if part.is_file())


def _postgresql_size() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])
