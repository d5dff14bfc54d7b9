"""What it costs when 300 people watch, and how soon they see a score: `make bench-watchers`.

One web process is started as `make demo` does (waitress, SQLite) and as docker-compose.yml does (gunicorn with threads,
PostgreSQL, Redis). Three kinds of watchers ask as the real ones do, one kind after the other, while one submission a
second is scored through the queue:

    board    visitors of a board of 85 teams; the page asks every five seconds
    result   members, each on the page of a submission of theirs that waits in the queue
    script   tokens, each waiting for such a submission with `Prefer: wait=30`, as the command l4s does

CPU is that of the web process alone. The delay runs from the commit of a score until an answer shows it.
"""

import argparse
import asyncio
import html
import logging
import os
import random
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
from django.db.models import F

from l4s import operations
from l4s.exchange import Answer, Pause
from tests import services

ROOT = Path(__file__).resolve().parent.parent
TEAMS_ON_BOARD = 85
WARM_UP = 6  # seconds in which the pages are opened
OPENED = 0.95  # of the pages have been answered when the first score is counted
AIM = 0.2  # of a core
WORK = 0.8  # seconds from claim to score
POLL = re.compile(r'hx-get="(?P<path>[^"]+)".*?delay:(?P<pause>\d+)ms', re.DOTALL)
SCORE = re.compile(r"score-(\d+)\b")


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass
class Result:
    """What one kind of watchers cost on one server."""

    server: str
    kind: str
    cpu: float = 0.0
    seconds: float = 0.0
    scores: int = 0
    delays: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    never: int = 0

    @property
    def core(self) -> float:
        return self.cpu / self.seconds


def session_of(user: Any) -> str:
    """The key of a new session in which this person is signed in."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from leaderboard.platform.sessions import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


class Contest:
    """The rows: a board of 85 teams, and one team, member and submission for each watcher."""

    def __init__(self, watchers: int) -> None:
        from leaderboard.models import ApiToken, Team, User
        from tests.leaderboard import factories as make

        self.make = make
        organiser = User.objects.create(username="organiser", email="o@example.org")
        self.competition = make.make_competition(organiser=organiser)
        self.phase = make.make_phase(self.competition)
        self.teams: list[Team] = []
        for number in range(max(watchers, TEAMS_ON_BOARD)):
            user = User.objects.create(username=f"watcher{number}", email=f"w{number}@example.org")
            self.teams.append(make.make_team(self.competition, f"Team {number:03}", owner=user))
        for number, team in enumerate(self.teams[:TEAMS_ON_BOARD]):
            make.make_submission(team, self.phase, (50, 50 + number, 50))
        self.users = [team.members.get() for team in self.teams[:watchers]]
        self.cookies = [session_of(user) for user in self.users]
        self.tokens = [ApiToken.objects.create(user=user, name="watcher")[1] for user in self.users]
        self.counted: dict[int, float] = {}

    def queue(self, number: int) -> list[int]:
        """This many waiting submissions, one of each team; their numbers."""
        return [
            self.make.make_submission(team, self.phase, state="queued").pk for team in self.teams[:number]
        ]

    def score_a_new_one(self, number: int) -> None:
        """A new best of the board, named `score-NUMBER`."""
        team = self.teams[number % TEAMS_ON_BOARD]
        made = self.make.make_submission(team, self.phase, state="queued", method=f"score-{number}")
        self.make.score_now(made, (60 + number, 50, 50))
        self.counted[number] = time.monotonic()

    def score_the_next(self, number: int) -> None:
        """What a worker would take next; it works on it for most of the second."""
        from leaderboard.models import Evaluation, Submission

        first = Evaluation.objects.in_claim_order().values_list("submission", flat=True).first()
        if first is None:
            return
        made = Submission.objects.with_evaluation().select_related("team", "phase").get(pk=first)
        held = self.make.take(made)
        time.sleep(WORK)
        self.make.record(held, (60 + number % 300, 50, 50))
        self.counted[first] = time.monotonic()

    def pretend_to_have_worked(self) -> None:
        """From these times the server expects how long a submission will wait."""
        from leaderboard.models import Evaluation

        finished = Evaluation.objects.filter(finished_at__isnull=False)
        finished.update(started_at=F("finished_at") - timedelta(seconds=1))


class Watchers:
    """Asks as pages and scripts do, and notes when each score was shown."""

    def __init__(self, contest: Contest, url: str, result: Result, number: int) -> None:
        self.contest, self.result, self.number = contest, result, number
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self.client = httpx.AsyncClient(base_url=url, limits=limits, timeout=60)
        self.measures = False
        self.answered: set[int] = set()
        self.shown: dict[int, list[float]] = {}

    async def get(self, number: int, path: str, **headers: str) -> httpx.Response:
        began = time.monotonic()
        answer = await self.client.get(path, headers=headers)
        self.answered.add(number)
        if self.measures:
            self.result.took.append(time.monotonic() - began)
        if answer.status_code not in (200, 304):
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        return answer

    async def board(self, number: int) -> None:
        """One tab with the board."""
        phase = self.contest.phase
        path = f"/c/{self.contest.competition.slug}/board/{phase.slug}/"
        await asyncio.sleep(5 * number / self.number)
        etag, seen = "", 0
        while True:
            answer = await self.get(number, path, **{"HX-Request": "true", "If-None-Match": etag})
            now = time.monotonic()
            if answer.status_code == 200:
                etag = answer.headers["etag"]
                latest = max((int(found) for found in SCORE.findall(answer.text)), default=0)
                for score in range(seen + 1, latest + 1):
                    self.shown.setdefault(score, []).append(now)
                seen = max(seen, latest)
            await asyncio.sleep(5)

    async def page(self, number: int, submission: int) -> None:
        """One tab with a submission that waits, opened some time ago."""
        path, cookie = f"/submissions/{submission}/", f"sessionid={self.contest.cookies[number]}"
        await asyncio.sleep(WARM_UP * random.random())
        while True:
            answer = await self.get(number, path, **{"HX-Request": "true", "Cookie": cookie})
            if (poll := POLL.search(answer.text)) is None:
                self.shown.setdefault(submission, []).append(time.monotonic())
                return
            path = html.unescape(poll["path"])
            await asyncio.sleep(int(poll["pause"]) / 1000)

    async def script(self, number: int, submission: int) -> None:
        """One `l4s submit --wait`, with the client's own operation."""
        await asyncio.sleep(WARM_UP * random.random())
        steps, answer = operations.wait(operations.Session(), submission, timeout=600), None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    answer = None
                else:
                    token = f"Bearer {self.contest.tokens[number]}"
                    got = await self.get(
                        number, f"/api/v1/{step.path}", **{**step.headers, "Authorization": token}
                    )
                    answer = Answer(got.status_code, dict(got.headers), got.content, str(got.url))
        except StopIteration:
            self.shown.setdefault(submission, []).append(time.monotonic())


@contextmanager
def web_process(server: str, log: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """One web process; its address, and its CPU seconds so far."""
    port = int(os.environ["PORT"])
    if server == "waitress":
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(1024)
            command = [sys.executable, "manage.py", "serve", "--web-on", str(listener.fileno())]
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                pass_fds=[listener.fileno()],
                stdout=log.open("w"),
                stderr=subprocess.STDOUT,
            )
    else:
        command = [sys.executable, "-m", "gunicorn", "--config", "python:leaderboard.platform.gunicorn"]
        process = subprocess.Popen(
            [*command, "leaderboard.wsgi"],
            cwd=ROOT,
            env={**os.environ, "TRUSTED_PROXIES": "1"},  # without a proxy it would refuse to start
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        else:
            raise RuntimeError(f"{server} does not answer:\n{log.read_text()[-3000:]}")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        yield url, lambda: sum(sum(each.cpu_times()[:2]) for each in family)
    finally:
        process.terminate()
        process.wait(60)


async def watch(
    contest: Contest, url: str, cpu: Callable[[], float], result: Result, number: int, scores: int
) -> None:
    """Let the watchers ask while one score a second is counted."""
    watchers = Watchers(contest, url, result, number)
    contest.counted.clear()
    await asyncio.to_thread(contest.pretend_to_have_worked)
    if result.kind == "board":
        tasks = [asyncio.create_task(watchers.board(each)) for each in range(number)]
        count, first = contest.score_a_new_one, 1
    else:
        waiting = await asyncio.to_thread(contest.queue, number)
        ask = watchers.page if result.kind == "result" else watchers.script
        tasks = [asyncio.create_task(ask(each, pk)) for each, pk in enumerate(waiting)]
        count, first = contest.score_the_next, 0
    while len(watchers.answered) < OPENED * number:  # some answers are held
        await asyncio.sleep(0.2)
    watchers.measures, began, spent = True, time.monotonic(), cpu()
    for score in range(first, first + scores):
        await asyncio.to_thread(count, score)
        await asyncio.sleep(max(0.0, began + (score - first + 1) - time.monotonic()))
    result.cpu, result.seconds = cpu() - spent, time.monotonic() - began
    await asyncio.sleep(WARM_UP)
    broken = [task for task in tasks if task.done() and not task.cancelled() and task.exception()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await watchers.client.aclose()
    if broken:
        raise RuntimeError(f"{len(broken)} watchers were refused, the first: {broken[0].exception()}")
    result.scores = len(contest.counted)
    for key, at in contest.counted.items():
        shown = watchers.shown.get(key, [])
        result.delays += [moment - at for moment in shown]
        result.never += (number if result.kind == "board" else 1) - len(shown)


def measure(server: str, kinds: list[str], number: int, scores: int) -> list[Result]:
    """Start one server with its database, and let each kind watch."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        new_environment(folder)
        if server == "gunicorn":
            os.environ["DATABASE_URL"] = stack.enter_context(services.postgresql())
            os.environ["REDIS_URL"] = stack.enter_context(services.redis_server()) + "/0"
        create_database()
        contest = Contest(number)
        results = []
        url, cpu = stack.enter_context(web_process(server, folder / "web.log"))
        for kind in kinds:
            result = Result(server, kind)
            asyncio.run(watch(contest, url, cpu, result, number, scores))
            contest.phase.submissions.filter(evaluation__state="queued").delete()
            results.append(result)
        return results


def new_environment(folder: Path) -> None:
    """Settings of one web process on a free port, with its data in the folder."""
    port = services.free_port()
    for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "DEBUG"):
        os.environ.pop(name, None)
    os.environ.update(
        DATA_DIR=str(folder),
        HOST="127.0.0.1",
        PORT=str(port),
        SITE_URL=f"http://127.0.0.1:{port}",
        SECRET_KEY=secrets.token_hex(32),
        WEB_PROCESSES="1",
        DJANGO_SETTINGS_MODULE="leaderboard.settings",
    )


def create_database() -> None:
    import django

    django.setup()
    import psycopg
    from django.core.management import call_command

    if "DATABASE_URL" in os.environ:
        server, _, name = os.environ["DATABASE_URL"].rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
    call_command("migrate", verbosity=0)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def table(results: list[Result], number: int) -> str:
    lines = [
        f"{number} watchers, one score a second, one web process",
        "",
        "| watchers | server | answers/s | answered in p50 s | p95 s | CPU s per score | share of a core | delay p50 s | p95 s | never shown |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {each.kind} | {each.server} | {len(each.took) / each.seconds:.0f} "
        f"| {quantile(each.took, 0.5):.2f} | {quantile(each.took, 0.95):.2f} | {each.cpu / max(1, each.scores):.3f} "
        f"| {100 * each.core:.0f} % | {quantile(each.delays, 0.5):.2f} | {quantile(each.delays, 0.95):.2f} | {each.never} |"
        for each in sorted(results, key=lambda each: each.kind)
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watchers", description=__doc__)
    parser.add_argument("--servers", nargs="*", default=["waitress", "gunicorn"])
    parser.add_argument("--kinds", nargs="*", default=["board", "result", "script"])
    parser.add_argument("--watchers", type=int, default=300)
    parser.add_argument("--scores", type=int, default=30)
    arguments = parser.parse_args()
    missed = 0
    if len(arguments.servers) > 1:  # Django's settings are read once in a process
        for server in arguments.servers:
            command = [
                sys.executable,
                "-m",
                "benchmarks.watchers",
                "--servers",
                server,
                "--kinds",
                *arguments.kinds,
            ]
            options = ["--watchers", str(arguments.watchers), "--scores", str(arguments.scores)]
            missed += subprocess.run([*command, *options], check=False).returncode != 0
        return 1 if missed else 0
    results = measure(arguments.servers[0], arguments.kinds, arguments.watchers, arguments.scores)
    print(table(results, arguments.watchers), flush=True)
    return 1 if any(each.kind == "board" and each.core > AIM for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
