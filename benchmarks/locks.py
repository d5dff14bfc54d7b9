"""For how long an organiser's acts on a full competition hold SQLite's one writer lock: `make bench-locks`.

A fresh database with 85 teams and 7,775 submissions, as 2022 left them. Every act is done as a worker does it, without pauses between
its transactions; CPU time, because a busy machine stretches the rest.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

TEAMS, SUBMISSIONS = 85, 7775
MOST = 0.2  # seconds
KINDS = ("rescore", "disqualify", "restore", "give_back", "withdraw")


def acts() -> dict[str, Callable[[], None]]:
    """Each act by name, on the one competition that the database has; in an order in which each has something to change."""
    from evaluation.scoring.counts import pack
    from leaderboard.actions import bulk, corrections, judging
    from leaderboard.models import BulkAct, Evaluation, LabelSet, Phase, Submission, Team
    from tests.leaderboard.crowds import scored_on
    from tests.leaderboard.factories import TINY, make_masks

    def work() -> None:
        for act in BulkAct.objects.filter(finished_at=None):
            while bulk.step(act):
                pass

    def begin(kind: str) -> Callable[[], None]:
        def done() -> None:
            rows = (
                Team.objects.filter(name__startswith="Crew") if kind == "hide" else Submission.objects.all()
            )
            bulk.begin(None, kind, rows, "a benchmark")
            work()

        return done

    def load() -> None:
        judging.load_labels(None, Phase.objects.get(), pack(make_masks(seed=5)), TINY, "redrawn")
        work()

    def switch() -> None:
        made = LabelSet.objects.select_related("phase__competition").get(version=2)
        corrections.apply_correction(None, made, "redrawn")
        work()

    def score_ahead() -> None:
        Evaluation.objects.queued().delete()
        scored_on(LabelSet.objects.get(version=2))

    return {
        **{kind: begin(kind) for kind in KINDS},
        "hide": begin("hide"),
        "load labels": load,
        "(workers score all of them)": score_ahead,
        "put labels in force": switch,
    }


def measure() -> bool:
    """Print a line for each act; whether none held the lock for too long."""
    from leaderboard.models import Membership, Team
    from tests.leaderboard.crowds import many
    from tests.leaderboard.factories import make_cast, make_user
    from tests.transactions import Transactions

    cast = make_cast()
    many(cast, TEAMS, SUBMISSIONS)
    for team in Team.objects.filter(name__startswith="Crew"):
        for _ in range(3):
            Membership.objects.create(team=team, competition=team.competition, user=make_user(), role="owner")
    gc.collect()
    gc.freeze()  # or a collection of what made the rows counts as an act's
    print(f"{TEAMS} teams, {SUBMISSIONS:,} submissions\n")
    print(f"{'act':22} {'transactions':>12} {'rows, most':>11} {'median ms':>10} {'longest ms':>11}")
    longest = 0.0
    for name, act in acts().items():
        with Transactions() as seen:
            act()
        if name.startswith("("):
            continue
        held = sorted(one.cpu for one in seen.found)
        longest = max(longest, held[-1])
        print(
            f"{name:22} {len(held):12} {max(one.rows for one in seen.found):11,} {1000 * held[len(held) // 2]:10.1f} "
            f"{1000 * held[-1]:11.1f}"
        )
    print(f"\nThe longest took {1000 * longest:.0f} ms of processor time; the limit is {1000 * MOST:.0f}.")
    return longest <= MOST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", type=int, help="submissions in a transaction of a bulk act")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "leaderboard.settings", "DATA_DIR": folder, "DEBUG": "1"}
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        from leaderboard.actions import bulk

        settings.CELERY_TASK_ALWAYS_EAGER = False
        call_command("migrate", verbosity=0)
        bulk.ring_on_commit = lambda task: None
        if asked.part:
            bulk.PART = asked.part
        good = measure()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
