"""What every address, a claim, a score and a poll cost at two sizes of the competition: `make bench-board`.

Two processes, one for each size, answer the same requests in turn, so that a busy machine is busy for both. CPU time is
the web process's, and on PostgreSQL the backend's beside it. Caches are empty before each request.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import services

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".bench-board"  # not in var, which is closed to the user that PostgreSQL runs as
SMALL, BIG = (85, 7_994), (10_000, 1_000_000)
QUERIES = 20  # at most, of a public page
GROWTH, GROWTH_OF_ADMIN = 1.3, 2.0
UNNOTICED_MS = 1.0  # a difference below it is noise, whatever the ratio
# Files of whole boards, judged by the row
FILES = ("*:board-csv *", "*:board-json *", "api:phase-leaderboard-csv *")
# They read every score of a phase, and are judged by the score
DRY_RUNS = ("*_labelset_put_in_force *", "*_labelset_compare *")
# One query for each kind of thing that is kept about a person
PERSONAL = ("*:account-data *", "api:account-list *")
POSTGRESQL = {
    "shared_buffers": "512MB",
    "max_parallel_workers_per_gather": "0",  # else part of the work is done where nobody counts it
    "autovacuum": "off",
}


# One process per size: it fills its database or finds it filled, then measures what it is asked for


class Acts:
    """Everything that is measured, by name, on one filled database."""

    def __init__(self, stage: Any) -> None:
        from tests.leaderboard.permissions import rows, viewers

        self.stage = stage
        stage.sign_in()
        self.acts: dict[str, Callable[[], Any]] = {}
        for row in rows():
            for role in viewers(row):
                self.acts[f"{row.name} as {role}"] = self.request(stage.address(row.name), role)
        self.add_polls()
        self.add_pages()
        self.acts |= {"claim": self.claim, "record a score": self.record, "sweep": self.sweep}
        self.acts["figures after a score"] = self.count

    def request(self, address: str, role: str, **headers: str) -> Callable[[], Any]:
        client = self.stage.clients[role]
        return lambda: client.get(address, headers=headers)

    def add_polls(self) -> None:
        waiting = self.stage.waiting.pk
        page, api = f"/submissions/{waiting}/", f"/api/v1/submissions/{waiting}/"
        self.acts["poll of a waiting submission, page"] = self.request(page, "owner", hx_request="true")
        self.acts["poll of a waiting submission, API"] = self.request(api, "owner")
        for name in ("pages:board", "api:phase-leaderboard"):
            address, polls = self.stage.address(name), {"hx_request": "true"} if "pages" in name else {}
            changed = self.request(address, "nobody", **polls)
            unchanged = self.request(address, "nobody", if_none_match=changed()["ETag"], **polls)
            assert unchanged().status_code == 304
            self.acts[f"poll of {name}, changed"] = changed
            self.acts[f"poll of {name}, unchanged (304)"] = unchanged

    def add_pages(self) -> None:
        """Deep pages and searches: addresses that only their query string tells apart."""
        found = "/admin/leaderboard/submission/?q="
        for what, text in {
            "number": str(self.stage.submission.pk),
            "team": "Team number 17",
            "SHA-256": self.stage.submission.sha256,
            "incident": "0123456789ab",
        }.items():
            self.acts[f"admin search of submissions by {what}"] = self.request(found + text, "administrator")

    # Within a transaction that is rolled back

    def claim(self) -> Any:
        from leaderboard.scoring import queue

        return queue.claim("bench")

    def record(self) -> Any:
        from leaderboard.scoring import queue

        held, counts, packed, digest = self.prepared
        return queue.record_score(held, counts, packed, digest)

    def sweep(self) -> Any:
        from leaderboard.scoring import queue

        return queue.sweep()

    def count(self) -> Any:
        from django.utils import timezone

        from leaderboard.reporting import counting

        return counting.keep_up(timezone.now())

    def prepare_record(self) -> None:
        import numpy as np

        from evaluation.scoring import labels
        from evaluation.scoring.counts import Counts, sha256
        from evaluation.task import MaskSpec
        from leaderboard.scoring import queue

        held = queue.claim("bench")
        assert held is not None
        made = held.evaluation.label_set
        spec = MaskSpec(made.patches, made.height, made.width)
        masks = np.zeros(spec.packed_shape, np.uint8)
        counts = Counts(*np.ones((3, spec.patches), np.uint32))
        self.prepared = (held, counts, labels.compress(masks), sha256(masks, spec))

    def measure(self, name: str, explain: bool) -> dict[str, Any]:
        """CPU time in ms, the queries, and when ``explain`` the large tables that they read whole."""
        from django.core.cache import cache
        from django.db import transaction

        from leaderboard.models import CompetitionFigures, PhaseFigures
        from tests.plans import recorded, scans

        cache.clear()
        with transaction.atomic():
            if name in ("record a score", "figures after a score"):
                self.prepare_record()
            if name == "figures after a score":
                self.record()
                # What is counted from the start takes a hundredth of the time at most: here it is not its turn.
                for model in (PhaseFigures, CompetitionFigures):
                    model.objects.update(counting_seconds=10**6)
            with recorded() as queries:
                web, database = time.process_time(), database_seconds()
                answer = self.acts[name]()
                web, database = time.process_time() - web, database_seconds() - database
            transaction.set_rollback(True)
        asked = [query for query in queries if "SAVEPOINT" not in query[0]]
        return {
            "web": 1000 * web,
            "database": 1000 * database,
            "queries": len(asked),
            "status": getattr(answer, "status_code", None),
            "scans": sorted(scans(queries)) if explain else [],
        }


def database_seconds() -> float:
    """CPU time of this connection's PostgreSQL backend so far; SQLite works in the process itself."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    with Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").open() as file:
        return int(file.read().split()[0]) / 1e9


def serve(teams: int, submissions: int) -> None:
    """Answer on standard output, a line of JSON each, what is asked on standard input."""
    import django
    from django.conf import settings
    from django.utils import timezone

    django.setup()
    from leaderboard.models import PhaseFigures
    from leaderboard.reporting import counting

    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**9)
    settings.ALLOWED_HOSTS = ["*"]
    acts = Acts(filled_stage(teams, submissions))
    # As after a quiet hour, in which a worker may count from the start.
    PhaseFigures.objects.update(counting_seconds=0, rules="")
    counting.keep_up(timezone.now())
    print(json.dumps(list(acts.acts)), flush=True)
    for line in sys.stdin:
        print(json.dumps(acts.measure(**json.loads(line))), flush=True)


def filled_stage(teams: int, submissions: int) -> Any:
    """The rows that the addresses are about, in a database that is filled once and then kept."""
    from django.core.management import call_command

    from benchmarks import filling
    from leaderboard.models import Phase
    from tests.leaderboard.factories import make_cast, make_submission
    from tests.leaderboard.permissions import Stage

    kept = Path(os.environ["DATA_DIR"]) / "stage.pickle"
    call_command("migrate", verbosity=0)
    if not kept.exists():
        stage: Any = Stage(make_cast())
        Phase.objects.filter(pk=stage.cast.phase.pk).update(counts="best", visible_metrics="all")
        stage.cast.phase.refresh_from_db()
        filling.fill(stage.cast, filling.Size(teams, submissions))
        stage.waiting = make_submission(stage.cast.team, stage.cast.phase, state="queued")
        stage.clients = {}
        kept.write_bytes(pickle.dumps(stage))
    return pickle.loads(kept.read_bytes())


# The process that asks


@dataclass
class Server:
    process: subprocess.Popen[str]
    names: list[str] = field(default_factory=list)

    def ask(self, name: str, explain: bool = False) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"name": name, "explain": explain}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def start(backend: str, size: tuple[int, int], stack: ExitStack) -> Server:
    """A process of its own for this size, with a folder that outlives it."""
    source = hashlib.sha256((ROOT / "benchmarks" / "filling.py").read_bytes()).hexdigest()[:8]
    folder = CACHE / f"{backend}-{size[0]}-{size[1]}-{source}"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DATA_DIR": str(folder), "SECRET_KEY": "only to measure " * 4}
    environment |= {"LOG_LEVEL": "ERROR", "DJANGO_SETTINGS_MODULE": "leaderboard.settings"}
    environment["REQUIRE_SECOND_FACTOR"] = "no"  # else every page of an organiser is the way to one
    for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "DEBUG", "SITE_URL"):
        environment.pop(name, None)
    if backend == "postgres":
        url = stack.enter_context(services.postgresql(folder / "cluster", **POSTGRESQL))
        create_database(url)
        environment["DATABASE_URL"] = url
    command = [sys.executable, "-m", "benchmarks.board", "--serve", *map(str, size)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    stack.callback(process.wait)
    assert process.stdin
    assert process.stdout
    stack.callback(process.stdin.close)
    line = process.stdout.readline()
    if not line:
        raise SystemExit("The measuring process ended; its error stands above.")
    return Server(process, json.loads(line))


def create_database(url: str) -> None:
    import psycopg

    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')


@dataclass
class Result:
    """The least of all rounds at both sizes, in ms."""

    name: str
    small: dict[str, Any]
    big: dict[str, Any]
    rows: tuple[float, float]
    """How many times as many teams and submissions the big one has."""

    @property
    def ratio(self) -> float:
        return total(self.big) / total(self.small)

    def is_one_of(self, patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatch(self.name, pattern) for pattern in patterns)

    @property
    def allowed(self) -> float:
        if self.is_one_of(FILES):
            return GROWTH * self.rows[0]
        if self.is_one_of(DRY_RUNS):
            return GROWTH * self.rows[1]
        return GROWTH_OF_ADMIN if self.name.startswith("admin") else GROWTH

    def faults(self) -> Iterator[str]:
        if self.ratio > self.allowed and total(self.big) - total(self.small) > UNNOTICED_MS:
            yield f"grows {self.ratio:.2f} times, allowed are {self.allowed:.4g}"
        if (
            not self.name.startswith("admin")
            and not self.is_one_of(PERSONAL)
            and self.big["queries"] > QUERIES
        ):
            yield f"{self.big['queries']} queries, allowed are {QUERIES}"
        if (self.big["status"] or 200) >= 500:
            yield f"answered {self.big['status']}"
        if self.small["status"] != self.big["status"]:
            yield f"answered {self.small['status']} and {self.big['status']}"
        if not self.is_one_of(FILES + DRY_RUNS):
            yield from (f"reads whole {table}" for table in self.big["scans"])


def total(costs: dict[str, Any]) -> float:
    return costs["web"] + costs["database"]


def compare(name: str, small: Server, big: Server, rounds: int, rows: tuple[float, float]) -> Result:
    """Both sizes in turn; what seems to grow is measured longer before it is believed."""
    made = Result(name, small.ask(name), big.ask(name, explain=True), rows)
    scans = made.big["scans"]
    for number in range(4 * rounds):
        if number >= rounds and not any("grows" in fault for fault in made.faults()):
            break
        made = Result(
            name,
            min(made.small, small.ask(name), key=total),
            {**min(made.big, big.ask(name), key=total), "scans": scans},
            rows,
        )
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--big", nargs=2, type=int, default=BIG, metavar=("TEAMS", "SUBMISSIONS"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=["*"], help="names to measure, e.g. 'pages:*' claim")
    parser.add_argument("--serve", nargs=2, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(*asked.serve)
        return 0
    with ExitStack() as stack:
        small, big = start(asked.backend, SMALL, stack), start(asked.backend, tuple(asked.big), stack)
        print(f"\n{asked.backend}: {SMALL[0]:,} teams, {SMALL[1]:,} submissions beside ", end="")
        print(f"{asked.big[0]:,} and {asked.big[1]:,}; CPU ms, web + database\n")
        print("| | queries | small | big | ratio |\n| --- | --- | --- | --- | --- |")
        failed = []
        wanted = [name for name in small.names if any(fnmatch.fnmatch(name, one) for one in asked.only)]
        for name in wanted:
            made = compare(name, small, big, asked.rounds, (asked.big[0] / SMALL[0], asked.big[1] / SMALL[1]))
            faults = list(made.faults())
            failed += [f"{name}: {fault}" for fault in faults]
            costs = " | ".join(
                f"{each['web']:.1f} + {each['database']:.1f}" for each in (made.small, made.big)
            )
            mark = " **" if faults else ""
            print(f"| {name} | {made.big['queries']} | {costs} | {made.ratio:.2f}{mark} |", flush=True)
    print(f"\n{len(failed)} faults" + "".join(f"\n- {fault}" for fault in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
