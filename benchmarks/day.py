"""The last day of a competition, replayed against the cluster: `make bench-day` (root on Linux; nginx and PostgreSQL on the machine).

`--scale 1` is the last day of 2022, `--scale 100` one with a hundred times as many people. Without `--rate`, the first is replayed whole, and of the
second so many events that the last hour has its true rate (benchmarks/day_plan.py). People sign up through the form and the code in their mail, teams upload archives that differ by
form and by API and wait for the score, visitors watch the board, scripts poll the API. It prints what each request took, how old the queue
was, and the CPU time of each kind of host per submission. Exit status 0 if every accepted submission was scored once.
"""

import argparse
import csv
import io
import json
import os
import random
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np

from benchmarks.cluster_stage import HOSTS, ROOT, Cluster, cluster, connects, judge, on_hosts, settle, until
from benchmarks.day_plan import HOURS, PER_DAY, TEAMS, Day, cores, cost, peak_rate, quantile
from benchmarks.upload import cpu_of

PATCHES, SIZE, EARLIER = 245, 128, 10  # results of each team on the board before the day
BY_FORM = 0.5  # of the submissions; each team signs in once on that day
PASSWORD = "a-long-enough-password"
SETTINGS = {"TRUSTED_PROXIES": "2", "EVALUATION_LEASE_SECONDS": "60", "EVALUATION_SWEEP_SECONDS": "10"}
NOT_OURS = ("client", "mail")  # the load, and where mail goes to


def plan_events(day: Day, folder: Path, truth: np.ndarray) -> dict[str, list[list[Any]]]:
    """What happens when, by kind; each submission names its team, its archive, whether it comes by form and whether its person signs in first."""
    rng, numbers = random.Random(2022), np.random.default_rng(2022)
    events: dict[str, list[list[Any]]] = {}
    for kind in PER_DAY:
        events[kind] = [[moment] for moment in day.moments(kind, rng)]
    weights = [rng.lognormvariate(0, 1.2) for _ in range(1, day.teams)]  # a few teams make most of them
    folder.mkdir()
    for number, event in enumerate(events["submission"]):
        path = folder / f"{number}.zip"
        path.write_bytes(archive_near(truth, numbers))
        by_form = rng.random() < BY_FORM
        signs_in = by_form and rng.random() < TEAMS / (BY_FORM * PER_DAY["submission"])
        event += [rng.choices(range(1, day.teams), weights)[0], str(path), by_form, signs_in]
    return events


def archive_near(truth: np.ndarray, numbers: np.random.Generator) -> bytes:
    """An archive as h5py writes it, of masks like the truth but shifted, with things invented: no two are equal."""
    from evaluation.archive.mask_zip import mask_file

    masks = np.roll(truth, numbers.integers(-6, 7, 2), (1, 2))
    for patch in numbers.choice(len(masks), len(masks) // 3, replace=False):
        top, left, side = numbers.integers(0, 100, 3)
        masks[patch, top : top + side // 4, left : left + side // 4] = 1
    ones = np.ones((SIZE, SIZE), np.uint8)
    before, after = mask_file(ones).split(ones.tobytes())
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, mask in enumerate(masks, start=1):
            archive.writestr(f"mask_{number}.h5", before + mask.tobytes() + after)
    return content.getvalue()


def make_truth() -> np.ndarray:
    """A rectangle in two thirds of the masks, about 2 % of the pixels."""
    numbers = np.random.default_rng(1)
    truth = np.zeros((PATCHES, SIZE, SIZE), np.uint8)
    for mask in truth[numbers.random(PATCHES) > 0.34]:
        top, left, height, width = numbers.integers((0, 0, 6, 6), (90, 90, 36, 36))
        mask[top : top + height, left : left + width] = 1
    return truth


def fill(day: Day, truth: np.ndarray, teams: set[int]) -> tuple[dict[str, Any], dict[int, dict[str, str]]]:
    """The competition with all its teams and their earlier results: what the users must know, and how `teams` sign in."""
    from allauth.account.models import EmailAddress
    from django.contrib.auth.hashers import make_password

    from benchmarks import filling
    from benchmarks.watchers import session_of
    from evaluation.scoring.counts import pack
    from evaluation.task import MaskSpec
    from leaderboard.actions import judging
    from leaderboard.models import ApiToken, Submission, User
    from tests.leaderboard.factories import make_cast

    cast = make_cast(labels=False, quota_per_day=None, quota_total=None)
    judging.load_labels(None, cast.phase, pack(truth), MaskSpec(PATCHES, SIZE, SIZE))
    cast.phase.refresh_from_db()
    filling.fill(cast, filling.Size(day.teams, EARLIER * day.teams))
    Submission.objects.filter(evaluation__state="queued").delete()
    User.objects.filter(username__in=[f"person{team}" for team in teams]).update(
        password=make_password(PASSWORD)
    )
    users = {user.username: user for user in User.objects.filter(username__startswith="person")}
    EmailAddress.objects.bulk_create(
        EmailAddress(user=user, email=user.email, verified=True, primary=True) for user in users.values()
    )
    ways: dict[int, dict[str, str]] = {}
    for team in teams:
        user = users[f"person{team}"]
        token = ApiToken.objects.create(user=user)[1]
        ways[team] = {"name": user.username, "token": token, "session": session_of(user)}
    about = {"competition": cast.competition.slug, "phase": cast.phase.pk, "phase_slug": cast.phase.slug}
    return about, ways


@contextmanager
def watching_the_queue() -> Iterator[list[float]]:
    """The age of the oldest waiting evaluation, once a second."""
    from django.db import connection
    from django.db.models import Min
    from django.utils import timezone

    from leaderboard.models import Evaluation

    ages, stopped = [0.0], Event()

    def watch() -> None:
        while not stopped.wait(1):
            since = Evaluation.objects.queued().order_by().aggregate(since=Min("queued_at"))["since"]
            ages.append((timezone.now() - since).total_seconds() if since else 0.0)
        connection.close()

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield ages
    finally:
        stopped.set()
        watcher.join()


def warm_up(about: dict[str, Any]) -> None:
    """Both web hosts have answered before it begins: the first answer of a process takes seconds."""
    paths = (
        f"/c/{about['competition']}/board/",
        f"/api/v1/phases/{about['phase']}/leaderboard/",
        "/accounts/login/",
    )
    with httpx.Client(base_url=about["url"], verify=about["certificate"], timeout=90) as client:
        for path in 10 * paths:
            client.get(path, follow_redirects=True).raise_for_status()


def cpu(made: Cluster) -> dict[str, float]:
    """CPU seconds of every host so far; of the client, those of the processes that have ended."""
    used = {name: sum(cpu_of(each.pid) for each in host.processes) for name, host in made.hosts.items()}
    return used | {"client": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])}


def replay(day: Day) -> int:
    """Run inside the client's host."""
    from django.conf import settings

    mail = f"smtp://10.83.0.{HOSTS['mail']}:25?tls=no"
    with cluster(EMAIL_URL=mail, **SETTINGS) as made:
        host, folder = made.hosts["mail"], made.hosts["client"].folder
        inbox = host.folder / "inbox"
        server = ["-m", "aiosmtpd", "-n", "-l", f"{host.address}:25", "-c", "aiosmtpd.handlers.Mailbox"]
        host.start([sys.executable, *server, inbox])
        until(lambda: connects(host.address, 25), "the mail server answers")
        truth = make_truth()
        events = plan_events(day, folder / "archives", truth)
        about, teams = fill(day, truth, {event[1] for event in events["submission"]})
        about |= {"url": made.environment["SITE_URL"], "mail": str(inbox), "password": PASSWORD}
        about |= {"teams": teams, "events": events, "accepted": str(folder / "accepted.json")}
        about |= {"certificate": str(made.open()), "cookie": settings.SESSION_COOKIE_NAME}
        (folder / "plan.json").write_text(json.dumps(about))
        warm_up(about)
        print(
            f"{day.teams:,} teams, {day.minutes:g} minutes: {day.describe()}: "
            + ", ".join(f"{len(of_kind)} × {kind}" for kind, of_kind in events.items()),
            flush=True,
        )
        return _measure(day, made, folder)


def _database_size() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return cursor.fetchone()[0]


def _measure(day: Day, made: Cluster, folder: Path) -> int:
    from django.db.models import Avg

    from leaderboard.models import Submission

    earlier, load, size, before = Submission.objects.count(), os.getloadavg()[0], _database_size(), cpu(made)
    users = ["-m", "locust", "-f", "benchmarks/day_users.py", "--headless", "-u", "300", "-r", "100"]
    words = [sys.executable, *users, "--only-summary", "--csv", str(folder / "day")]
    with watching_the_queue() as ages, (folder / "log").open("wb") as log:
        environment = {**os.environ, "DAY_PLAN": str(folder / "plan.json")}
        subprocess.run(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
        drained = settle(900)
    after = cpu(made)
    left = json.loads((folder / "accepted.json").read_text())
    accepted = {int(number): key for number, key in left["accepted"].items()}
    unanswered = [
        key
        for key in Submission.objects.exclude(pk__in=accepted).values_list("idempotency_key", flat=True)
        if key and any(sent in key for sent in left["sent"])
    ]
    found = judge(accepted, earlier + len(unanswered)) | {"answered too late": len(unanswered)}
    print(requests_table(folder / "day_stats.csv"), "\n")
    failures = list(csv.DictReader((folder / "day_failures.csv").open()))
    print("Errors:", "; ".join(f"{f['Occurrences']} × {f['Name']}: {f['Error']}" for f in failures) or "none")
    print(f"Age of the queue: p95 {quantile(ages, 0.95):.1f} s, at most {max(ages):.1f} s; ", end="")
    print(f"all final {drained:.1f} s after the last user. Load average {load:.1f} at the start.")
    archives = Submission.objects.filter(pk__in=accepted).aggregate(mean=Avg("size"))["mean"]
    grown = (_database_size() - size) / len(accepted)
    print(
        f"Stored per submission: {archives / 1000:.0f} kB of archive, {grown / 1000:.1f} kB in the database."
    )
    _print_rush(day, accepted, left["began"])
    print(cost_table(cost(before, after, found["scored"] + len(unanswered)), day.scale), "\n")
    print(", ".join(f"{name}: {number}" for name, number in found.items()))
    return 1 if found["lost"] or found["doubled"] or found["attempts wrong"] else 0


def _print_rush(day: Day, accepted: dict[int, str], began: float) -> None:
    """How fast the last hour's submissions were scored, beside how fast they came."""
    from leaderboard.models import Evaluation

    rush = began + 60 * day.minutes - day.rush_seconds
    rows = Evaluation.objects.filter(submission__in=accepted, finished_at__isnull=False)
    times = [
        finished.timestamp()
        for finished in rows.values_list("finished_at", flat=True)
        if finished >= datetime.fromtimestamp(rush, UTC)
    ]
    if not times:
        return
    rate, offered = (
        len(times) / (max(times) - rush),
        day.number("submission") * HOURS[-1] / 100 / day.rush_seconds,
    )
    print(
        f"The last hour: {offered:.2f} submissions a second were planned, {rate:.2f} were scored: "
        f"{100 * rate / peak_rate(1):.0f} % of the true rate of 2022, {100 * rate / peak_rate(100):.0f} % of a hundred times that.\n"
    )


def requests_table(path: Path) -> str:
    lines = ["| what | kind | number | errors | p50 ms | p95 ms | p99 ms |", "| --- | --- | " + "---: | " * 5]
    for row in csv.DictReader(path.open()):
        if row["Name"] != "Aggregated":
            figures = (row["Request Count"], row["Failure Count"], row["50%"], row["95%"], row["99%"])
            lines.append(f"| {row['Name']} | {row['Type']} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def cost_table(roles: dict[str, float], scale: int) -> str:
    """CPU per submission, and the cores for the last hour of 2022 and of one a hundred times as large."""
    lines = ["| host | CPU ms per submission | cores, 2022 | cores, × 100 |", "| --- | ---: | ---: | ---: |"]
    ours = {role: used for role, used in roles.items() if role not in NOT_OURS}
    for role, used in [*ours.items(), ("all of these", sum(ours.values()))]:
        figures = (used, cores(used, peak_rate(1)), cores(used, peak_rate(100)))
        lines.append(f"| {role} | {figures[0]:.1f} | {figures[1]:.3f} | {figures[2]:.2f} |")
    return "\n".join(lines) + f"\n\nThe load itself took {roles['client']:.0f} CPU ms per submission."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day", description=__doc__)
    parser.add_argument("--scale", type=int, default=1, help="how many times as large as 2022 (1)")
    parser.add_argument("--minutes", type=float, default=12, help="how long the replay takes (12)")
    parser.add_argument(
        "--rate", type=float, default=0, help="events a second in the last hour, of those of the real one"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rate = options.rate or (1 if options.scale > 1 else 240 / options.minutes)  # 240: the whole day of 2022
    if options.inside:
        return replay(Day(options.scale, options.minutes, rate))
    words = ["--scale", options.scale, "--minutes", options.minutes, "--rate", rate]
    return on_hosts("benchmarks.day", [str(word) for word in words])


if __name__ == "__main__":
    sys.exit(main())
