"""A competition is a file: read it, check it whole, show what would change, change it.

The format is documented in docs/competition-file.md; the presets lie in leaderboard/presets/.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models, transaction

from evaluation.scoring.counts import sha256
from evaluation.task import MaskSpec
from evaluation.trust.site_files import SiteFileError, read_sites
from leaderboard.models import (
    AuditEntry,
    Competition,
    DataFile,
    Page,
    Phase,
    Prize,
    PublishedEntry,
    QuickLook,
    User,
)

from . import data_files
from .board_updates import phase_changed
from .calendars import dated
from .judging import keep_images, load_labels, name_sites
from .organiser_files import FileInvalid, images_of, labels_of
from .organisers import appoint, check_may_organise, in_turn
from .refusals import Refusal

PRESETS = Path(__file__).resolve().parent.parent / "presets"

FILE_KEYS = ("starts_at", "organisers", "competition", "pages", "phases", "awards", "data", "folder")
COMPETITION_KEYS = (
    "slug",
    "name",
    "summary",
    "is_published",
    "data_note",
    "max_team_size",
    "roster_locks_at",
    "roster_reopens_at",
    "mergers_until",
    "descriptions_due_at",
    "approval_needed_from",
    "takes_questions",
)
PAGE_KEYS = ("slug", "title", "body")
PHASE_KEYS = (
    "slug", "name", "summary", "opens_at", "closes_at", "grace_minutes", "labels_public_since",
    "quota_total", "quota_per_day", "quota_on_board", "allows_withdrawal",
    "visible_metrics", "counts", "selected_limit", "hidden_until_close", "freezes_at", "ladder_step", "ladder_start",
    "gallery", "feedback",
)  # fmt: skip
PUBLISHED_KEYS = ("name", "method", "award", "precision", "recall", "f1", "source")
LABEL_KEYS = ("path", "note", "sites", "images")
DATA_KEYS = ("name", "note", "url")
AWARD_KEYS = ("title", "rank", "note")


class CompetitionFileInvalid(Refusal):
    """Everything that is wrong with a competition file, one line each."""

    code = "competition_file_invalid"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems), problems=problems)
        self.problems = problems


@dataclass
class Plan:
    """What applying a file would change: ``lines`` for people; the rest is what ``apply`` works through."""

    competition: Competition
    lines: list[str] = field(default_factory=list)
    saves: list[models.Model] = field(default_factory=list)
    removals: list[models.Model] = field(default_factory=list)
    organisers: list[User] = field(default_factory=list)
    labels: list["NewLabels"] = field(default_factory=list)
    files: list[tuple[DataFile, Path]] = field(default_factory=list)


@dataclass
class NewLabels:
    """What of a phase's hidden data is to be loaded; None: what is there stays."""

    phase: Phase
    spec: MaskSpec
    note: str
    masks: Any = None
    sites: Sequence[str] | None = None
    images: Mapping[str, Sequence[bytes]] | None = None

    def load(self, user: User | None) -> None:
        if self.masks is not None:
            load_labels(user, self.phase, self.masks, self.spec, self.note, sites=self.sites)
        elif self.sites is not None:
            assert self.phase.labels is not None
            name_sites(user, self.phase.labels, self.sites, self.note or "competition file")
        if self.images is not None:
            keep_images(user, self.phase, self.images)


def presets() -> list[str]:
    """The names of the files that come with the server."""
    return sorted(preset.stem for preset in PRESETS.glob("*.toml"))


def read_file(path: Path) -> dict[str, Any]:
    """The file as a dict. A bare name is a preset. Raises CompetitionFileInvalid when there is none or no TOML in it."""
    if not path.exists() and path.suffix == "" and (PRESETS / f"{path}.toml").exists():
        path = PRESETS / f"{path}.toml"
    try:
        with path.open("rb") as file:
            return {**tomllib.load(file), "folder": path.parent}
    except OSError as error:
        raise CompetitionFileInvalid(
            [
                f"{path} cannot be read ({error.strerror}). Name a TOML file or a preset: {', '.join(presets())}."
            ]
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise CompetitionFileInvalid([f"{path} is not valid TOML: {error}."]) from error


def plan(document: dict[str, Any]) -> Plan:
    """Check the whole document and compare it with the database. Raises CompetitionFileInvalid with every problem."""
    checker = _Checker(document.get("folder", Path()))
    document, checker.problems = dated(document)
    checker.known_keys("the file", document, FILE_KEYS)
    head = document.get("competition", {})
    competition = Competition.objects.filter(slug=head.get("slug")).first() or Competition()
    result = Plan(competition)
    checker.fill(result, competition, "competition", head, COMPETITION_KEYS, exclude=())
    result.organisers = checker.organisers(competition, document.get("organisers", []))
    _plan_pages(checker, result, document.get("pages", []))
    _plan_phases(checker, result, document.get("phases", []))
    _plan_awards(checker, result, document.get("awards", []))
    _plan_data(checker, result, document.get("data", []))
    if checker.problems:
        raise CompetitionFileInvalid(checker.problems)
    return result


def apply(planned: Plan, user: User | None = None) -> Competition:
    """Carry out a plan in one transaction, and log it."""
    competition = planned.competition
    with transaction.atomic():
        if competition.pk:
            in_turn(competition)
        for row in planned.removals:
            row.delete()
        for row in planned.saves:
            save(row)
        for row, path in planned.files:
            data_files.store(row, path)
        for person in planned.organisers:
            appoint(competition, person)
        for new in planned.labels:
            new.load(user)
        AuditEntry.objects.append(
            "competition file applied",
            competition=competition,
            actor=user,
            subject=str(competition),
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


def _plan_pages(checker: "_Checker", result: Plan, tables: list[dict[str, Any]]) -> None:
    known = {page.slug: page for page in Page.objects.filter(competition=result.competition.pk)}
    for position, table in enumerate(tables):
        page = known.pop(table.get("slug", ""), None) or Page()
        page.competition, page.position = result.competition, position
        checker.fill(result, page, f"pages[{position + 1}]", table, PAGE_KEYS, exclude=("competition",))
    for page in known.values():
        result.lines.append(f"page {page.slug}: removed")
        result.removals.append(page)


def _plan_phases(checker: "_Checker", result: Plan, tables: list[dict[str, Any]]) -> None:
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
    checker: "_Checker", result: Plan, phase: Phase, where: str, tables: list[dict[str, Any]]
) -> None:
    known = {entry.name: entry for entry in PublishedEntry.objects.filter(phase=phase.pk)}
    for number, table in enumerate(tables, start=1):
        entry = known.pop(table.get("name", ""), None) or PublishedEntry()
        entry.phase = phase
        checker.fill(result, entry, f"{where}.published[{number}]", table, PUBLISHED_KEYS, exclude=("phase",))
    for entry in known.values():
        result.lines.append(f"published entry {entry.name}: removed")
        result.removals.append(entry)


def _plan_awards(checker: "_Checker", result: Plan, tables: list[dict[str, Any]]) -> None:
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


def _plan_data(checker: "_Checker", result: Plan, tables: list[dict[str, Any]]) -> None:
    """Public data: each table names a file (``path``) or a link (``url``), and perhaps the phase that releases it."""
    known = {row.name: row for row in DataFile.objects.filter(competition=result.competition.pk)}
    phases = {row.slug: row for row in result.saves if isinstance(row, Phase)}
    for position, table in enumerate(tables):
        where, slug = f"data[{position + 1}]", table.get("phase")
        row = known.pop(table.get("name", ""), None) or DataFile()
        before = row.phase and row.phase.slug
        row.competition, row.position, row.phase = result.competition, position, phases.get(slug or "")
        own = {key: value for key, value in table.items() if key not in ("phase", "path")}
        checker.fill(result, row, where, own, DATA_KEYS, exclude=("competition", "phase", "file", "url"))
        if slug is not None and row.phase is None:
            checker.problems.append(f"{where}: phase: {slug!r} is not a phase of this file.")
        elif row.pk and before != slug:
            result.lines.append(f"data file {row.name}: phase: {before} → {slug}")
        if ("path" in table) == bool(row.url):
            checker.problems.append(f"{where}: name either a path or a url.")
        elif "path" in table:
            checker.data(result, row, where, checker.folder / str(table["path"]))
        elif row.file:
            row.file, row.size, row.sha256 = None, None, ""
    for row in known.values():
        result.lines.append(f"data file {row.name}: removed")
        result.removals.append(row)


class _Checker:
    """Collects every problem of a document, each named by its place in the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def known_keys(self, where: str, table: dict[str, Any], keys: Iterable[str]) -> None:
        keys = tuple(keys)
        for key in table:
            if key not in keys:
                close = difflib.get_close_matches(key, keys, 1)
                hint = f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(keys)}."
                self.problems.append(f"{where}: {key} is not a key of this table. {hint}")

    def fill(
        self,
        result: Plan,
        row: models.Model,
        where: str,
        table: dict[str, Any],
        keys: tuple[str, ...],
        *,
        exclude: tuple[str, ...],
    ) -> None:
        """Put a table's values into a row, check the row's fields, and note what would change."""
        self.known_keys(where, table, keys)
        is_new = row._state.adding
        changes = []
        for key in keys:
            model_field: Any = row._meta.get_field(key)
            before = getattr(row, key)
            value = self._value(where, model_field, table[key]) if key in table else model_field.get_default()
            setattr(row, key, value)
            if not is_new and value != before:
                changes.append(f"{key}: {_short(before)} → {_short(value)}")
        for check in (row.clean_fields, row.validate_constraints):
            try:
                check(exclude=exclude)
            except ValidationError as error:
                for key, messages in error.message_dict.items():
                    field_name = "" if key == NON_FIELD_ERRORS else f"{key}: "
                    self.problems.append(f"{where}: {field_name}{' '.join(messages)}")
        known_as = next((getattr(row, key) for key in ("slug", "name", "title") if hasattr(row, key)), "")
        name = f"{row._meta.verbose_name} {known_as}"
        if is_new:
            result.lines.append(f"{name}: new")
        elif changes:
            result.lines.append(f"{name}: {'; '.join(changes)}")
        result.saves.append(row)

    def _value(self, where: str, model_field: Any, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is None:
            self.problems.append(
                f"{where}: {model_field.name}: write the time zone too, e.g. 2022-06-15T00:00:00Z."
            )
            return None
        try:
            return model_field.to_python(str(value) if isinstance(value, float) else value)
        except ValidationError as error:
            self.problems.append(f"{where}: {model_field.name}: {' '.join(error.messages)}")
            return model_field.get_default()

    def organisers(self, competition: Competition, names: list[str]) -> list[User]:
        found = {user.username: user for user in User.objects.filter(username__in=names)}
        for name in names:
            if name not in found:
                self.problems.append(f"organisers: there is no user {name!r}. Create it first.")
        for person in found.values() if competition.pk else ():
            try:
                check_may_organise(person, competition)
            except Refusal as refusal:
                self.problems.append(f"organisers: {refusal}")
        return list(found.values())

    def data(self, result: Plan, row: DataFile, where: str, path: Path) -> None:
        """Store the file at the path, unless these very bytes are stored."""
        try:
            data_files.file_name(row.name)
            digest = data_files.digest_of(path)
        except ValidationError as error:
            self.problems.append(f"{where}: name: {' '.join(error.messages)}")
        except OSError as error:
            self.problems.append(f"{where}: {path} cannot be read ({error.strerror}).")
        else:
            if digest != row.sha256 or not row.file:
                result.lines.append(f"data file {row.name}: {path.stat().st_size:,} bytes, SHA-256 {digest}")
                row.size, row.sha256 = path.stat().st_size, digest
                result.saves.remove(row)
                result.files.append((row, path))

    def labels(self, result: Plan, phase: Phase, where: str, table: dict[str, Any]) -> None:
        """Load the masks, sites and images that the file names; noted only where they differ from what is there."""
        self.known_keys(where, table, LABEL_KEYS)
        path = self.folder / str(table.get("path", ""))
        try:
            masks, spec = labels_of(path)
        except FileInvalid as error:
            self.problems += [f"{where}: {path}: {problem}" for problem in error.problems]
            return
        except OSError as error:
            self.problems.append(f"{where}: {path} cannot be read ({error.strerror}).")
            return
        new = NewLabels(phase, spec, str(table.get("note", "")))
        changes = []
        digest = sha256(masks, spec)
        if phase.labels is None or phase.labels.sha256 != digest:
            # No digest: the lines go into the public log, and without the salt it would confirm a guess.
            changes.append("labels")
            new.masks = masks
        sites = self._sites(where, table, spec) if "sites" in table else None
        if sites is not None and (phase.labels is None or list(sites) != phase.labels.sites):
            changes.append("sites")
            new.sites = sites
        images = self._images(where, table, spec) if "images" in table else None
        if images is not None and images != _kept_images(phase):
            changes.append("images")
            new.images = images
        if changes:
            result.lines.append(f"phase {phase.slug}: new {', '.join(changes)} of {spec.patches} patches")
            result.labels.append(new)

    def _sites(self, where: str, table: dict[str, Any], spec: MaskSpec) -> Sequence[str] | None:
        path = self.folder / str(table["sites"])
        try:
            return read_sites(path.read_text(encoding="utf-8-sig"), spec.patches)
        except SiteFileError as error:
            self.problems += [f"{where}.sites: {path}: {problem}" for problem in error.problems]
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{where}.sites: {path} cannot be read ({error}).")
        return None

    def _images(self, where: str, table: dict[str, Any], spec: MaskSpec) -> dict[str, list[bytes]] | None:
        path = self.folder / str(table["images"])
        try:
            return images_of(path, spec)
        except (FileInvalid, OSError) as error:
            self.problems.append(f"{where}.images: {error}")
        return None


def _kept_images(phase: Phase) -> dict[str, list[bytes]]:
    kept: dict[str, list[bytes]] = {}
    for look in QuickLook.objects.filter(phase=phase.pk):
        kept.setdefault(look.kind, []).append(bytes(look.png))
    return kept


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
