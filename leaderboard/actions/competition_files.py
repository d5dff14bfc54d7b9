"""A competition is a file: read it, check it whole, show what would change, change it.

The format is documented in docs/competition-file.md; the presets lie in leaderboard/presets/.
"""

import tomllib
from pathlib import Path
from typing import Any

from django.db import models, transaction

from evaluation.sandbox import bounds
from leaderboard.models import (
    AuditEntry,
    Competition,
    DataFile,
    Page,
    Phase,
    Prize,
    PublishedEntry,
    Terms,
)

from . import data_files
from .board_updates import phase_changed
from .calendars import dated
from .competition_checks import Checker, CompetitionFileInvalid, Plan, same
from .organiser_files import FileInvalid, document_of
from .organisers import appoint, in_turn
from .participation import publish_terms
from .refusals import NotAllowed, check_organiser

PRESETS = Path(__file__).resolve().parent.parent / "presets"

FILE_KEYS = (
    "starts_at", "terms", "organisers", "competition", "pages", "phases", "awards", "data", "folder", "is_confined",
)  # fmt: skip
COMPETITION_KEYS = (
    "slug",
    "name",
    "summary",
    "is_published",
    "logo",
    "data_note",
    "max_team_size",
    "roster_locks_at",
    "roster_reopens_at",
    "mergers_until",
    "descriptions_due_at",
    "approval_needed_from",
    "takes_questions",
)
KEPT = ("is_published", "logo")
"""What stays as it is where the file does not say: publishing is an act of its own, and pictures stay on the server."""

PAGE_KEYS = ("slug", "title", "body")
PHASE_KEYS = (
    "slug", "name", "summary", "opens_at", "closes_at", "grace_minutes", "labels_public_since",
    "quota_total", "quota_per_day", "quota_on_board", "allows_withdrawal",
    "visible_metrics", "counts", "selected_limit", "hidden_until_close", "freezes_at", "ladder_step", "ladder_start",
    "gallery", "feedback",
)  # fmt: skip
PUBLISHED_KEYS = ("name", "method", "award", "precision", "recall", "f1", "source")
DATA_KEYS = ("name", "note", "url")
AWARD_KEYS = ("title", "rank", "note")


def presets() -> list[str]:
    """The names of the files that come with the server."""
    return sorted(preset.stem for preset in PRESETS.glob("*.toml"))


def read_file(path: Path) -> dict[str, Any]:
    """The file as a dict. A bare name is a preset. Raises CompetitionFileInvalid when there is none or no TOML in it."""
    if not path.exists() and path.suffix == "" and (PRESETS / f"{path}.toml").exists():
        path = PRESETS / f"{path}.toml"
    try:
        with path.open("rb") as file:
            content = file.read(bounds.TEXT_BYTES + 1)
        ours = path.parent == PRESETS
        document = tomllib.loads(content.decode()) if ours else document_of(content)
        return {**document, "folder": path.parent}
    except OSError as error:
        raise CompetitionFileInvalid(
            [
                f"{path} cannot be read ({error.strerror}). Name a TOML file or a preset: {', '.join(presets())}."
            ]
        ) from error
    except FileInvalid as error:
        raise CompetitionFileInvalid([f"{path}: {problem}" for problem in error.problems]) from error


def plan(document: dict[str, Any]) -> Plan:
    """Check the whole document and compare it with the database. Raises CompetitionFileInvalid with every problem."""
    checker = Checker(document.get("folder", Path()), is_confined=document.get("is_confined", False))
    document, checker.problems = dated(document)
    checker.known_keys("the file", document, FILE_KEYS)
    head = document.get("competition", {})
    competition = Competition.objects.filter(slug=head.get("slug")).first() or Competition()
    if competition.pk:
        head = {**{key: getattr(competition, key) for key in KEPT}, **head}
    result = Plan(competition)
    checker.fill(result, competition, "competition", head, COMPETITION_KEYS, exclude=())
    result.organisers = checker.organisers(competition, document.get("organisers", []))
    _plan_terms(checker, result, document.get("terms", ""))
    _plan_pages(checker, result, document.get("pages", []))
    _plan_phases(checker, result, document.get("phases", []))
    _plan_awards(checker, result, document.get("awards", []))
    _plan_data(checker, result, document.get("data", []))
    if checker.problems:
        raise CompetitionFileInvalid(checker.problems)
    return result


def apply(planned: Plan, user: Any = None, reason: str = "") -> Competition:
    """Carry out a plan in one transaction, and log it.

    Raises NotAllowed for who does not organise the competition; new ones are made by administrators and by the console.
    """
    competition = planned.competition
    if user is not None and not competition.pk and not user.is_superuser:
        raise NotAllowed("Only administrators of the server create competitions.")
    if competition.pk:
        check_organiser(user, competition)
    with transaction.atomic():
        if competition.pk:
            in_turn(competition)
        for row in planned.removals:
            row.delete()
        for row in planned.saves:
            save(row)
        for row, path in planned.files:
            data_files.store(row, path)
        if planned.terms:
            publish_terms(user, competition, planned.terms)
        for person in planned.organisers:
            appoint(competition, person)
        for new in planned.labels:
            new.load(user)
        AuditEntry.objects.append(
            "competition file applied",
            competition=competition,
            actor=user,
            subject=str(competition),
            reason=reason.strip(),
            details={"changes": planned.lines},
            public=True,
        )
    return competition


def save(row: models.Model) -> None:
    """Save a row of the file. Of a phase only what the file holds, then its boards are made true again: meanwhile
    the server may have counted its board on and put other labels in force."""
    if not isinstance(row, Phase) or row._state.adding:
        row.save()
    else:
        row.save(update_fields=[*PHASE_KEYS, "position"])
        phase_changed(row, PHASE_KEYS)


def _plan_terms(checker: Checker, result: Plan, text: Any) -> None:
    if not isinstance(text, str):
        checker.problems.append("terms: write a text between quotes.")
        return
    before = Terms.objects.in_force(result.competition) if result.competition.pk else None
    if text.strip() and (before is None or not same(before.body.strip(), text.strip())):
        result.terms = text.strip()
        result.lines.append(
            f"terms: version {before.version + 1 if before else 1}, which everybody must accept"
        )


def _plan_pages(checker: Checker, result: Plan, tables: list[dict[str, Any]]) -> None:
    known = {page.slug: page for page in Page.objects.filter(competition=result.competition.pk)}
    for position, table in enumerate(tables):
        page = known.pop(table.get("slug", ""), None) or Page()
        page.competition, page.position = result.competition, position
        checker.fill(result, page, f"pages[{position + 1}]", table, PAGE_KEYS, exclude=("competition",))
    for page in known.values():
        result.lines.append(f"page {page.slug}: removed")
        result.removals.append(page)


def _plan_phases(checker: Checker, result: Plan, tables: list[dict[str, Any]]) -> None:
    if not tables:
        checker.problems.append("phases: a competition needs at least one [[phases]] table.")
    known = {phase.slug: phase for phase in Phase.objects.filter(competition=result.competition.pk)}
    for position, table in enumerate(tables):
        where = f"phases[{position + 1}]"
        phase = known.pop(table.get("slug", ""), None) or Phase()
        phase.competition, phase.position = result.competition, position
        own = {key: value for key, value in table.items() if key not in ("published", "labels")}
        checker.fill(result, phase, where, own, PHASE_KEYS, exclude=("competition", "labels"))
        _plan_published(checker, result, phase, where, table.get("published", []))
        if "labels" in table:
            checker.labels(result, phase, f"{where}.labels", table["labels"])
    for phase in known.values():
        if phase.submissions.exists():
            checker.problems.append(
                f"phases: {phase.slug} is not in the file but has submissions; it cannot be removed."
            )
        else:
            result.lines.append(f"phase {phase.slug}: removed")
            result.removals.append(phase)


def _plan_published(
    checker: Checker, result: Plan, phase: Phase, where: str, tables: list[dict[str, Any]]
) -> None:
    known = {entry.name: entry for entry in PublishedEntry.objects.filter(phase=phase.pk)}
    for number, table in enumerate(tables, start=1):
        entry = known.pop(table.get("name", ""), None) or PublishedEntry()
        entry.phase = phase
        checker.fill(result, entry, f"{where}.published[{number}]", table, PUBLISHED_KEYS, exclude=("phase",))
    for entry in known.values():
        result.lines.append(f"published entry {entry.name}: removed")
        result.removals.append(entry)


def _plan_awards(checker: Checker, result: Plan, tables: list[dict[str, Any]]) -> None:
    known = {prize.title: prize for prize in Prize.objects.filter(competition=result.competition.pk)}
    phases = {row.slug: row for row in result.saves if isinstance(row, Phase)}
    titles = [table.get("title") for table in tables]
    for position, table in enumerate(tables):
        where, slug = f"awards[{position + 1}]", table.get("phase")
        prize = known.pop(table.get("title", ""), None) or Prize()
        before = prize.phase and prize.phase.slug
        prize.competition, prize.position, prize.phase = result.competition, position, phases.get(slug or "")
        own = {key: value for key, value in table.items() if key != "phase"}
        checker.fill(result, prize, where, own, AWARD_KEYS, exclude=("competition", "phase"))
        if slug is not None and prize.phase is None:
            checker.problems.append(f"{where}: phase: {slug!r} is not a phase of this file.")
        if (slug is None) != (prize.rank is None):
            checker.problems.append(
                f"{where}: name both phase and rank, or neither: the committee chooses then."
            )
        if titles.count(prize.title) > 1:
            checker.problems.append(f"{where}: title: {prize.title!r} is there twice.")
        if prize.pk and before != slug:
            result.lines.append(f"prize {prize.title}: phase: {before} → {slug}")
    for prize in known.values():
        result.lines.append(f"prize {prize.title}: removed")
        result.removals.append(prize)


def _plan_data(checker: Checker, result: Plan, tables: list[dict[str, Any]]) -> None:
    """Public data: each table names a file (``path``) or a link (``url``), and perhaps the phase that releases it."""
    known = {row.name: row for row in DataFile.objects.filter(competition=result.competition.pk)}
    phases = {row.slug: row for row in result.saves if isinstance(row, Phase)}
    for position, table in enumerate(tables):
        where, slug = f"data[{position + 1}]", table.get("phase")
        row = known.pop(table.get("name", ""), None) or DataFile()
        before = row.phase and row.phase.slug
        row.competition, row.position, row.phase = result.competition, position, phases.get(slug or "")
        own = {key: value for key, value in table.items() if key not in ("phase", "path", "sha256")}
        checker.fill(result, row, where, own, DATA_KEYS, exclude=("competition", "phase", "file", "url"))
        if slug is not None and row.phase is None:
            checker.problems.append(f"{where}: phase: {slug!r} is not a phase of this file.")
        elif row.pk and before != slug:
            result.lines.append(f"data file {row.name}: phase: {before} → {slug}")
        if "sha256" in table and not row.url and "path" not in table:
            if not row.file or row.sha256 != table["sha256"]:
                checker.problems.append(
                    f"{where}: no file with this SHA-256 is stored here. Name its path or a url."
                )
        elif ("path" in table) == bool(row.url):
            checker.problems.append(f"{where}: name either a path or a url.")
        elif "path" in table:
            checker.data(result, row, where, str(table["path"]))
        elif row.file:
            row.file, row.size, row.sha256 = None, None, ""
    for row in known.values():
        result.lines.append(f"data file {row.name}: removed")
        result.removals.append(row)
