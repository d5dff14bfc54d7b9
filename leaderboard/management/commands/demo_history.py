"""A generated, anonymous history on the scale of the 2022 competition: people, teams, submissions, scores."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from evaluation.scoring.counts import Counts, pack, unpack
from evaluation.scoring.labels import decompress
from evaluation.scoring.metrics import rank_key
from evaluation.task import TASK, MaskSpec
from leaderboard.actions import competition_files, judging
from leaderboard.management.planner import tell_planner
from leaderboard.models import (
    Attempt,
    Competition,
    Evaluation,
    Membership,
    Phase,
    Standing,
    Submission,
    Team,
    User,
)
from leaderboard.models.names import folded
from leaderboard.reporting import counting

SLUG = "l4s-2022-history"
NOTE = "Generated history on the scale of the 2022 competition: people, dates and scores are all made up."
SEED = 2022
TEAMS = 85
ON_BOARD = 10
# People by country or region: the four largest as published, the others made up to match the totals.
COUNTRIES = {
    "CN": 134, "HK": 62, "US": 50, "DE": 42, "IN": 22, "IT": 14, "FR": 12, "JP": 10, "GB": 9, "CA": 8, "AT": 7,
    "CH": 6, "KR": 6, "BR": 5, "AU": 5, "ES": 5, "NL": 5,
    **dict.fromkeys(["BE", "BD", "CL", "CO", "CZ", "DK", "EG", "ID", "IR", "MX", "MY", "NO", "NP", "PK", "PL", "PT", "SE"], 2),
    **dict.fromkeys(["NZ", "PE", "RO"], 1),
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """Numbers of patches, submissions and teams in a phase, and how often each team may submit."""

    patches: int
    submissions: int
    teams: int
    most: int | None


PHASES = {"validation": Made(245, 7775, 85, None), "test": Made(800, 219, 41, 10)}


class Command(BaseCommand):
    help = (
        "Create a second competition with a generated, anonymous history on the scale of 2022: 439 people in 85 teams "
        "from 37 countries or regions, 7,775 validation and 219 test submissions with made-up counts, no archives."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--seed", type=int, default=SEED, help="the same seed generates the same history")

    def handle(self, *, seed: int, **_: Any) -> None:
        if Competition.objects.filter(slug=SLUG).exists():
            raise CommandError(f"The competition {SLUG} already exists: /c/{SLUG}/statistics/")
        rng = np.random.default_rng(seed)
        with transaction.atomic():
            competition = make_competition()
            teams = make_teams(competition, rng)
            skill = np.sort(rng.normal(0, 0.6, len(teams)))[::-1]
            for slug, made in PHASES.items():
                phase = competition.phases.get(slug=slug)
                load_made_up_labels(phase, made.patches, rng)
                make_submissions(phase, made, teams, skill, rng)
        tell_planner()
        counting.keep_up(timezone.now())
        self.stdout.write(self.style.SUCCESS(f"{competition} is ready: /c/{SLUG}/statistics/"))


def make_competition() -> Competition:
    document = competition_files.read_file(Path("l4s-2022"))
    document["competition"] |= {
        "slug": SLUG,
        "name": "Landslide4Sense 2022, generated history",
        "data_note": NOTE,
        "is_published": True,
    }
    return competition_files.apply(competition_files.plan(document))


def make_teams(competition: Competition, rng: np.random.Generator) -> list[Team]:
    """Accounts that nobody can log in to, in teams of at least one, with meaningless names."""
    opened = datetime(2022, 3, 1, tzinfo=UTC)
    nobody = make_password(None)
    countries = rng.permutation([code for code, people in COUNTRIES.items() for _ in range(people)])
    users = User.objects.bulk_create(
        User(
            username=f"history-{number:03d}",
            password=nobody,
            is_active=False,
            country=code,
            date_joined=opened,
        )
        for number, code in enumerate(countries.tolist(), start=1)
    )
    names = [f"Team {number:02d}" for number in range(1, TEAMS + 1)]
    teams = Team.objects.bulk_create(
        Team(competition=competition, name=name, folded_name=folded(name), created_at=opened)
        for name in names
    )
    homes = [*range(TEAMS), *rng.choice(TEAMS, len(users) - TEAMS).tolist()]
    Membership.objects.bulk_create(
        Membership(
            team=teams[home],
            competition=competition,
            user=user,
            role=Membership.Role.OWNER if number < TEAMS else Membership.Role.MEMBER,
            joined_at=opened,
        )
        for number, (home, user) in enumerate(zip(homes, users, strict=True))
    )
    return teams


def load_made_up_labels(phase: Phase, patches: int, rng: np.random.Generator) -> None:
    """A rectangle in two out of three patches, with heavy-tailed sizes, like landslides."""
    masks = np.zeros((patches, TASK.height, TASK.width), np.uint8)
    area = np.exp(rng.normal(4.6, 1.4, patches)) * (rng.random(patches) > 0.34)
    for mask, size in zip(masks, area, strict=True):
        side = min(int(np.ceil(np.sqrt(size))), 96)
        top, left = rng.integers(0, min(TASK.height, TASK.width) - side, 2)
        mask[top : top + side, left : left + side] = 1
    judging.load_labels(None, phase, pack(masks), MaskSpec(patches), "made up")


def make_submissions(
    phase: Phase, made: Made, teams: list[Team], skill: np.ndarray, rng: np.random.Generator
) -> None:
    """All rows of a phase, oldest first; the first ``made.teams`` teams (the best) take part."""
    phase = Phase.objects.select_related("labels").get(pk=phase.pk)
    assert phase.closes_at is not None
    team_of = rng.permutation(np.repeat(np.arange(made.teams), shares(made, rng)))
    times = np.sort(rng.beta(1.6, 1.1, made.submissions))
    moments = [phase.opens_at + timedelta(seconds=float(t) * (phase.closes_at - phase.opens_at).total_seconds())
               for t in times]  # fmt: skip
    progress = times if phase.allows_withdrawal else np.ones(made.submissions)
    quality = skill[team_of] + 1.2 * progress - 0.8 + rng.normal(0, 0.25, made.submissions)
    counts = made_up_counts(phase, quality, rng)
    submissions = Submission.objects.bulk_create(
        [
            Submission(
                phase=phase, team=teams[team], method=f"Entry {number}", size=0, sha256="", received_at=at,
            )
            for number, (team, at) in enumerate(zip(team_of.tolist(), moments, strict=True), start=1)
        ],
        batch_size=500,
    )  # fmt: skip
    Evaluation.objects.bulk_create(
        [scored(phase, submission, row) for submission, row in zip(submissions, counts, strict=True)],
        batch_size=200,
    )
    mine = Evaluation.objects.filter(submission=OuterRef("pk")).values("pk")[:1]
    Submission.objects.filter(phase=phase).update(evaluation=Subquery(mine))
    make_attempts(phase, submissions, [rank_key(*row.total) for row in counts])
    Standing.objects.rebuild(phase)


def shares(made: Made, rng: np.random.Generator) -> np.ndarray:
    """The number of submissions of each team: at least one; a few teams make most of them."""
    weights = rng.lognormal(0, 1.2, made.teams)
    number = np.ones(made.teams, int)
    for _ in range(made.submissions - made.teams):
        open_to = number < (made.most or made.submissions)
        chances = np.where(open_to, weights, 0).cumsum()
        number[np.searchsorted(chances, rng.random() * chances[-1], side="right")] += 1
    return number


def made_up_counts(phase: Phase, quality: np.ndarray, rng: np.random.Generator) -> list[Counts]:
    """Counts per patch on the phase's labels: hard patches are hard for everybody, better methods find more and invent less."""
    label_set = phase.labels
    assert label_set is not None
    spec = MaskSpec(label_set.patches, label_set.height, label_set.width)
    area = unpack(decompress(bytes(label_set.masks), spec), spec).sum((1, 2), dtype=np.int64)
    hard = rng.standard_normal(spec.patches)
    rows = []
    for level in quality:
        found = 1 / (1 + np.exp(1.1 * hard - 0.3 - 0.9 * level + rng.normal(0, 0.4, spec.patches)))
        tp = rng.binomial(area, found)
        fp = np.minimum(rng.poisson((1 + 0.45 * area) * np.exp(-0.45 * level)), spec.pixels - area)
        rows.append(Counts(*(part.astype(np.uint32) for part in (tp, fp, area - tp))))
    return rows


def scored(phase: Phase, submission: Submission, counts: Counts) -> Evaluation:
    tp, fp, fn = counts.total
    return Evaluation(
        submission=submission,
        label_set=phase.labels,
        scorer="made up",
        state=Evaluation.State.SCORED,
        queued_at=submission.received_at,
        finished_at=submission.received_at,
        tp=tp,
        fp=fp,
        fn=fn,
        rank_key=rank_key(tp, fp, fn),
        patch_counts=counts.to_bytes(),
    )


def make_attempts(phase: Phase, submissions: list[Submission], keys: list[int]) -> None:
    """The ledger; where withdrawal is allowed, each team has withdrawn all but its ten best."""
    by_team: dict[int, list[int]] = {}
    for index in sorted(range(len(submissions)), key=lambda index: -keys[index]):
        by_team.setdefault(submissions[index].team_id, []).append(index)
    place = {index: rank for mine in by_team.values() for rank, index in enumerate(mine)}
    total: Counter[int] = Counter()
    daily: Counter[tuple[int, Any]] = Counter()
    attempts, withdrawn = [], []
    for index, submission in enumerate(submissions):
        day = submission.received_at.date()
        stands = place[index] < ON_BOARD or not phase.allows_withdrawal
        if not stands:
            withdrawn.append(submission.pk)
        attempts.append(
            Attempt(
                submission=submission,
                team_id=submission.team_id,
                phase=phase,
                state=Attempt.State.SPENT,
                reason="scored",
                reserved_at=submission.received_at,
                settled_at=submission.received_at,
                day=day,
                total_slot=total[submission.team_id],
                day_slot=daily[submission.team_id, day],
                board_slot=place[index] if stands else None,
            )
        )
        total[submission.team_id] += 1
        daily[submission.team_id, day] += 1
    Attempt.objects.bulk_create(attempts, batch_size=500)
    for start in range(0, len(withdrawn), 500):
        Submission.objects.filter(pk__in=withdrawn[start : start + 500]).update(withdrawn_at=phase.closes_at)
