"""Bring a competition back from an export: all of it in one transaction, or nothing of it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import storages
from django.core.validators import validate_slug
from django.db import DataError, IntegrityError, models, transaction

from evaluation.archive.problems import InvalidArchive
from evaluation.sandbox.files import FileRefused
from evaluation.scoring import labels
from evaluation.task import MaskSpec
from evaluation.trust.site_files import SiteFileError, read_site_file
from leaderboard.models import (
    AuditEntry,
    Competition,
    Evaluation,
    Invitation,
    LabelSet,
    Picture,
    Prediction,
    Submission,
    Team,
    User,
)
from leaderboard.models.names import folded
from leaderboard.models.pictures import MOST_BYTES, media_type_of
from leaderboard.platform.bell import ring_on_commit
from leaderboard.scoring.tasks import work

from .package import ExportInvalid, OpenedPackage
from .tables import TABLES, USER_COLUMNS, Row, Table, decode

BATCH = 200
MALFORMED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    ValidationError,
    DataError,
    IntegrityError,
)
FORMER_NAMES = {"postponed": "put_off"}  # of columns, in exports of earlier versions


class CompetitionExists(Exception):
    """The server has a competition of this slug already."""


@dataclass
class Imported:
    """What came back: the competition, accounts that were made (inactive) and found, label sets without masks."""

    competition: Competition
    contents_sha256: str
    made: list[User] = field(default_factory=list)
    found: list[User] = field(default_factory=list)
    without_masks: int = 0

    def unverified(self) -> list[User]:
        """The accounts found of which nobody has shown that the address is theirs."""
        theirs = EmailAddress.objects.filter(
            user=models.OuterRef("pk"), email__iexact=models.OuterRef("email")
        )
        found = User.objects.filter(pk__in=[user.pk for user in self.found])
        return list(found.exclude(models.Exists(theirs.filter(verified=True))).order_by("username"))


@dataclass
class Rows:
    """Which row of this server each number of the export became."""

    of: dict[type[models.Model], dict[int, Any]] = field(default_factory=dict)

    def add(self, model: type[models.Model], number: int, pk: Any) -> None:
        self.of.setdefault(model, {})[number] = pk

    def find(self, model: Any, number: int | None) -> Any:
        if number is None:
            return None
        try:
            return self.of[model][number]
        except KeyError as error:
            raise ExportInvalid(
                f"The export names {model._meta.verbose_name} {number}, which it does not hold."
            ) from error


def import_competition(
    path: Path, *, slug: str = "", tell: Callable[[str], None] = lambda _: None
) -> Imported:
    """Read the export at ``path`` into this server, as ``slug`` where one is given.

    Every checksum is checked first; archives go to the storage before the transaction opens and are removed again if
    it fails. Raises ExportInvalid, CompetitionExists and OSError.
    """
    with OpenedPackage(path) as package:
        slug = slug or package.manifest["competition"]
        if Competition.objects.filter(slug=slug).exists():
            raise CompetitionExists(
                f"There is a competition {slug} on this server already. Give another slug with --slug."
            )
        check_slug(slug)
        tell(f"checksums of {len(package.manifest['files'])} files hold")
        stored: dict[int, str] = {}
        try:
            store_archives(package, slug, stored)
            tell(f"{len(stored)} archives stored")
            with transaction.atomic():
                imported = create_everything(package, slug, stored)
                ring_on_commit(work)
        except BaseException as error:
            for name in stored.values():
                storages["uploads"].delete(name)
            if isinstance(error, MALFORMED):
                raise ExportInvalid(f"A row of the export cannot be read: {type(error).__name__}.") from error
            raise
    return imported


def check_slug(slug: str) -> None:
    """A slug becomes part of addresses and of paths."""
    try:
        validate_slug(slug)
    except ValidationError as error:
        raise ExportInvalid(
            f"The export's slug {slug!r} cannot be used. Give another with --slug."
        ) from error


def store_archives(package: OpenedPackage, slug: str, stored: dict[int, str]) -> None:
    """Put each submission's archive into the storage of uploads; its name there goes into ``stored`` by the submission's
    number."""
    for line in package.lines("data/submissions.jsonl"):
        if line["archive"] is None:
            continue
        number, digest = line["number"], line["sha256"]
        if type(number) is not int or line["archive"] != f"archives/{digest}.zip":
            raise ExportInvalid(f"Submission {number} of the export does not name its archive.")
        with package.open(line["archive"]) as file:
            stored[number] = storages["uploads"].save(f"imported/{slug}/{number}-{digest}.zip", File(file))


def create_everything(package: OpenedPackage, slug: str, stored: dict[int, str]) -> Imported:
    """All rows, in the order of the tables, then the references to tables further down."""
    rows = Rows()
    made, found = create_users(package, rows)
    competition = create_competition(package, slug, rows)
    imported = Imported(competition, package.manifest["contents_sha256"], made, found)
    for table in TABLES:
        if table.model is AuditEntry:
            adopt_audit(package, table, competition, rows)
        else:
            imported.without_masks += create_rows(package, table, rows, stored)
    for table in TABLES:
        if table.later:
            set_later(package, table, rows)
    AuditEntry.objects.append(
        "competition imported", subject=slug, details={"contents_sha256": imported.contents_sha256}
    )
    return imported


def create_users(package: OpenedPackage, rows: Rows) -> tuple[list[User], list[User]]:
    """Accounts by their email address; who has none here gets one that is inactive and has no password."""
    made, found = [], []
    for line in package.lines("data/users.jsonl"):
        user = find_user(line)
        if user:
            found.append(user)
        else:
            values = {
                column.name: decode(column, line[column.name])
                for column in User._meta.concrete_fields
                if column.name in USER_COLUMNS
            }
            user = User(**values | {"username": free_username(line["username"])}, is_active=False)
            user.set_unusable_password()
            user.save(force_insert=True)
            made.append(user)
        rows.add(User, line["number"], user.pk)
    return made, found


def find_user(line: Row) -> User | None:
    """By address; by name only where neither has an address. A name alone proves nothing."""
    if line["email"]:
        return User.objects.filter(email__iexact=line["email"]).first()
    return User.objects.filter(username=line["username"], email="").first()


def free_username(wanted: str) -> str:
    name, number = wanted, 1
    while User.objects.filter(username=name).exists():
        number += 1
        name = f"{wanted[:140]}-{number}"
    return name


def create_competition(package: OpenedPackage, slug: str, rows: Rows) -> Competition:
    line = next(package.lines("data/competition.jsonl"))
    organisers = [rows.find(User, number) for number in line.pop("organisers")]
    values = {}
    for column in Competition._meta.concrete_fields:
        if not column.primary_key and column.name in line:
            values[column.name] = decode(column, line[column.name])
    competition = Competition.objects.create(**values | {"slug": slug})
    competition.organisers.set(organisers)
    rows.add(Competition, 1, competition.pk)
    return competition


def create_rows(package: OpenedPackage, table: Table, rows: Rows, stored: dict[int, str]) -> int:
    """The rows of one table, in batches; returns how many label sets came without their masks."""
    without_masks = 0
    batch: list[tuple[int, models.Model]] = []

    def flush() -> None:
        made = table.model._default_manager.bulk_create([row for _, row in batch])
        for (number, _), row in zip(batch, made, strict=True):
            rows.add(table.model, number, row.pk)
        batch.clear()

    for line in package.lines(table.file):
        row = table.model(**values_of(table, line, rows))
        if isinstance(row, Submission):
            row.archive.name = stored.get(line["number"], "")
        elif isinstance(row, Invitation):
            if Invitation.objects.filter(token_digest=row.token_digest).exists():
                row.token_digest = secrets.token_hex(32)  # the link opens the original, which is here too
        elif isinstance(row, Picture):
            check_picture(row)
        elif isinstance(row, Team):
            check_name(row, line["number"])
        elif isinstance(row, Prediction):
            row.masks = prediction_of(package, line["submission"], row)
        elif isinstance(row, LabelSet):
            row.masks = masks_of(package, line["number"], row)
            row.sites = sites_of(package, line["number"], row)
            without_masks += not row.masks
        batch.append((line["number"], row))
        if len(batch) >= BATCH:
            flush()
    flush()
    return without_masks


def check_name(team: Team, number: int) -> None:
    """The rule for names holds for imported teams too; the folded name is this server's."""
    try:
        team.clean_fields(exclude={field.name for field in team._meta.fields} - {"name"})
    except ValidationError as error:
        raise ExportInvalid(
            f"Team {number}: {' '.join(error.messages)} Rename it on the other server, and export again."
        ) from error
    team.folded_name = folded(team.name)


def check_picture(picture: Picture) -> None:
    """Its bytes say what it is served as, whatever the export says."""
    picture.media_type = media_type_of(bytes(picture.content)) or ""
    if not picture.media_type or len(picture.content) > MOST_BYTES:
        raise ExportInvalid(f"The picture {picture.name[:80]!r} of the export is none that pages show.")


def values_of(table: Table, line: Row, rows: Rows) -> Row:
    """The columns of one line as keyword arguments for the model."""
    values: Row = {}
    for column in table.columns():
        name = column.name if column.name in line else FORMER_NAMES.get(column.name, "")
        if column.name in table.later or isinstance(column, models.FileField) or name not in line:
            continue
        value = line[name]
        if column.remote_field:
            values[column.attname] = rows.find(column.related_model, value)
        else:
            values[column.name] = decode(column, value)
    return values


def spec_of(label_set: LabelSet) -> MaskSpec:
    return MaskSpec(label_set.patches, label_set.height, label_set.width)


def masks_of(package: OpenedPackage, number: int, label_set: LabelSet) -> bytes:
    """The hidden masks as they are stored, checked against the label set; empty where the export has none."""
    try:
        spec = spec_of(label_set)
        labels.check_bounds(spec)
        if not package.has(f"labels/{number}.zip"):
            return b""
        with package.open(f"labels/{number}.zip") as file:
            masks, _ = package.reader.labels(file, spec)
    except InvalidArchive as invalid:
        raise ExportInvalid(f"labels/{number}.zip cannot be read: {invalid}") from invalid
    if labels.sha256(masks, spec) != label_set.sha256:
        raise ExportInvalid(f"labels/{number}.zip does not hold the masks of its label set.")
    return labels.compress(masks)


def prediction_of(package: OpenedPackage, number: int, prediction: Prediction) -> bytes:
    """A submission's masks, read and stored once more: later scorings use them instead of the archive."""
    scored = (
        Evaluation.objects.filter(submission=prediction.submission_id).select_related("label_set").first()
    )
    if scored is None:
        raise ExportInvalid(f"predictions/{number}.bin belongs to a submission that was never evaluated.")
    spec = spec_of(scored.label_set)
    try:
        with package.open(f"predictions/{number}.bin") as file:
            masks = package.reader.stored_masks(file, spec)
    except (FileRefused, InvalidArchive) as refused:
        raise ExportInvalid(f"predictions/{number}.bin cannot be read: {refused}") from refused
    if labels.sha256(masks, spec) != prediction.sha256:
        raise ExportInvalid(f"predictions/{number}.bin does not hold the masks that its row names.")
    return labels.compress(masks)


def sites_of(package: OpenedPackage, number: int, label_set: LabelSet) -> list[str]:
    """The sites of the patches; none where the export has none."""
    if not package.has(f"labels/{number}.sites.csv"):
        return []
    try:
        with package.open(f"labels/{number}.sites.csv") as file:
            return list(read_site_file(file, label_set.patches))
    except SiteFileError as error:
        raise ExportInvalid(f"labels/{number}.sites.csv cannot be read: {error}") from error


def set_later(package: OpenedPackage, table: Table, rows: Rows) -> None:
    """References that could not be set when the row was made, e.g. a phase's labels in force."""
    columns = [table.model._meta.get_field(name) for name in table.later]
    changed = []
    for line in package.lines(f"data/{table.name}.later.jsonl"):
        row = table.model(pk=rows.find(table.model, line["number"]))
        for column in columns:
            setattr(row, f"{column.name}_id", rows.find(column.related_model, line[column.name]))
        changed.append(row)
    table.model._default_manager.bulk_update(changed, list(table.later), batch_size=BATCH)


def adopt_audit(package: OpenedPackage, table: Table, competition: Competition, rows: Rows) -> None:
    """The entries of the other server's log, behind the last of this one; each keeps its date and first digests."""
    for line in package.lines(table.file):
        values = values_of(table, line, rows)
        entry = AuditEntry(**values)
        if entry.compute_digest() != entry.digest:
            raise ExportInvalid(f"Entry {line['number']} of the audit log does not match its digest.")
        AuditEntry.objects.adopt(entry)
