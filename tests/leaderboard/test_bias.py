"""The form in the shape of BIAS says what the database knows and leaves open what it does not."""

import json
from datetime import timedelta
from io import StringIO

from django.core.management import call_command

from leaderboard.models import Prize
from leaderboard.reporting import bias
from tests.leaderboard.factories import Cast, make_submission


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("bias_form", *arguments, stdout=out)
    return out.getvalue()


def test_it_is_filled_in_from_the_database(cast: Cast) -> None:
    cast.phase.quota_total = 10
    cast.phase.closes_at = cast.phase.opens_at + timedelta(days=5)
    cast.phase.visible_metrics = "f1"
    cast.phase.save()
    make_submission(cast.team, cast.phase)
    Prize.objects.create(competition=cast.competition, title="1st place", phase=cast.phase, rank=1)
    Prize.objects.create(competition=cast.competition, title="Special prize", note="For originality.")
    text = printed(cast.competition.slug)
    for words in (
        "# Landslides 2022",
        "10 in total",
        "cannot be withdrawn",
        "shown: F1 alone",
        "a patch of 16 × 16 pixels",
        cast.phase.labels.commitment,
        "1 submissions of 1 teams",
        "one event with a fixed end",
        "1st place: rank 1 of Validation, among the eligible teams.",
        "Special prize: chosen by the committee. For originality.",
        bias.OPEN,
    ):
        assert words in text
    assert cast.phase.labels.salt not in text


def test_open_items_are_null_in_json(cast: Cast) -> None:
    items = {
        row["item"]: row["answer"] for row in json.loads(printed(cast.competition.slug, "--json"))["items"]
    }
    assert items["Keywords"] is None
    assert items["Title"] == "Landslides 2022"
    assert "2 TP / (2 TP + FP + FN)" in items["Metric"]
