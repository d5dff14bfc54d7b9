"""From POST to score on the demo: `python -m benchmarks.latency [--number 100] [--long 10000]`.

Uploads one archive at a time to `manage.py serve` on SQLite and says where the time goes, beside a fixed piece of work measured in
the same run. With `--long` it uploads that many small ones by several clients at once and counts restarts and losses.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.demo_stage import Demo, running_demo

TARGET_P50, TARGET_P95 = 0.2, 0.4  # seconds from POST to score, on an idle machine
WARM_UP = 5
PARTS = (
    ("request: from the first byte of the POST to the committed row", "request"),
    ("wait for the worker: from there to its claim", "wait"),
    ("read the archive in the isolated process", "read"),
    ("count, hash and compress the masks", "count"),
    ("record the score and the standing", "record"),
    ("rest of the worker", "rest"),
    ("**POST to scored**", "scored"),
    ("visible: from there to the client's answer (Prefer: wait)", "visible"),
    ("answer 202, of which the request above is a part", "answered"),
)
AT_ONCE = 8  # unfinished evaluations, above which the clients of the long run pause
PIECE = b"landslide" * 400_000  # hashed once, about 10 ms


def fixed_piece() -> tuple[float, float]:
    """Wall and CPU milliseconds of a fixed piece of work."""
    wall, cpu = time.perf_counter(), time.thread_time()
    hashlib.sha512(PIECE).digest()
    return 1000 * (time.perf_counter() - wall), 1000 * (time.thread_time() - cpu)


def one(demo: Demo, client: httpx.Client) -> tuple[int, float, float, float]:
    """Upload and wait; returns the submission and when (seconds) it began, was answered and was seen to be scored."""
    began = time.time()
    submission = demo.post(client)
    answered, state = time.time(), "queued"
    while state in ("queued", "scoring"):
        answer = client.get(f"/api/v1/submissions/{submission}/", headers={"Prefer": "wait=30"})
        state = answer.json()["state"]
    if state != "scored":
        raise RuntimeError(f"submission {submission} is {state}, not scored")
    return submission, began, answered, time.time()


def parts(demo: Demo, runs: list[tuple[int, float, float, float]]) -> list[dict[str, float]]:
    """The parts of each run in milliseconds, from the rows and the workers' log."""
    from leaderboard.models import Submission

    logged = {line["submission"]: line for line in demo.log() if line.get("event") == "evaluated"}
    found = []
    for pk, began, answered, seen in runs:
        row = Submission.objects.with_evaluation().get(pk=pk).evaluation
        queued, started, ended = (
            each.timestamp() for each in (row.queued_at, row.started_at, row.finished_at)
        )
        told = logged[pk]
        scored = _end_of(told, ended)
        worker = {name: told[f"{name}_ms"] for name in ("read", "count", "record")}
        found.append(
            {
                "request": 1000 * (queued - began),
                "wait": 1000 * (started - queued),
                **worker,
                "rest": 1000 * (scored - started) - sum(worker.values()),
                "scored": 1000 * (scored - began),
                "visible": 1000 * (seen - scored),
                "answered": 1000 * (answered - began),
            }
        )
    return found


def _end_of(line: dict[str, Any], recorded: float) -> float:
    """When the score was committed: the worker's line follows at once. Never before the time in the row."""
    logged = datetime.fromisoformat(line["timestamp"]).astimezone(UTC).timestamp()
    return max(recorded, logged)


def quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(folder: Path, number: int) -> int:
    """Print the table; 0 if the targets hold."""
    runs, pieces = [], []
    with running_demo(folder) as demo, demo.client() as client:
        for count in range(number + WARM_UP):
            pieces.append(fixed_piece())
            runs.append(one(demo, client))
            time.sleep(0.05 + 0.1 * (count % 7) / 7)  # so that no clock of ours keeps step with the server's
        rows = parts(demo, runs[WARM_UP:])
    piece, cpu = (statistics.median(column) for column in zip(*pieces[WARM_UP:], strict=True))
    middle = {name: statistics.median(row[name] for row in rows) for _, name in PARTS}
    print(f"{number} submissions of {len(demo.archive)} bytes, one at a time, load {os.getloadavg()[0]:.1f}")
    print(f"The fixed piece of work took {piece:.1f} ms (p50), {cpu:.1f} ms of it CPU.\n")
    print("| part | p50 ms | p95 ms | share of p50 | x fixed piece |\n| --- | --- | --- | --- | --- |")
    for title, name in PARTS:
        share = "" if name in ("visible", "answered") else f"{middle[name] / middle['scored']:.0%}"
        high = quantile([row[name] for row in rows], 0.95)
        print(f"| {title} | {middle[name]:.1f} | {high:.1f} | {share} | {middle[name] / piece:.1f} |")
    p50, p95 = middle["scored"] / 1000, quantile([row["scored"] for row in rows], 0.95) / 1000
    held = p50 < TARGET_P50 and p95 < TARGET_P95
    print(
        f"\nTargets on an idle machine, p50 < {TARGET_P50} s and p95 < {TARGET_P95} s: {'held' if held else 'missed'}"
    )
    return 0 if held else 1


def long_run(folder: Path, number: int, minutes: float) -> int:
    """Upload `number` small archives by four clients; 0 if nothing was lost and no process started again."""
    end, lock = time.monotonic() + 60 * minutes, threading.Lock()
    accepted: list[int] = []

    def waiting() -> int:
        from django.db import connection

        from leaderboard.models import Evaluation

        try:
            return Evaluation.objects.unfinished().count()
        finally:
            connection.close()

    def upload(demo: Demo) -> None:
        with demo.client() as client:
            while time.monotonic() < end:
                with lock:
                    if len(accepted) >= number:
                        return
                    accepted.append(0)
                    place = len(accepted) - 1
                accepted[place] = demo.post(client)
                while waiting() >= AT_ONCE:
                    time.sleep(0.02)

    with running_demo(folder, workers=2, patches=4) as demo:
        from leaderboard.models import Evaluation

        before, began = demo.workers(), time.monotonic()
        clients = [threading.Thread(target=upload, args=(demo,)) for _ in range(2)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        while Evaluation.objects.unfinished().exists() and time.monotonic() < end + 60:
            time.sleep(0.5)
        took, same = time.monotonic() - began, before == demo.workers()
        ended = [line for line in demo.log() if line.get("event") == "program_ended"]
        rows = Evaluation.objects.filter(submission__in=accepted[:1]) | Evaluation.objects.filter(
            submission__phase=demo.phase, submission__pk__gte=min(accepted)
        )
        states = {pk: (state, tries) for pk, state, tries in rows.values_list("submission", "state", "tries")}
        spans = rows.filter(state="scored").values_list("queued_at", "finished_at")
        seconds = [(last - first).total_seconds() for first, last in spans]
        warned = sum(line.get("level") in ("warning", "error", "critical") for line in demo.log())
    scored = sum(states.get(each, ("",))[0] == "scored" for each in accepted)
    again = sum(tries > 1 for _, tries in states.values())
    print(
        f"accepted {len(accepted)} of {number}, scored {scored}, tried more than once {again}, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{took:.0f} s, {len(accepted) / took:.1f} per second; worker restarts {len(ended)}, same workers {same}"
    )
    print(
        f"queued to scored: p50 {statistics.median(seconds):.2f} s, p95 {quantile(seconds, 0.95):.2f} s; warnings {warned}"
    )
    return 0 if scored == len(accepted) == number and same and not ended else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--number", type=int, default=100, help="submissions to time (100)")
    parser.add_argument(
        "--long", type=int, metavar="NUMBER", help="upload so many, by several clients at once"
    )
    parser.add_argument("--minutes", type=float, default=60, help="end the long run after this time (60)")
    parser.add_argument("--folder", type=Path, help="a demo to use and keep, instead of a new one")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="leaderboard-latency-"))
    try:
        if options.long:
            return long_run(folder, options.long, options.minutes)
        return measure(folder, options.number)
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
