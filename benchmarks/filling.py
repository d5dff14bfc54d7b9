"""Fill a database with a competition of any size, by SQL: the rows that uploads, workers and people would have left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connection, models

from leaderboard.models import (
    Attempt,
    Evaluation,
    Mail,
    Membership,
    Phase,
    Prediction,
    Standing,
    Submission,
    Team,
    User,
)
from tests.leaderboard.factories import Cast

MEMBERS = 3  # of a team
REFERENCES, QUEUED = 20, 20
PREDICTION_BYTES, COUNTS_BYTES = 3000, 420
SECONDS_APART = 8
F1_DENOMINATOR = 1 << 20  # 2 TP + FP + FN of every made-up score


@dataclass(frozen=True)
class Size:
    teams: int
    submissions: int

    def __str__(self) -> str:
        return f"{self.teams:,} teams, {self.submissions:,} submissions"


def fill(cast: Cast, size: Size) -> None:
    """Teams, people, submissions, evaluations, attempts, masks and standings beside the cast's own.

    Submission i belongs to team i modulo their number; every tenth is invalid, every hundredth failed, the last ones
    wait. The cast's team is one of the teams, and has its share.
    """
    with _without_checks():
        people = _next(User)
        teams = _fill_teams(cast, size, people)
        _fill_submissions(cast, size, teams, people)
        _fill_standings(cast.phase)
        _fill_references(cast)
    _refresh_planner()


def _fill_teams(cast: Cast, size: Size, people: int) -> str:
    """SQL for the key of team i (0 is the cast's own), which person i owns; ``people`` is the first one's key."""
    first = _next(Team)
    _insert(
        User,
        {
            "id": f"{people} + i",
            "username": "'person' || CAST(i AS text)",
            "password": "'!'",
            "email": "'person' || CAST(i AS text) || '@example.net'",
            "country": "substr('DECNUSITFRJPINBRPENO', CAST(1 + 2 * (i % 10) AS integer), 2)",
            "is_active": "TRUE",
            "date_joined": _moment(0),
        },
        MEMBERS * size.teams,
    )
    _insert(
        Team,
        {
            "id": f"{first} + i",
            "competition_id": cast.competition.pk,
            "name": "'Team number ' || CAST(i AS text)",
            "folded_name": "'team number ' || CAST(i AS text)",
            "created_at": _moment(0),
        },
        size.teams - 1,
    )
    team = f"(CASE WHEN i % {size.teams} = 0 THEN {cast.team.pk} ELSE {first - 1} + i % {size.teams} END)"
    _insert(
        Membership,
        {
            "id": f"{_next(Membership)} + i",
            "team_id": team,
            "competition_id": cast.competition.pk,
            "user_id": f"{people} + i",
            "role": f"CASE WHEN i < {size.teams} THEN 'owner' ELSE 'member' END",
            "joined_at": _moment(0),
        },
        MEMBERS * size.teams,
        f"i % {size.teams} <> 0",  # the cast's team keeps its own people
    )
    return team


def _fill_submissions(cast: Cast, size: Size, team: str, people: int) -> None:
    waits = f"i >= {size.submissions - QUEUED}"
    state = f"CASE WHEN {waits} THEN 'queued' WHEN i % 100 = 7 THEN 'failed' WHEN i % 10 = 3 THEN 'invalid' ELSE 'scored' END"
    scored = f"NOT ({waits}) AND i % 100 <> 7 AND i % 10 <> 3"
    hits = f"((i * 7919 + 104729) % {F1_DENOMINATOR // 2})"
    submission, evaluation = _next(Submission), _next(Evaluation)
    pool = np.random.default_rng(1).bytes(1 << 16)
    received = _moment(f"{SECONDS_APART} * i")
    _insert(
        Submission,
        {
            "id": f"{submission} + i",
            "phase_id": cast.phase.pk,
            "team_id": team,
            "submitted_by_id": f"(CASE WHEN i % {size.teams} = 0 THEN {cast.owner.pk} ELSE {people} + i % {size.teams} END)",
            "method": "'Method ' || CAST(i % 977 AS text)",
            "sha256": "substr('0123456789abcdef', CAST(1 + i % 16 AS integer), 1) || CAST(i AS text)",
            "size": 118000,
            "received_at": received,
            "evaluation_id": f"{evaluation} + i",
            "withdrawn_at": f"CASE WHEN i % 10 = 5 AND {scored} THEN {received} END",
        },
        size.submissions,
    )
    _insert(
        Evaluation,
        {
            "id": f"{evaluation} + i",
            "submission_id": f"{submission} + i",
            "label_set_id": cast.phase.labels_id,
            "state": state,
            "scorer": "'1'",
            "tries": f"CASE WHEN {waits} THEN 0 ELSE 1 END",
            "worker": "'host:1'",
            "incident": "CASE WHEN i % 100 = 7 THEN '0123456789ab' ELSE '' END",
            "queued_at": received,
            "rung_at": received,
            "started_at": f"CASE WHEN NOT ({waits}) THEN {received} END",
            "finished_at": f"CASE WHEN NOT ({waits}) THEN {_moment(f'{SECONDS_APART} * i + 1')} END",
            "tp": f"CASE WHEN {scored} THEN {hits} END",
            "fp": f"CASE WHEN {scored} THEN {F1_DENOMINATOR} - 2 * {hits} END",
            "fn": f"CASE WHEN {scored} THEN 0 END",
            "rank_key": f"CASE WHEN {scored} THEN 2 * {hits} * {(1 << 62) // F1_DENOMINATOR} END",
            "patch_counts": f"CASE WHEN {scored} THEN {_bytes(pool, COUNTS_BYTES)} END",
        },
        size.submissions,
    )
    held = (
        f"CASE WHEN NOT ({waits}) AND (i % 100 = 7 OR i % 10 = 3) THEN NULL ELSE 1000 + i / {size.teams} END"
    )
    _insert(
        Attempt,
        {
            "submission_id": f"{submission} + i",
            "team_id": team,
            "phase_id": cast.phase.pk,
            "state": f"CASE WHEN {waits} THEN 'reserved' WHEN {scored} THEN 'spent' ELSE 'given_back' END",
            "reserved_at": received,
            "settled_at": f"CASE WHEN NOT ({waits}) THEN {received} END",
            "day": _day(f"{SECONDS_APART} * i"),
            "total_slot": held,
            "day_slot": held,
            "board_slot": held,
        },
        size.submissions,
    )
    _insert(
        Prediction,
        {
            "submission_id": f"{submission} + i",
            "masks": _bytes(pool, PREDICTION_BYTES),
            "sha256": "CAST(i AS text)",
        },
        size.submissions,
        scored,
    )
    _insert(
        Mail,
        {
            "id": f"{_next(Mail)} + i",
            "competition_id": cast.competition.pk,
            "to": "'away@example.net'",
            "queued_at": received,
            "next_try_at": received,
            "failed_at": received,
        },
        size.submissions // 100,
    )


def _fill_standings(phase: Phase) -> None:
    """Each team's best, as ``Standing.objects.rebuild`` would find it."""
    assert phase.labels is not None
    Standing.objects.filter(phase=phase).delete()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")  # it believes the tables to be empty
        cursor.execute(
            f"""
            INSERT INTO leaderboard_standing
                (phase_id, label_set_id, kind, team_id, submission_id, rank_key, achieved_at, entries)
            SELECT phase_id, label_set_id, 'exact', team_id, id, rank_key, received_at, entries FROM (
                SELECT s.phase_id, e.label_set_id, s.team_id, s.id, e.rank_key, s.received_at,
                    count(*) OVER (PARTITION BY s.team_id) AS entries,
                    row_number() OVER (PARTITION BY s.team_id ORDER BY e.rank_key DESC, s.received_at, s.id) AS place
                FROM leaderboard_submission s JOIN leaderboard_evaluation e ON e.id = s.evaluation_id
                WHERE e.state = 'scored' AND s.withdrawn_at IS NULL AND s.phase_id = {phase.pk}
                  AND e.label_set_id = {phase.labels.pk}) AS ranked
            WHERE place = 1"""
        )
    Phase.objects.bump_board(phase.pk)


def _fill_references(cast: Cast) -> None:
    team = Team.objects.create(
        pk=_next(Team), competition=cast.competition, name="Organisers", is_organisers=True
    )
    submission, evaluation = _next(Submission), _next(Evaluation)
    _insert(
        Submission,
        {
            "id": f"{submission} + i",
            "phase_id": cast.phase.pk,
            "team_id": team.pk,
            "method": "'Reference ' || CAST(i AS text)",
            "received_at": _moment("i"),
            "reference": "TRUE",
            "evaluation_id": f"{evaluation} + i",
        },
        REFERENCES,
    )
    _insert(
        Evaluation,
        {
            "id": f"{evaluation} + i",
            "submission_id": f"{submission} + i",
            "label_set_id": cast.phase.labels_id,
            "state": "'scored'",
            "queued_at": _moment("i"),
            "rung_at": _moment("i"),
            "finished_at": _moment("i"),
            "tp": "1000 + i",
            "fp": "1000",
            "fn": "1000",
            "rank_key": f"{1 << 61} + i",
        },
        REFERENCES,
    )


# SQL that both databases understand


def _insert(model: type[models.Model], columns: dict[str, Any], number: int, where: str = "TRUE") -> None:
    """Rows 0 to ``number`` - 1, where ``where`` holds: an expression of i for each column; the others get their empty value."""
    every = {field.column: _empty(field) for field in model._meta.concrete_fields if not field.generated}
    if "id" not in columns:
        every.pop("id", None)
    assert columns.keys() <= every.keys() | {"id"}, columns.keys() - every.keys()
    every |= {name: str(expression) for name, expression in columns.items()}
    names = ", ".join(f'"{name}"' for name in every)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({names}) "
            f"WITH RECURSIVE numbers(i) AS (SELECT CAST(0 AS bigint) UNION ALL SELECT i + 1 FROM numbers WHERE i < {number - 1}) "
            f"SELECT {', '.join(every.values())} FROM numbers WHERE {where}"
        )


def _empty(field: Any) -> str:
    if field.null:
        return "NULL"
    kind = field.get_internal_type()
    if kind == "BooleanField":
        return "FALSE"
    if kind == "JSONField":
        return "'[]'"
    if kind.endswith("IntegerField"):
        return "0"
    if kind == "DateTimeField":
        return _moment(0)
    return "''"


def _next(model: type[models.Model]) -> int:
    return (model._default_manager.aggregate(most=models.Max("pk"))["most"] or 0) + 1


def _moment(seconds: Any) -> str:
    if connection.vendor == "postgresql":
        return f"(timestamptz '2026-01-01 00:00+00' + make_interval(secs => {seconds}))"
    return f"strftime('%Y-%m-%d %H:%M:%S', 1767225600 + {seconds}, 'unixepoch')"


def _day(seconds: Any) -> str:
    if connection.vendor == "postgresql":
        return f"(date '2026-01-01' + CAST(({seconds}) / 86400 AS integer))"
    return f"date(1767225600 + {seconds}, 'unixepoch')"


def _bytes(pool: bytes, number: int) -> str:
    """A slice of the pool, another one for each row."""
    literal = f"'\\x{pool.hex()}'::bytea" if connection.vendor == "postgresql" else f"x'{pool.hex()}'"
    start = f"CAST(1 + (i * 7919) % {len(pool) - number} AS integer)"
    return f"substr({literal}, {start}, {number})"


class _without_checks:
    """Foreign keys are right by construction: to check two million of them takes longer than to write them."""

    def __enter__(self) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET session_replication_role = replica")
                return
            for setting in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -1000000"):
                cursor.execute(f"PRAGMA {setting}")

    def __exit__(self, *_: object) -> None:
        connection.close()


def _refresh_planner() -> None:
    """Keys go on behind the last; the planner knows the tables as autovacuum would have left them."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            filled = (User, Team, Membership, Submission, Evaluation, Mail, Standing)
            for model in filled:
                cursor.execute(
                    f"SELECT setval(pg_get_serial_sequence('{model._meta.db_table}', 'id'), max(id)) "
                    f"FROM {model._meta.db_table}"
                )
            cursor.execute("VACUUM ANALYZE")
        else:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
