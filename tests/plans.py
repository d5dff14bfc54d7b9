"""Which tables a query reads from end to end, as the database itself explains its plan."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

# One row or more for each submission, person or team. The others stay small however many compete.
LARGE = {
    "leaderboard_submission",
    "leaderboard_evaluation",
    "leaderboard_attempt",
    "leaderboard_prediction",
    "leaderboard_standing",
    "leaderboard_team",
    "leaderboard_membership",
    "leaderboard_user",
}
SQLITE_SCAN = re.compile(r"SCAN (\S+)(?: USING (?:COVERING )?INDEX (\S+))?")
READ_WHOLE = 20_000
"""Rows: PostgreSQL reads smaller tables whole where it wants half of them anyway, which takes it a millisecond or two."""
ALIAS = re.compile(r'"(\w+)" (?:AS )?(\w+)\b')


@contextmanager
def recorded() -> Iterator[list[tuple[str, Any]]]:
    """The queries that are asked inside, with their parameters."""
    asked: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not many:
            asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield asked


def scans(queries: Iterable[tuple[str, Any]], large: Iterable[str] = LARGE) -> set[str]:
    """The large tables that one of the queries reads whole, each with the beginning of the query.

    No scan is what a LIMIT cuts off without sorting, nor a partial index read whole.
    """
    return {
        f"{table}: {' '.join(sql.split())[:200]}"
        for sql, params in queries
        if sql.lstrip("( ").upper().startswith(("SELECT", "UPDATE", "DELETE"))
        for table in _scanned(sql, params)
        if table in set(large)
    }


def _scanned(sql: str, params: Any) -> Iterator[str]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            is_read = sql.lstrip("( ").upper().startswith("SELECT")
            cursor.execute(f"EXPLAIN (FORMAT JSON{', ANALYZE' if is_read else ''}) {sql}", params)
            yield from _read_whole(cursor.fetchone()[0][0]["Plan"])
            return
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        steps = [step for *_, step in cursor.fetchall()]
    names = {alias: table for table, alias in ALIAS.findall(sql)}
    cut_off = " LIMIT " in sql and not any("TEMP B-TREE" in step for step in steps)
    for step in steps:
        if (found := SQLITE_SCAN.match(step)) and not cut_off and not _is_partial(found[2]):
            yield names.get(found[1], found[1]).strip('"')


def _read_whole(node: dict[str, Any]) -> Iterator[str]:
    """The tables of which a plan of PostgreSQL reads so many rows one after the other; where it was not carried out, by its estimate."""
    if node["Node Type"] == "Seq Scan":
        read = node.get("Actual Rows", node["Plan Rows"]) + node.get("Rows Removed by Filter", 0)
        if read * node.get("Actual Loops", 1) >= READ_WHOLE:
            yield node["Relation Name"]
    for part in node.get("Plans", []):
        yield from _read_whole(part)


def _is_partial(index: str | None) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [index])
        made = cursor.fetchone()
    return bool(made and made[0] and " WHERE " in made[0])
