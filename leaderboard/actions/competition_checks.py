"""What a competition file is checked for, table by table, and the plan that comes of it."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models

from evaluation.scoring.counts import sha256
from evaluation.task import MaskSpec
from evaluation.trust.site_files import SiteFileError, read_site_file
from leaderboard.models import Competition, DataFile, Phase, QuickLook, User

from . import data_files
from .judging import keep_images, load_labels, name_sites
from .organiser_files import FileInvalid, images_of, labels_of
from .organisers import check_may_organise
from .refusals import Refusal

LABEL_KEYS = ("path", "note", "sites", "images")


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
    terms: str = ""


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


class Checker:
    """Collects every problem of a document, each named by its place in the file."""

    def __init__(self, folder: Path, *, is_confined: bool) -> None:
        self.folder, self.is_confined = folder, is_confined
        self.problems: list[str] = []

    def path(self, where: str, name: Any) -> Path | None:
        """The path that a file names, from the file's folder; None, with a problem, where it may not name it."""
        path = self.folder / str(name)
        if not self.is_confined:
            return path
        if self.folder != Path() and path.resolve().is_relative_to(self.folder.resolve()):
            return path
        hint = "names a file outside the ZIP" if self.folder != Path() else "needs a ZIP with that file in it"
        self.problems.append(f"{where}: {name} {hint}. Put it into the ZIP, beside the TOML file.")
        return None

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
            if not is_new and not same(value, before):
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

    def data(self, result: Plan, row: DataFile, where: str, name: str) -> None:
        """Store the file of that name, unless these very bytes are stored."""
        path = self.path(where, name)
        if path is None:
            return
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
        path = self.path(where, table.get("path", ""))
        if path is None:
            return
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
        path = self.path(f"{where}.sites", table["sites"])
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                return read_site_file(file, spec.patches)
        except SiteFileError as error:
            self.problems += [f"{where}.sites: {path}: {problem}" for problem in error.problems]
        except OSError as error:
            self.problems.append(f"{where}.sites: {path} cannot be read ({error}).")
        return None

    def _images(self, where: str, table: dict[str, Any], spec: MaskSpec) -> dict[str, list[bytes]] | None:
        path = self.path(f"{where}.images", table["images"])
        if path is None:
            return None
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


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; browsers send lines that end in CR LF."""
    if isinstance(one, str) and isinstance(other, str):
        return one.replace("\r\n", "\n") == other.replace("\r\n", "\n")
    return bool(one == other)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
