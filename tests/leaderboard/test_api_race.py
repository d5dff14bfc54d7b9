"""Twenty processes post at once: the quota and the idempotency key hold.

Counting before inserting passes on SQLite, where writers queue, and fails on PostgreSQL: run with --backend=postgres.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from leaderboard.actions.accounts import create_token
from leaderboard.models import Attempt, Phase, Submission
from leaderboard.models.attempts import utc_day
from tests.leaderboard.api import Client, post
from tests.leaderboard.factories import Cast

pytestmark = pytest.mark.django_db(transaction=True)
RACERS = 20
REFUSED = {
    "quota_total": (403, "total_used_up"),
    "quota_per_day": (429, "quota_used_up"),
    "quota_on_board": (409, "board_full"),
}
QUOTAS = tuple(REFUSED)


class Race:
    """Processes that wait for each other, post at once, and return their answers."""

    def __init__(self, phase: Phase, tokens: list[str], **headers: str) -> None:
        Client().get("/api/v1/")  # what every process imports is imported once
        connections.close_all()
        self.context = multiprocessing.get_context("fork")
        self.line = self.context.Barrier(RACERS + 1)
        self.answers: Any = self.context.Queue()
        self.processes = [
            self.context.Process(
                target=self.run, args=(phase.pk, tokens[n % len(tokens)], headers), daemon=True
            )
            for n in range(RACERS)
        ]
        for process in self.processes:
            process.start()

    def run(self, phase: int, token: str, headers: dict[str, str]) -> None:
        # Beside the loop of a browser the parent keeps two sets of connections, and closes one: a child sees the other.
        # It may neither use what it inherited nor, by losing it, close it for all.
        inherited = [c.connection for c in connections.all(initialized_only=True)]  # noqa: F841
        for wrapper in connections.all(initialized_only=True):
            wrapper.connection = None
        client = Client(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}", **headers)
        while True:
            self.line.wait(60)
            response = post(client, phase)
            self.answers.put((response.status_code, response.json()))

    def start(self) -> list[tuple[int, dict[str, Any]]]:
        """One round: everybody posts once; returns status and body of each answer."""
        connections.close_all()
        self.line.wait(60)
        return [self.answers.get(timeout=100) for _ in range(RACERS)]


@contextmanager
def race(phase: Phase, tokens: list[str], **headers: str) -> Iterator[Callable[[], Any]]:
    running = Race(phase, tokens, **headers)
    try:
        yield running.start
    finally:
        for process in running.processes:
            process.kill()
            process.join()


def tokens_of(cast: Cast) -> list[str]:
    return [create_token(who, "racer")[1] for who in (cast.owner, cast.teammate)]


def stored_archives() -> int:
    return len(list(Path(settings.STORAGES["uploads"]["OPTIONS"]["location"]).rglob("*.zip")))


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_with_one_place_left_exactly_one_of_twenty_is_accepted(cast: Cast, settings, rounds: int) -> None:
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    before = stored_archives()
    with race(cast.phase, tokens_of(cast)) as start:
        for number in range(rounds):
            quota = QUOTAS[number % len(QUOTAS)]
            Phase.objects.filter(pk=cast.phase.pk).update(
                **{**dict.fromkeys(QUOTAS), quota: Submission.objects.count() + 1}
            )
            day_ends = utc_day(timezone.now())
            answers = start()
            refused, code = REFUSED[quota]
            assert Counter(status for status, _ in answers) == {202: 1, refused: RACERS - 1}, (
                number,
                answers,
            )
            for status, body in answers:
                if status == refused:
                    assert body["code"] == code
                    assert ("next_at" in body) == (quota == "quota_per_day")
            if utc_day(timezone.now()) != day_ends:
                pytest.skip("midnight (UTC) passed during the race and reset the day's quota")
    assert Submission.objects.count() == Attempt.objects.count() == rounds
    assert stored_archives() - before == rounds


def test_one_idempotency_key_sent_twenty_times_at_once_is_one_submission(cast: Cast, settings) -> None:
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=1)
    before = stored_archives()
    with race(cast.phase, tokens_of(cast), HTTP_IDEMPOTENCY_KEY="the-one") as start:
        answers = start()
    assert Counter(status for status, _ in answers) == {202: 1, 200: RACERS - 1}, answers
    assert len({body["id"] for _, body in answers}) == 1
    assert Submission.objects.count() == 1
    assert stored_archives() - before == 1
