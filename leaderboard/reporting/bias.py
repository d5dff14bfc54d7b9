"""A description of a competition in the shape of the BIAS reporting guideline, filled in as far as the database knows.

BIAS: Maier-Hein et al., "BIAS: Transparent reporting of biomedical image analysis challenges", Medical Image Analysis
66 (2020). Its items apply to any challenge with images; the headings here follow its four parts, the words are ours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from evaluation import __version__
from leaderboard.models import Competition, Phase, Prize, Submission, Team

OPEN = "[to be filled in by the organisers]"


@dataclass(frozen=True)
class Item:
    """One item of the form; ``answer`` is OPEN where only people know."""

    part: str
    item: str
    answer: str

    @property
    def is_open(self) -> bool:
        return self.answer == OPEN


def form(competition: Competition) -> list[Item]:
    """All items, part by part."""
    phases = list(competition.phases.select_related("labels").defer("labels__masks"))
    parts = {
        "Organisation": _organisation(competition, phases),
        "Mission": _mission(),
        "Data sets": _data(competition, phases),
        "Assessment": _assessment(phases),
    }
    return [Item(part, item, answer or OPEN) for part, items in parts.items() for item, answer in items]


def as_markdown(competition: Competition, items: Iterable[Item]) -> str:
    lines = [f"# {competition.name}: description in the shape of BIAS", ""]
    part = ""
    for item in items:
        if item.part != part:
            part = item.part
            lines += [f"## {part}", ""]
        gap = "\n" if item.answer.startswith("\n") else " "  # a list begins after an empty line
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
        "one event, followed by a phase without end for later submissions"
        if unending
        else "one event with a fixed end",
    )
    yield "Website", ""
    yield "Who may take part", _participation(competition)
    yield (
        "May the organisers take part",
        "They cannot be in a competing team. Their entries are shown as reference entries and are not ranked.",
    )
    yield "Awards", "".join(f"\n- {_prize(prize)}" for prize in competition.prizes.select_related("phase"))
    yield "Publication of the results", ""
    yield "How results are submitted", "".join(f"\n- {_quota(phase)}" for phase in phases)
    yield "Schedule", "".join(f"\n- {phase.name}: {_window(phase)}" for phase in phases)
    yield "Ethics and licence of the data", ""
    yield (
        "Code of the evaluation",
        f"The scorer (version {__version__}) is part of the server's code and runs offline: "
        "`python -m evaluation score ARCHIVE TRUTH`.",
    )
    yield "Code of the participants", ""
    yield "Conflicts of interest and funding", ""


def _prize(prize: Prize) -> str:
    whose = f"rank {prize.rank} of {prize.phase.name}" if prize.phase else "chosen by the committee"
    return (
        f"{prize.title}: {whose}{', among the eligible teams' if prize.phase else ''}. {prize.note}".strip()
    )


def _mission() -> Iterable[tuple[str, str]]:
    yield "Field of application", ""
    yield "Task", "binary segmentation: every pixel of a patch is of the class looked for or not"
    yield "What the algorithms are meant for (target cohort)", ""
    yield "What they are tested on (challenge cohort)", ""
    yield "Imaging method and context information", ""


def _data(competition: Competition, phases: list[Phase]) -> Iterable[tuple[str, str]]:
    yield "Source of the images", ""
    yield (
        "What one case is",
        "".join(f"\n- {phase.name}: {_case(phase)}" for phase in phases if phase.labels),
    )
    yield (
        "Number of cases",
        "".join(f"\n- {phase.name}: {_cases(phase)}" for phase in phases if phase.labels),
    )
    yield "How the labels were made, by whom, and how several annotators were brought together", ""
    yield "Pre-processing", ""
    yield "Sources of error in images and labels", competition.data_note
    yield (
        "Proof that the labels were fixed before",
        "".join(
            f"\n- {phase.name}, version {phase.labels.version}, loaded {_day(phase.labels.created_at)}: "
            f"commitment {phase.labels.commitment}"
            for phase in phases
            if phase.labels
        ),
    )
    yield (
        "Labels that are public",
        "; ".join(
            f"{phase.name}: since {phase.labels_public_since}"
            for phase in phases
            if phase.labels_public_since
        )
        or "none that the organisers know of",
    )


def _assessment(phases: list[Phase]) -> Iterable[tuple[str, str]]:
    yield (
        "Metric",
        "F1 of the positive class, 2 TP / (2 TP + FP + FN), of the pixels of all cases together; precision "
        "and recall beside it where the phase shows them",
    )
    yield "Why this metric", ""
    yield "Ranking", "".join(f"\n- {phase.name}: {phase.get_counts_display()} counts" for phase in phases)
    yield (
        "Ties",
        "F1 is compared as an exact fraction; equal F1 shares a rank, and the submission received first stands first.",
    )
    yield (
        "Missing results",
        "An archive with a missing or unreadable mask is refused whole, with every problem named; it takes nothing from "
        "the quota and is not ranked.",
    )
    yield (
        "Statistics",
        "95 % intervals by the delta method with Student's t, differences paired on the same cases, Holm's correction "
        "over all pairs, rank ranges from the same decisions, permutation tests for the first three, bootstrap of the "
        "ranks as a picture. Label noise is in no interval.",
    )
    yield "Numbers of the event", "".join(f"\n- {phase.name}: {_numbers(phase)}" for phase in phases)


def _participation(competition: Competition) -> str:
    said = ["Anyone with an account; a person is a member of at most one team."]
    if competition.max_team_size:
        said.append(f"A team has at most {competition.max_team_size} members.")
    if competition.roster_locks_at:
        said.append(f"Teams are fixed from {_day(competition.roster_locks_at)}.")
    return " ".join(said)


def _quota(phase: Phase) -> str:
    limits = (
        (phase.quota_total, "in all"),
        (phase.quota_per_day, "a UTC day"),
        (phase.quota_on_board, "on the board at a time"),
    )
    said = ", ".join(f"{limit} {words}" for limit, words in limits if limit is not None) or "no limit"
    taken_back = "may be withdrawn" if phase.allows_withdrawal else "cannot be withdrawn"
    shown = (
        "hidden until the end"
        if phase.hidden_until_close
        else f"shown: {phase.get_visible_metrics_display()}"
    )
    return f"{phase.name}: submissions of a team: {said}; they {taken_back}; scores {shown}"


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
