"""A competition leaves in one file and comes back identical, on SQLite and on PostgreSQL alike."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone

from evaluation.scoring import labels
from evaluation.scoring.counts import Counts, pack
from leaderboard.actions import awards, bulk, descriptions, judging, rosters
from leaderboard.actions.teams import invite
from leaderboard.export import read, tables, write
from leaderboard.export.package import ExportInvalid, OpenedPackage
from leaderboard.models import (
    Announcement,
    Attempt,
    AuditEntry,
    Competition,
    Evaluation,
    Extension,
    Invitation,
    JuryVote,
    LabelReport,
    LabelSet,
    Page,
    Phase,
    PhaseReport,
    Picture,
    Prize,
    PublishedEntry,
    Question,
    Review,
    Role,
    Standing,
    Submission,
    Team,
    Terms,
    TermsAcceptance,
    User,
)
from leaderboard.reporting.boards import board_of
from tests.conftest import ROOT
from tests.leaderboard.factories import (
    TINY,
    Cast,
    make_competition,
    make_labels,
    make_masks,
    make_phase,
    make_submission,
    make_team,
    make_user,
    take,
)
from tests.memory import memory


@pytest.fixture
def rich(cast: Cast) -> Cast:
    """A competition with a row of everything, in every state."""
    now = timezone.now()
    Page.objects.create(
        competition=cast.competition, slug="rules", title="Rules", body="# Be *kind*\n<script>x</script>"
    )
    PublishedEntry.objects.create(
        phase=cast.phase, name="Kingdrone", f1="80.41", precision="81.00", source="the paper"
    )
    frozen = make_phase(
        cast.competition, "test", quota_total=10, visible_metrics="f1", closes_at=now + timedelta(days=9),
        freezes_at=now - timedelta(hours=1), position=1, labels_public_since=now.date(),
    )  # fmt: skip
    make_phase(
        cast.competition,
        "future",
        labels=False,
        position=2,
        hidden_until_close=True,
        opens_at=now + timedelta(9),
    )
    own = make_team(cast.competition, "Organisers", is_organisers=True)
    merged = make_team(cast.competition, "Gone")
    Team.objects.filter(pk=merged.pk).update(merged_into=cast.team)
    invite(cast.owner, cast.team, "new@example.org")
    rosters.ask_to_join(cast.stranger, cast.team, "please")
    rosters.propose_merger(cast.owner, cast.team, cast.other_team)
    pdf = ContentFile(b"%PDF-1.7 \x00\xff", name="method.pdf")
    descriptions.accept_description(
        cast.organiser, descriptions.hand_in_description(cast.owner, cast.team, pdf), "clear"
    )
    Prize.objects.create(competition=cast.competition, title="1st place", phase=cast.phase, rank=1)
    awards.give_award(cast.organiser, cast.competition, cast.team, "1st place")
    submit(
        cast.team, cast.phase, (80, 20, 20), method="Ünet, “quoted”", description="two\nlines", by=cast.owner
    )
    submit(cast.team, cast.phase, (70, 20, 20), withdrawn_at=now)
    submit(cast.other_team, cast.phase, (60, 40, 40), selected=True)
    submit(cast.other_team, frozen, (50, 1, 2), received_at=now - timedelta(hours=2), idempotency_key="abc")
    submit(own, cast.phase, (90, 1, 1), reference=True)
    submit(cast.team, cast.phase, state="invalid")
    submit(cast.team, cast.phase, state="failed")
    submit(cast.team, cast.phase, state="queued")
    take(submit(cast.other_team, cast.phase, state="queued"))
    bad = submit(merged, cast.phase, (99, 0, 0))
    bulk.disqualify(cast.organiser, bad, "labels by hand")
    LabelReport.objects.create(phase=cast.phase, team=cast.team, patch=2, text="a river", decided_at=now)
    PhaseReport.objects.create(
        phase=cast.phase,
        label_set=cast.phase.labels,
        requested_by=cast.organiser,
        built_at=now,
        content={"p": [0.5, 1e-7]},
    )
    judging.name_sites(
        cast.organiser, make_labels(cast.phase, make_masks(seed=4)), ["Hidden valley"] * 3, "surveyed"
    )
    Extension.objects.create(team=cast.team, phase=cast.phase, quota_total=50, reason="ill")
    Announcement.objects.create(
        competition=cast.competition, title="New dates", body="Later.", author=cast.organiser
    )
    juror = make_user("juror")
    Role.objects.create(competition=cast.competition, user=juror, kind="jury", granted_by=cast.organiser)
    special = Prize.objects.create(competition=cast.competition, title="Special")
    JuryVote.objects.create(prize=special, juror=juror, team=cast.team, reason="New.")
    Picture.objects.create(
        competition=cast.competition,
        name="a.png",
        media_type="image/png",
        content=b"\x89PNG\r\n\x1a\n",
        sha256="0" * 64,
    )
    terms = Terms.objects.create(
        competition=cast.competition, version=1, body="Be fair.", published_by=cast.organiser
    )
    TermsAcceptance.objects.create(terms=terms, user=cast.owner)
    Question.objects.create(
        competition=cast.competition,
        asked_by=cast.owner,
        title="Dates",
        body="When?",
        answer="Soon.",
        answered_at=now,
        answered_by=cast.organiser,
        is_public=True,
    )
    Review.objects.create(
        phase=cast.phase, kind="same_masks", team=cast.team, other=cast.other_team, evidence={"masks": 1}
    )
    judging.keep_images(cast.organiser, cast.phase, {"true": [b"\x89PNG", b"", b"\xff"]})
    bulk.rescore(cast.organiser, Submission.objects.filter(pk=bad.pk), "new labels")
    return cast


def submit(
    team: Team, phase: Phase, counts: tuple[int, int, int] = (1, 1, 1), **fields: object
) -> Submission:
    """As ``make_submission``, with an archive of its own whose SHA-256 is true."""
    content = f"archive {Submission.objects.count()}".encode()
    made = make_submission(team, phase, counts, content=content, **fields)
    Submission.objects.filter(pk=made.pk).update(sha256=hashlib.sha256(content).hexdigest())
    return made


def forget(competition: Competition) -> None:
    """Make this the other server: nothing of the competition or its people is left, and numbers have moved on."""
    Phase.objects.filter(competition=competition).update(labels=None)
    PhaseReport.objects.filter(phase__competition=competition).delete()
    Evaluation.objects.filter(submission__phase__competition=competition).delete()
    competition.delete()
    AuditEntry.objects.all().delete()
    User.objects.all().delete()
    other = make_competition("another")
    make_submission(make_team(other), make_phase(other))
    AuditEntry.objects.append("made", competition=other)


def round_trip(cast: Cast, folder: Path, *, with_labels: bool = True) -> tuple[Path, Path, read.Imported]:
    first, second = folder / "first.zip", folder / "second.zip"
    write.export_competition(cast.competition, first, with_labels=with_labels)
    forget(cast.competition)
    imported = read.import_competition(first)
    write.export_competition(imported.competition, second, with_labels=with_labels)
    return first, second, imported


def files(path: Path) -> dict[str, dict]:
    with OpenedPackage(path) as package:
        return package.manifest["files"]


@pytest.mark.parametrize("with_labels", [True, False], ids=["with labels", "without labels"])
def test_export_import_export_gives_the_same_contents(rich: Cast, tmp_path: Path, with_labels: bool) -> None:
    first, second, imported = round_trip(rich, tmp_path, with_labels=with_labels)
    assert files(first) == files(second)
    with OpenedPackage(first) as a, OpenedPackage(second) as b:
        assert a.manifest["contents_sha256"] == b.manifest["contents_sha256"] == imported.contents_sha256
        assert a.manifest["rows"] == b.manifest["rows"]
        assert min(a.manifest["rows"].values()) > 0, "the test holds a row of everything"
    for label_set in LabelSet.objects.filter(phase__competition=imported.competition, version=2):
        assert label_set.sites == (["Hidden valley"] * 3 if with_labels else [])
    assert with_labels or "Hidden valley" not in everything(first)


def test_what_comes_back(rich: Cast, tmp_path: Path) -> None:
    board = board_of(rich.phase, rich.organiser, timezone.now())
    before = [(row.rank, row.team, row.scores, row.achieved_at, row.entries) for row in board.rows or []]
    labels_before = rich.phase.labels
    counts = Counts.from_bytes(bytes(rich.team.submissions.order_by("pk")[0].evaluations.get().patch_counts))
    _, _, imported = round_trip(rich, tmp_path)
    competition = imported.competition
    assert not AuditEntry.objects.first_broken()
    phase = competition.phases.get(slug="validation")
    root = make_user("root", is_superuser=True)
    board = board_of(phase, root, timezone.now())
    assert [
        (row.rank, row.team, row.scores, row.achieved_at, row.entries) for row in board.rows or []
    ] == before
    assert (phase.labels.version, phase.labels.sha256) == (2, labels_before.sha256)
    assert phase.labels.commitment == labels_before.commitment
    masks = labels.decompress(bytes(phase.labels.masks), TINY)
    assert labels.sha256(masks, TINY) == labels_before.sha256
    alpine = competition.teams.get(name="Alpine")
    first = alpine.submissions.order_by("pk")[0]
    assert Counts.from_bytes(bytes(first.evaluations.order_by("pk")[0].patch_counts)) == counts
    assert first.archive.read() == b"archive 0"
    assert first.prediction.submission_id == first.pk
    assert first.attempt.state == Attempt.State.SPENT
    assert (first.method, first.description) == ("Ünet, “quoted”", "two\nlines")
    assert competition.teams.get(name="Gone").merged_into == alpine
    assert {m.user.username: m.role for m in alpine.memberships.all()} == {
        "owner": "owner",
        "teammate": "member",
    }
    assert Invitation.objects.get(team=alpine).email == "new@example.org"
    assert competition.organisers.get().username == "organiser"
    assert Standing.objects.filter(phase__competition=competition, kind="shown").exists()
    disqualified = AuditEntry.objects.get(act="disqualified")
    assert (disqualified.actor, disqualified.reason) == (competition.organisers.get(), "labels by hand")
    assert "original" in disqualified.details
    rebuilt = set(Standing.objects.filter(phase=phase).values_list("team", "kind", "rank_key", "entries"))
    Standing.objects.rebuild(phase)
    assert rebuilt >= set(
        Standing.objects.filter(phase=phase).values_list("team", "kind", "rank_key", "entries")
    )


def test_what_was_being_scored_waits_again(rich: Cast, tmp_path: Path) -> None:
    waiting = Evaluation.objects.unfinished().count()
    assert Evaluation.objects.scoring().count() == 1
    _, _, imported = round_trip(rich, tmp_path)
    assert (
        Evaluation.objects.filter(submission__phase__competition=imported.competition).queued().count()
        == waiting
    )
    assert not Evaluation.objects.scoring().exists()


def test_people_are_found_by_address_or_made_inactive(rich: Cast, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    write.export_competition(rich.competition, path, with_labels=False)
    forget(rich.competition)
    here = make_user("owner-here", email="OWNER@example.org")
    namesake = make_user("rival", email="somebody.else@example.org")
    imported = read.import_competition(path)
    assert imported.found == [here]
    alpine, rivals = (imported.competition.teams.get(name=name) for name in ("Alpine", "Rivals"))
    assert alpine.is_owned_by(here)
    assert not rivals.has_member(namesake)
    made = rivals.members.get()
    assert (made.username, made.email, made.is_active) == ("rival-2", "rival@example.org", False)
    assert not made.has_usable_password()
    assert not made.is_staff


def test_labels_that_stayed_at_home_are_put_back(rich: Cast, tmp_path: Path) -> None:
    _, _, imported = round_trip(rich, tmp_path, with_labels=False)
    assert imported.without_masks == 3
    phase = imported.competition.phases.get(slug="validation")
    waiting = Evaluation.objects.unfinished().count()
    packed = pack(make_masks(seed=4))
    restored = judging.load_labels(None, phase, packed, TINY)
    assert restored == phase.labels
    assert bytes(restored.masks) == labels.compress(packed)
    assert Evaluation.objects.unfinished().count() == waiting
    assert AuditEntry.objects.filter(act="masks restored").count() == 1


def test_what_an_export_holds(rich: Cast, tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    written = write.export_competition(rich.competition, path, with_labels=True)
    with zipfile.ZipFile(path) as opened:
        names = set(opened.namelist())
        opened.extractall(tmp_path / "unpacked")
        listed = subprocess.run(
            ["sha256sum", "--quiet", "-c", "SHA256SUMS"],
            cwd=tmp_path / "unpacked",
            capture_output=True,
            check=False,
        )
        assert listed.returncode == 0, listed.stderr
        board = opened.read("site/boards/validation.html").decode()
        rows = json.loads(opened.read("site/boards/validation.json"))
        rules = opened.read("site/pages/rules.html").decode()
        lines = [json.loads(line) for line in opened.read("data/evaluations.jsonl").splitlines()]
        people = opened.read("data/users.jsonl").decode()
    assert len(names) == written.files + 2
    assert {"README.txt", "site/index.html", "site/boards/test.csv", "labels/1.zip"} <= names
    assert "Kingdrone" in board
    assert "//" not in board.replace("<!doctype", "").replace("http://www.w3.org", "")
    assert [entry["kind"] for entry in rows["entries"]] == ["published"]
    assert "<em>kind</em>" in rules
    assert "script" not in rules
    scored = next(line for line in lines if line["state"] == "scored")
    assert scored["patch_counts"]["tp"] == [scored["tp"], 0, 0]
    assert "password" not in people
    assert "md5" not in people


def test_the_site_hides_what_the_public_may_not_see(cast: Cast, tmp_path: Path) -> None:
    hidden = make_phase(
        cast.competition, "hidden", hidden_until_close=True, closes_at=timezone.now() + timedelta(days=1)
    )
    f1_alone = make_phase(cast.competition, "f1", visible_metrics="f1")
    for phase in (hidden, f1_alone, f1_alone):
        submit(cast.team, phase, (77, 33, 11))
    path = tmp_path / "export.zip"
    write.export_competition(cast.competition, path, with_labels=False)
    with zipfile.ZipFile(path) as opened:
        assert "was hidden" in opened.read("site/boards/hidden.html").decode()
        nothing, shown = (json.loads(opened.read(f"site/boards/{name}.json")) for name in ("hidden", "f1"))
        page = " ".join(opened.read("site/boards/f1.html").decode().split())
    assert (nothing["entries"], nothing["scored_submissions"]) == ([], 0)
    entry = shown["entries"][0]
    assert entry["f1"] == pytest.approx(154 / 198)
    assert entry["precision"] is entry["recall"] is None
    assert "77.78" in page
    assert "Recall" not in page
    assert shown["scored_submissions"] == 2
    assert "2 submissions shown here were scored against these labels" in page


def imported_files() -> set[str]:
    folder = Path(storages["uploads"].path("imported"))
    return {str(path) for path in folder.rglob("*.zip")}


class TestRefusals:
    @pytest.fixture
    def export(self, cast: Cast, tmp_path: Path) -> Path:
        submit(cast.team, cast.phase)
        path = tmp_path / "export.zip"
        write.export_competition(cast.competition, path, with_labels=True)
        return path

    def change(self, path: Path, name: str, content: bytes | None) -> None:
        """The same ZIP with one file changed, added or (None) left out."""
        shutil.move(path, old := path.with_suffix(".old"))
        with zipfile.ZipFile(old) as source, zipfile.ZipFile(path, "w") as target:
            for entry in source.namelist():
                if entry != name:
                    target.writestr(entry, source.read(entry))
            if content is not None:
                target.writestr(name, content)

    def falsify(self, path: Path, name: str, content: bytes) -> None:
        """The same ZIP with one file changed, and a manifest that says so: what another server may send."""
        with zipfile.ZipFile(path) as opened:
            manifest = json.loads(opened.read("manifest.json"))
        manifest["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
        self.change(path, name, content)
        self.change(path, "manifest.json", json.dumps(manifest).encode())

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"nonsense", "compressed bytes are damaged"),
            (zlib.compress(bytes(300 << 20)), "does not hold masks of the size"),
            (zlib.compress(bytes(20)), "does not hold masks of the size"),
            (None, "does not hold the masks that its row names"),
        ],
        ids=["nonsense", "bomb", "short", "other masks"],
    )
    def test_predictions_that_a_worker_would_score(
        self, rich: Cast, tmp_path: Path, content: bytes | None, sentence: str
    ) -> None:
        """They are inflated where archives are read, and only the masks that the row names are kept."""
        write.export_competition(rich.competition, path := tmp_path / "e.zip", with_labels=True)
        forget(rich.competition)
        with zipfile.ZipFile(path) as opened:
            name = next(each for each in opened.namelist() if each.startswith("predictions/"))
            masks = zlib.decompress(opened.read(name))
        self.falsify(
            path, name, zlib.compress(bytes([masks[0] ^ 1]) + masks[1:]) if content is None else content
        )
        with memory() as used, pytest.raises(ExportInvalid, match=sentence):
            read.import_competition(path)
        assert used.peak < 64 << 20
        assert not Competition.objects.filter(slug="landslides").exists()

    def test_a_picture_is_served_as_what_it_is(self, rich: Cast, tmp_path: Path) -> None:
        write.export_competition(rich.competition, path := tmp_path / "e.zip", with_labels=True)
        forget(rich.competition)
        with zipfile.ZipFile(path) as opened:
            line = json.loads(opened.read("data/pictures.jsonl").splitlines()[0])
        page = b64encode(b"<script>alert(1)</script>").decode()
        false = {**line, "media_type": "text/html"}
        self.falsify(path, "data/pictures.jsonl", json.dumps({**false, "content": page}).encode() + b"\n")
        with pytest.raises(ExportInvalid, match="is none that pages show"):
            read.import_competition(path)
        self.falsify(path, "data/pictures.jsonl", json.dumps(false).encode() + b"\n")
        read.import_competition(path)
        assert Picture.objects.get().media_type == line["media_type"] == "image/png"

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("data/teams.jsonl", b"{}\n", "data/teams.jsonl in the export does not match its SHA-256"),
            ("data/teams.jsonl", None, "data/teams.jsonl is missing"),
            ("data/more.jsonl", b"", "data/more.jsonl is in the export but not in its manifest"),
            ("manifest.json", None, "is not an export"),
            ("manifest.json", b'{"format": "something"}', "is not an export"),
            (
                "manifest.json",
                b'{"format": "landslide4sense-leaderboard-competition", "version": 2}',
                "has version 2 of the format; this program reads version 1",
            ),
        ],
    )
    def test_a_damaged_export(
        self, export: Path, cast: Cast, name: str, content: bytes | None, sentence: str
    ) -> None:
        forget(cast.competition)
        self.change(export, name, content)
        with pytest.raises(ExportInvalid, match=sentence):
            read.import_competition(export)
        assert not Competition.objects.filter(slug="landslides").exists()

    def test_an_export_that_names_what_it_does_not_hold(self, export: Path, cast: Cast) -> None:
        """All or nothing: a row in the middle that cannot be made leaves no row and no file behind."""
        forget(cast.competition)
        with zipfile.ZipFile(export) as opened:
            line = json.loads(opened.read("data/attempts.jsonl"))
        self.falsify(export, "data/attempts.jsonl", json.dumps({**line, "team": 77}).encode())
        people, entries, stored = User.objects.count(), AuditEntry.objects.count(), imported_files()
        with pytest.raises(ExportInvalid, match="names team 77, which it does not hold"):
            read.import_competition(export)
        assert (User.objects.count(), AuditEntry.objects.count()) == (people, entries)
        assert imported_files() == stored

    def test_a_slug_that_is_taken(self, export: Path, cast: Cast) -> None:
        with pytest.raises(CommandError, match="Give another slug with --slug"):
            call_command("import_competition", str(export))
        call_command("import_competition", str(export), "--slug", "copy")
        assert Competition.objects.get(slug="copy").teams.get(name="Alpine").members.count() == 2

    def test_a_missing_archive(self, cast: Cast, tmp_path: Path) -> None:
        made = submit(cast.team, cast.phase)
        storages["uploads"].delete(made.archive.name)
        path = tmp_path / "export.zip"
        with pytest.raises(CommandError, match=f"archive of submission {made.pk} is missing"):
            call_command("export_competition", "landslides", str(path))
        assert not path.exists()

    def test_a_changed_archive(self, cast: Cast, tmp_path: Path) -> None:
        made = submit(cast.team, cast.phase)
        storages["uploads"].delete(made.archive.name)
        storages["uploads"].save(made.archive.name, ContentFile(b"another"))
        with pytest.raises(CommandError, match="does not match its SHA-256"):
            call_command("export_competition", "landslides", str(tmp_path / "export.zip"))

    def test_a_file_that_exists(self, export: Path, cast: Cast) -> None:
        with pytest.raises(CommandError, match="already exists"):
            call_command("export_competition", "landslides", str(export))

    def test_an_unknown_competition(self, cast: Cast, tmp_path: Path) -> None:
        with pytest.raises(
            CommandError, match=r"mudslides is not a competition\. The competitions are: landslides"
        ):
            call_command("export_competition", "mudslides", str(tmp_path / "export.zip"))


def test_the_commands_verify_themselves(
    rich: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "export.zip"
    call_command("export_competition", "landslides", str(path), "--with-labels")
    assert path.stat().st_mode & 0o077 == 0
    forget(rich.competition)
    call_command("import_competition", str(path), "--verify")
    assert "A new export is identical" in capsys.readouterr().out


def test_accounts_with_an_unverified_address_are_named(
    rich: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "export.zip"
    write.export_competition(rich.competition, path, with_labels=False)
    EmailAddress.objects.create(user=rich.owner, email=rich.owner.email.upper(), verified=True)
    EmailAddress.objects.create(user=rich.rival, email="another@example.org", verified=True)
    call_command("import_competition", str(path), "--slug", "copy")
    [line] = [line for line in capsys.readouterr().out.splitlines() if "unverified email address" in line]
    named = line.partition("signed up: ")[2].partition(". Check")[0].split(", ")
    assert "owner" not in named
    assert {"rival", "teammate"} <= set(named)
    assert (
        Invitation.objects.values_list("token_digest").distinct().count() == Invitation.objects.count() == 2
    )


def test_every_model_is_exported_or_named_as_left_out() -> None:
    known = {table.model.__name__ for table in tables.TABLES} | {"Competition", "User", *tables.NOT_EXPORTED}
    assert {model.__name__ for model in apps.get_app_config("leaderboard").get_models()} == known


def test_every_column_is_exported() -> None:
    apart = {(t.model.__name__, name) for t in tables.TABLES for name in t.apart}
    assert apart == {
        ("LabelSet", "masks"),
        ("LabelSet", "sites"),
        ("Merger", "moved"),
        ("Prediction", "masks"),
        ("Standing", "earlier_rank"),
        ("Standing", "noticed_key"),
    }
    kept_private = {"id", "password", "last_login", "is_superuser", "is_staff", "is_active"}
    assert {column.name for column in User._meta.concrete_fields} - kept_private == set(tables.USER_COLUMNS)


@pytest.mark.timeout(300)  # three commands, each a process
def test_another_server_on_sqlite_reads_it(rich: Cast, tmp_path: Path) -> None:
    """A server of its own, on an empty SQLite database: in the run on PostgreSQL this crosses the two databases."""
    path = tmp_path / "export.zip"
    write.export_competition(rich.competition, path, with_labels=True)
    (tmp_path / "server").mkdir()
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "server"), "DATABASE_URL": "", "REDIS_URL": ""}
    for command in (["migrate", "-v0"], ["import_competition", str(path), "--verify"]):
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "A new export is identical" in done.stdout


def everything(path: Path) -> str:
    """All files of an export as one text."""
    with zipfile.ZipFile(path) as package:
        return " ".join(package.read(name).decode(errors="replace") for name in package.namelist())
