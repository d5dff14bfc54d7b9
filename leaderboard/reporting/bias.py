"""A description of a competition following the BIAS reporting guideline, filled in from the database where possible.

BIAS: Maier-Hein et al., "BIAS: Transparent reporting of biomedical image analysis challenges", Medical Image Analysis
66 (2020). Its items apply to any image challenge; the headings follow its four parts, in our own words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from evaluation import __version__
from leaderboard.models import Competition, Phase, Prize, Submission, Team

OPEN = "[to be filled in by the organisers]"


@dataclass(frozen=True)
class Item:
    """One item of the form; ``answer`` is OPEN if only the organisers know it."""

    part: str
    item: str
    answer: str

    @property
    def is_open(self) -> bool:
        return self.answer == OPEN


def form(competition: Competition) -> list[Item]:
    """All items, in order of their parts."""
    phases = list(competition.phases.select_related("labels").defer("labels__masks"))
    parts = {
        "Organisation": _organisation(competition, phases),
        "Mission": _mission(),
        "Data sets": _data(competition, phases),
        "Assessment": _assessment(phases),
    }
    return [Item(part, item, answer or OPEN) for part, items in parts.items() for item, answer in items]


def as_markdown(competition: Competition, items: Iterable[Item]) -> str:
    lines = [f"# {competition.name}: description following BIAS", ""]
    part = ""
    for item in items:
        if item.part != part:
            part = item.part
            lines += [f"## {part}", ""]
        gap = "\n" if item.answer.startswith("\n") else " "  # a list needs an empty line before it
        lines += [f"**{item.item}.**{gap}{item.answer}", ""]
    return "\n".join(lines)


def _organisation(competition: Competition, phases: list[Phase]) -> Iterable[tuple[str, str]]:
    people = [user.get_full_name() or user.username for user in competition.organisers.order_by("pk")]
    unending = any(phase.closes_at is None for phase in phases)
    yield "Title", competition.name
    yield "Abstract", competition.summary
    yield "Keywords", ""
    yield "Organisers and contact", ", ".join(people)
    yield (
        "Life cycle",
        "one event, followed by an open-ended phase for later submissions"
        if unending
        else "one event with a fixed end",
    )
    yield "Website", ""
    yield "Participation policy", _participation(competition)
    yield (
        "Participation of the organisers",
        "Organisers cannot be in a competing team. Their entries are shown as reference entries, without a rank.",
    )
    yield "Awards", "".join(f"\n- {_prize(prize)}" for prize in competition.prizes.select_related("phase"))
    yield "Publication of the results", ""
    yield "Submission method", "".join(f"\n- {_quota(phase)}" for phase in phases)
    yield "Schedule", "".join(f"\n- {phase.name}: {_window(phase)}" for phase in phases)
    yield "Ethics and licence of the data", ""
    yield (
        "Evaluation software",
        f"The scorer (version {__version__}) is part of the server's code and also runs offline: "
        "`python -m evaluation score ARCHIVE TRUTH`.",
    )
    yield "Participants' code", ""
    yield "Conflicts of interest and funding", ""


def _prize(prize: Prize) -> str:
    whose = f"rank {prize.rank} of {prize.phase.name}" if prize.phase else "chosen by the committee"
    return (
        f"{prize.title}: {whose}{', among the eligible teams' if prize.phase else ''}. {prize.note}".strip()
    )


def _mission() -> Iterable[tuple[str, str]]:
    yield "Field of application", ""
    yield "Task", "binary segmentation: every pixel of a patch either belongs to the target class or not"
    yield "Target cohort (what the algorithms are meant for)", ""
    yield "Challenge cohort (what they are tested on)", ""
    yield "Imaging method and context information", ""


def _data(competition: Competition, phases: list[Phase]) -> Iterable[tuple[str, str]]:
    yield "Source of the images", ""
    yield (
        "Definition of a case",
        "".join(f"\n- {phase.name}: {_case(phase)}" for phase in phases if phase.labels),
    )
    yield (
        "Number of cases",
        "".join(f"\n- {phase.name}: {_cases(phase)}" for phase in phases if phase.labels),
    )
    yield "Annotation: how and by whom the labels were made, and how annotations were merged", ""
    yield "Pre-processing", ""
    yield "Sources of error in images and labels", competition.data_note
    yield (
        "Proof that the labels were fixed in advance",
        "".join(
            f"\n- {phase.name}, version {phase.labels.version}, loaded {_day(phase.labels.created_at)}: "
            f"commitment {phase.labels.commitment}"
            for phase in phases
            if phase.labels
        ),
    )
    yield (
        "Public labels",
        "; ".join(
            f"{phase.name}: since {phase.labels_public_since}"
            for phase in phases
            if phase.labels_public_since
        )
        or "none known to the organisers",
    )


def _assessment(phases: list[Phase]) -> Iterable[tuple[str, str]]:
    yield (
        "Metric",
        "F1 of the positive class, 2 TP / (2 TP + FP + FN), over the pixels of all cases; precision "
        "and recall are shown too if the phase allows it",
    )
    yield "Justification of the metric", ""
    yield "Ranking", "".join(f"\n- {phase.name}: {phase.get_counts_display()} counts" for phase in phases)
    yield (
        "Ties",
        "F1 is compared as an exact fraction; teams with equal F1 share a rank, listed in order of receipt.",
    )
    yield (
        "Missing results",
        "An archive with a missing or unreadable mask is rejected as a whole, and every problem is listed; it does not "
        "count towards the quota and is not ranked.",
    )
    yield (
        "Statistics",
        "95 % intervals by the delta method with Student's t, differences paired on the same cases, Holm's correction "
        "over all pairs, rank ranges from the same decisions, permutation tests for the top three, and a bootstrap "
        "chart of the ranks. The intervals do not include label noise.",
    )
    yield "Participation", "".join(f"\n- {phase.name}: {_numbers(phase)}" for phase in phases)


def _participation(competition: Competition) -> str:
    said = ["Anyone with an account may take part; a person can be in at most one team."]
    if competition.max_team_size:
        said.append(f"A team has at most {competition.max_team_size} members.")
    if competition.roster_locks_at:
        said.append(f"Teams are locked from {_day(competition.roster_locks_at)}.")
    return " ".join(said)


def _quota(phase: Phase) -> str:
    limits = (
        (phase.quota_total, "in total"),
        (phase.quota_per_day, "per UTC day"),
        (phase.quota_on_board, "on the board at a time"),
    )
    said = ", ".join(f"{limit} {words}" for limit, words in limits if limit is not None) or "no limit"
    taken_back = "may be withdrawn" if phase.allows_withdrawal else "cannot be withdrawn"
    shown = (
        "hidden until the end"
        if phase.hidden_until_close
        else f"shown: {phase.get_visible_metrics_display()}"
    )
    return f"{phase.name}: submissions per team: {said}; they {taken_back}; scores {shown}"


def _case(phase: Phase) -> str:
    assert phase.labels is not None
    return f"a patch of {phase.labels.height} × {phase.labels.width} pixels with one mask"


def _cases(phase: Phase) -> str:
    assert phase.labels is not None
    pixels = phase.labels.patches * phase.labels.height * phase.labels.width
    return f"{phase.labels.patches}; {phase.labels.positive_pixels / pixels:.2%} of the pixels are positive"


def _numbers(phase: Phase) -> str:
    made = Submission.objects.filter(phase=phase, reference=False)
    teams = Team.objects.competing().filter(submissions__in=made).distinct().count()
    return f"{made.count()} submissions of {teams} teams"


def _window(phase: Phase) -> str:
    return f"from {_day(phase.opens_at)} " + (
        f"to {_day(phase.closes_at)}" if phase.closes_at else "without end"
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
