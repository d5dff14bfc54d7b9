"""Break everything that can break, and count what was lost: `python -m benchmarks.chaos [--backend B] [--short]`.

Exit status 0 if no accepted submission was lost or scored twice and no fault of the server used up an attempt.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
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
    tries: int
    settle: float
    upload: float

    def holds(self, fault: Fault) -> bool:
        wrong = self.lost + self.doubled + self.attempts_wrong + (self.failed if fault.all_scored else 0)
        return self.struck > 0 and not wrong


def run(fault: Fault, here: Stage) -> Outcome:
    here.accepted.clear()
    here.uploads.clear()
    struck = fault.inject(here)
    settle = here.settle()
    return here.query(lambda: judge(here, struck, settle))


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
        tries=sum(row.evaluation.tries for row in rows),
        settle=settle,
        upload=statistics.median(here.uploads) if here.uploads else 0.0,
    )


def table(backend: str, outcomes: dict[str, Outcome]) -> str:
    """A Markdown table of what happened."""
    columns = "fault | struck | accepted | scored | failed | tries | lost | doubled | attempts wrong | settled | upload"
    rows = [
        f"| {name} | {o.struck} | {o.accepted} | {o.scored} | {o.failed} | {o.tries} | {o.lost} | {o.doubled} "
        f"| {o.attempts_wrong} | {o.settle:.1f} s | {o.upload:.2f} s |"
        for name, o in outcomes.items()
    ]
    return "\n".join([f"### {backend}", "", f"| {columns} |", "| --- " * 11 + "|", *rows])


def chosen(fault: Fault, options: argparse.Namespace) -> bool:
    if options.backend not in fault.backends or options.only not in fault.name:
        return False
    if fault.name.startswith("disk full") and not (sys.platform == "linux" and os.geteuid() == 0):
        print("LEFT OUT: a full disk needs root on Linux, to mount a small file system", flush=True)
        return False
    return fault.short or not options.short


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--backend", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--short", action="store_true", help="only the faults that take seconds")
    parser.add_argument("--only", default="", help="only faults whose name holds this text")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="leaderboard-chaos-", dir="/tmp" if os.geteuid() == 0 else None))
    outcomes: dict[str, Outcome] = {}
    try:
        with stage(options.backend, folder) as here:
            for fault in FAULTS:
                if chosen(fault, options):
                    outcomes[fault.name] = run(fault, here)
                    print(f"{fault.name}: {outcomes[fault.name]}", flush=True)
    finally:
        end_revived()
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + table(options.backend, outcomes))
    broken = [
        fault.name for fault in FAULTS if fault.name in outcomes and not outcomes[fault.name].holds(fault)
    ]
    print(f"\n{len(outcomes) - len(broken)} passed, {len(broken)} failed")
    print("".join(f"  {name}\n" for name in broken), end="")
    return 1 if broken or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
