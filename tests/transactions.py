"""What every transaction of a block on SQLite changes, and for how long it holds the one writer lock."""

import time
from dataclasses import dataclass, field
from typing import Any, Self

from django.db import connection


@dataclass
class Transaction:
    """``rows`` that it changed, its ``statements``, and the seconds and CPU seconds from its BEGIN to its end."""

    statements: list[str] = field(default_factory=list)
    rows: int = 0
    seconds: float = 0.0
    cpu: float = 0.0


class Transactions:
    """Records the outermost transactions, and writes outside of any, of the default connection."""

    def __enter__(self) -> Self:
        self.found: list[Transaction] = []
        self._open: Transaction | None = None
        self._watch = connection.execute_wrapper(self._see)
        self._watch.__enter__()
        self._ends = {name: getattr(connection, name) for name in ("commit", "rollback")}
        for name, end in self._ends.items():
            setattr(connection, name, self._ending(end))
        return self

    def __exit__(self, *error: object) -> None:
        for name in self._ends:
            delattr(connection, name)
        self._watch.__exit__(*error)

    def _see(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        begins = sql.startswith("BEGIN")
        alone = self._open is None and not begins and not sql.lstrip("( ").startswith(("SELECT", "PRAGMA"))
        if alone:
            self._begin()
        answer = execute(sql, params, many, context)
        if begins:
            self._begin()  # from here on it has the lock
        elif self._open is not None:
            self._open.statements.append(sql)
        if alone:
            self._end()
        return answer

    def _ending(self, end: Any) -> Any:
        def ended(*args: Any) -> Any:
            try:
                return end(*args)
            finally:
                self._end()

        return ended

    def _begin(self) -> None:
        self._open = Transaction()
        self._at = time.monotonic(), time.thread_time(), connection.connection.total_changes

    def _end(self) -> None:
        if self._open is None:
            return
        wall, cpu, rows = self._at
        self._open.seconds, self._open.cpu = time.monotonic() - wall, time.thread_time() - cpu
        self._open.rows = connection.connection.total_changes - rows
        self.found.append(self._open)
        self._open = None
