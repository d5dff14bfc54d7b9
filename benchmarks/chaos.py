"""Break everything that can break, and count what was lost: `python -m benchmarks.chaos [--backend B] [--short]`.

Exit status 0 if no accepted submission was lost or scored twice and no fault of the server used up an attempt.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import FAULTS, Fault, end_revived
from benchmarks.stage import Stage, stage


@dataclass(frozen=True)
class Outcome:
    """What one fault did to the submissions accepted around it."""

    struck: int
    accepted: int
    scored: int
    failed: int
    lost: int
    doubled: int
    attempts_wrong: int
    wrong_scores: int
    tries: int
    settle: float
    upload: float

    def plus(self, other: "Outcome") -> "Outcome":
        """Both together: numbers added, times the larger."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in COUNTED}
        return Outcome(**sums, settle=max(self.settle, other.settle), upload=max(self.upload, other.upload))

    def holds(self, fault: Fault) -> bool:
        wrong = (
            self.lost
            + self.doubled
            + self.attempts_wrong
            + self.wrong_scores
            + (self.failed if fault.all_scored else 0)
        )
        return self.struck > 0 and not wrong


def run(fault: Fault, here: Stage) -> Outcome:
    here.accepted.clear()
    here.uploads.clear()
    here.harmed.clear()
    struck = fault.inject(here)
    settle = here.settle()
    outcome = here.query(lambda: judge(here, struck, settle))
    here.make_room()
    return outcome


def judge(here: Stage, struck: int, settle: float) -> Outcome:
    """Compare the answers to the client with the database."""
    from leaderboard.models import Attempt, Evaluation, Submission

    rows = list(Submission.objects.with_evaluation().select_related("attempt").filter(pk__in=here.accepted))
    scored = [row for row in rows if row.state == "scored"]
    failed = [row for row in rows if row.state in ("failed", "invalid") and row.evaluation.problems]
    twice = [
        row
        for row in rows
        if Evaluation.objects.filter(submission=row, state="scored").count() > 1
        or Submission.objects.filter(idempotency_key=here.accepted[row.pk]).count() != 1
    ]
    wrong = [row for row in scored if row.attempt.state != Attempt.State.SPENT]
    wrong += [row for row in failed if row.attempt.state != Attempt.State.GIVEN_BACK]
    return Outcome(
        struck=struck,
        accepted=len(here.accepted),
        scored=len(scored),
        failed=len(failed),
        lost=len(here.accepted) - len(scored) - len(failed),
        doubled=len(twice),
        attempts_wrong=len(wrong),
        wrong_scores=sum(
            row.pk in here.harmed or bool(row.evaluation.fp or row.evaluation.fn) for row in scored
        ),
        tries=sum(row.evaluation.tries for row in rows),
        settle=settle,
        upload=statistics.median(here.uploads) if here.uploads else 0.0,
    )


def table(backend: str, outcomes: dict[str, Outcome]) -> str:
    """A Markdown table of what happened."""
    columns = "fault | struck | accepted | scored | failed | tries | lost | doubled | attempts wrong | scores wrong | settled | upload"
    rows = [
        f"| {name} | {o.struck} | {o.accepted} | {o.scored} | {o.failed} | {o.tries} | {o.lost} | {o.doubled} "
        f"| {o.attempts_wrong} | {o.wrong_scores} | {o.settle:.1f} s | {o.upload:.2f} s |"
        for name, o in outcomes.items()
    ]
    return "\n".join([f"### {backend}", "", f"| {columns} |", "| --- " * 12 + "|", *rows])


def chosen(fault: Fault, options: argparse.Namespace, folder: Path) -> bool:
    wanted = not options.only or any(text in fault.name for text in options.only)
    if options.backend not in fault.backends or not wanted:
        return False
    if (fault.needs == "s3") != options.s3:
        return False
    if fault.needs == "a small disk" and not os.path.ismount(folder):
        print("LEFT OUT: a full database needs root on Linux, to mount a small file system", flush=True)
        return False
    if fault.name.startswith("disk full") and not (sys.platform == "linux" and os.geteuid() == 0):
        print("LEFT OUT: a full disk needs root on Linux, to mount a small file system", flush=True)
        return False
    return fault.short or not options.short


def rounds(faults: list[Fault], options: argparse.Namespace) -> Iterator[Fault]:
    """Each fault once; in a long run all of them, the quick ones more often, in random order until the time is over."""
    if not options.minutes:
        yield from faults
    end = time.monotonic() + 60 * options.minutes
    several = [fault for fault in faults for _ in range(fault.often)]
    while time.monotonic() < end:
        for fault in random.sample(several, len(several)):
            if time.monotonic() < end:
                yield fault


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--backend", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--short", action="store_true", help="only the faults that take seconds")
    parser.add_argument(
        "--only", nargs="+", default=[], help="only faults whose name holds one of these texts"
    )
    parser.add_argument(
        "--s3", action="store_true", help="keep the archives in an emulated bucket, and let it fail"
    )
    parser.add_argument(
        "--minutes", type=float, default=0, help="repeat the faults in random order for so long"
    )
    parser.add_argument("--faults", type=int, default=10_000, help="end a long run after so many strikes")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="leaderboard-chaos-", dir="/tmp" if os.geteuid() == 0 else None))
    small_disk(folder)
    outcomes: dict[str, Outcome] = {}
    broken: list[str] = []
    try:
        with stage(options.backend, folder, s3=options.s3) as here:
            faults = [fault for fault in FAULTS if chosen(fault, options, folder)]
            for fault in rounds(faults, options):
                try:
                    outcome = run(fault, here)
                except Exception as error:
                    print(f"{fault.name}: {type(error).__name__}: {error}", flush=True)
                    broken.append(fault.name)
                    continue
                print(f"{fault.name}: {outcome}", flush=True)
                if not outcome.holds(fault):
                    broken.append(fault.name)
                outcomes[fault.name] = (
                    outcomes[fault.name].plus(outcome) if fault.name in outcomes else outcome
                )
                if sum(each.struck for each in outcomes.values()) >= options.faults:
                    break
    finally:
        end_revived()
        if os.path.ismount(folder):
            subprocess.run(["umount", "-l", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + table(options.backend, outcomes))
    total = {name: sum(getattr(each, name) for each in outcomes.values()) for name in COUNTED}
    print("\n" + ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in total.items()))
    print(f"{len(outcomes) - len(set(broken))} passed, {len(set(broken))} failed")
    print("".join(f"  {name}\n" for name in broken), end="")
    return 1 if broken or not outcomes else 0


COUNTED = (
    "struck",
    "accepted",
    "scored",
    "failed",
    "lost",
    "doubled",
    "attempts_wrong",
    "wrong_scores",
    "tries",
)


def small_disk(folder: Path) -> None:
    """Give the stage a file system of its own, which a fault can fill; without root it has none."""
    if sys.platform == "linux" and os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", folder], check=False)


if __name__ == "__main__":
    sys.exit(main())
