"""Words for organisers: zones, reasons, numbers, labels, limits; and another task has its own words everywhere."""

import io
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from django import forms
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import awards
from leaderboard.actions.refusals import Conflict
from leaderboard.admin.labels import MOST_BYTES_OF_LABELS, LabelsForm
from leaderboard.models import Competition, Evaluation, MethodDescription, Phase, Prize
from tests.kept import migrated_sqlite
from tests.leaderboard.factories import Cast, make_submission, make_user

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.django_db
def test_every_date_of_the_admin_names_its_zone() -> None:
    request = RequestFactory().get("/")
    request.user = make_user("root", is_staff=True, is_superuser=True)
    seen = 0
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label != "leaderboard":
            continue
        for field in model._meta.get_fields():
            if isinstance(field, models.DateField) and field.editable:
                made = model_admin.formfield_for_dbfield(field, request)  # type: ignore[attr-defined]
                assert isinstance(made, forms.Field)
                assert str(made.label).endswith("(UTC)"), f"{model.__name__}.{field.name}"
                seen += 1
    assert seen > 10


@pytest.mark.django_db
class TestAwards:
    def test_no_winner_says_which_rule_each_team_fails(self, cast: Cast) -> None:
        now = timezone.now()
        Competition.objects.filter(pk=cast.competition.pk).update(descriptions_due_at=now - timedelta(days=1))
        cast.competition.refresh_from_db()
        Phase.objects.filter(pk=cast.phase.pk).update(closes_at=now - timedelta(hours=1))
        make_submission(cast.team, cast.phase, (80, 20, 20))
        make_submission(cast.other_team, cast.phase, (60, 40, 40))
        MethodDescription.objects.create(
            team=cast.other_team,
            pdf=b"%PDF",
            uploaded_at=now - timedelta(days=2),
            verdict="ineligible",
            verdict_reason="used the test images",
        )
        Prize.objects.create(competition=cast.competition, title="1st place", phase=cast.phase, rank=1)
        with pytest.raises(Conflict) as refusal:
            awards.give_ranked_awards(cast.organiser, cast.competition)
        sentence = refusal.value.message
        assert (
            "1st place: no eligible team has rank 1 of Validation; 0 of 2 ranked teams are eligible."
            in sentence
        )
        assert "Alpine: No method description was handed in by" in sentence
        assert (
            "Rivals: The organisers have ruled the method description out: used the test images" in sentence
        )


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["#{}", "{}", " # {} "])
def test_a_number_is_found_as_it_is_printed(cast: Cast, client: Client, text: str) -> None:
    made = make_submission(cast.team, cast.phase)
    make_submission(cast.team, cast.phase)
    client.force_login(cast.organiser)
    for name in ("submission", "attempt"):
        found = client.get(
            reverse(f"admin:leaderboard_{name}_changelist"), {"q": text.format(made.pk)}
        ).context["cl"]
        assert [row.pk for row in found.queryset] == [made.pk]
    found = client.get(
        reverse("admin:leaderboard_evaluation_changelist"), {"q": text.format(made.pk)}
    ).context["cl"]
    assert made.evaluation in list(found.queryset)
    assert all(isinstance(row, Evaluation) for row in found.queryset)


def labels(files: dict[str, np.ndarray]) -> Any:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, mask in files.items():
            file = io.BytesIO()
            with h5py.File(file, "w") as made:
                made["mask"] = mask
            archive.writestr(name, file.getvalue())
    form = LabelsForm({"note": ""}, {"masks": SimpleUploadedFile("labels.zip", content.getvalue())})
    return " ".join(form.errors.get("masks", []))


MASK = np.eye(16, dtype=np.uint8)


class TestLabelErrors:
    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({"flood_1.h5": MASK}, "Name the labels mask_1.h5, mask_2.h5 and so on"),
            ({"mask_1.h5": MASK, "mask_3.h5": MASK}, "without a gap"),
            (
                {"mask_1.h5": np.zeros((101, 101), np.uint8)},
                "101 x 101 pixels, expected a multiple of 8",
            ),
        ],
    )
    def test_they_speak_to_whoever_made_the_labels(self, files: dict[str, np.ndarray], said: str) -> None:
        sentence = labels(files)
        assert said in sentence
        for word in ("predict", "Predict", "meant for"):
            assert word not in sentence

    def test_good_labels_have_none(self) -> None:
        assert labels({"mask_1.h5": MASK}) == ""


class TestLimits:
    @pytest.mark.django_db
    def test_said_before_the_upload(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.organiser)
        page = client.get(
            reverse("admin:leaderboard_phase_load_labels", args=[cast.phase.pk])
        ).content.decode()
        assert "At most 128 MiB" in page

    def test_refused_in_a_sentence(self) -> None:
        file = SimpleUploadedFile("labels.zip", b"x")
        file.size = MOST_BYTES_OF_LABELS + 2**20
        form = LabelsForm({"note": ""}, {"masks": file})
        assert "The file has 129 MiB; at most 128 MiB are accepted." in form.errors["masks"][0]


@pytest.mark.timeout(300)
def test_a_competition_about_floods_speaks_of_floods_alone(tmp_path: Path) -> None:
    """A server of its own whose task is another: every page as every role that may open it, and every mail."""
    shutil.copyfile(migrated_sqlite(), tmp_path / "db.sqlite3")
    environment = {
        **os.environ,
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "SITE_NAME": "Flood cup",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.leaderboard.other_task"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "speak of floods" in done.stdout
