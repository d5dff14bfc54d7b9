"""A submission's masks over the public images; and what each setting of a phase's feedback shows to whom."""

import json
import re
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.report.pictures import OVERLAY
from evaluation.report.png import png, read_png
from evaluation.scoring import labels
from evaluation.scoring.counts import count, pack, unpack
from leaderboard.actions.judging import keep_images
from leaderboard.models import Evaluation, Phase, Prediction, Submission
from leaderboard.models.visibility import Feedback, feedback_of, view_of
from leaderboard.reporting.masks import facts_of, in_order
from tests.leaderboard.factories import TINY, Cast, make_labels, make_masks, make_phase, make_submission

NOTHING, EVERYTHING = Feedback(), Feedback(histogram=True, patches=True, errors=True)
HISTOGRAM, PATCHES = Feedback(histogram=True), Feedback(histogram=True, patches=True)


def make_scored(cast: Cast, masks: np.ndarray, **fields: Any) -> Submission:
    """A submission with these masks, scored on the phase's labels."""
    phase = Phase.objects.select_related("labels").get(pk=fields.pop("phase", cast.phase).pk)
    assert phase.labels is not None
    counts = count(pack(masks), labels.decompress(bytes(phase.labels.masks), TINY))
    made = make_submission(fields.pop("team", cast.team), phase, counts.total, **fields)
    Evaluation.objects.filter(pk=made.evaluation_id).update(patch_counts=counts.to_bytes())
    Prediction.objects.filter(submission=made.pk).update(masks=labels.compress(pack(masks)))
    return made


def odd_masks() -> np.ndarray:
    """Patch 1 is full, patch 2 empty, patch 3 as in the labels."""
    masks = make_masks()
    masks[0], masks[1] = 1, 0
    return masks


def page(client: Client, submission: Submission, **query: Any) -> Any:
    return client.get(reverse("pages:masks", args=[submission.pk]), query)


def picture(client: Client, submission: Submission, kind: str, patch: int = 1, **query: Any) -> Any:
    return client.get(reverse("pages:mask-picture", args=[submission.pk, patch, kind]), query)


def test_odd_patches_come_first(cast: Cast, client: Client) -> None:
    before = make_masks(seed=1)
    make_scored(cast, before, received_at=timezone.now() - timedelta(hours=1))
    made = make_scored(cast, odd_masks())
    client.force_login(cast.owner)
    found = page(client, made).context
    assert [patch.number for patch in found["ordered"]] == [1, 2, 3]
    assert [patch.oddity for patch in found["ordered"]] == ["full", "empty", ""]
    changed = int((odd_masks() != before).sum())
    assert found["figures"]["changed"] == changed
    assert (found["figures"]["empty"], found["figures"]["full"]) == (1, 1)
    assert found["chosen"].number == 1


def test_orders() -> None:
    now, before = np.zeros((2, 3, 16, 16), np.uint8)
    now[0, 0, :4] = 1
    now[1, 0, :9] = before[1, 0, :9] = 1
    patches = facts_of(pack(now), TINY, pack(before), None, NOTHING)
    assert [patch.number for patch in in_order(patches, "changed")] == [1, 2, 3]
    assert [patch.number for patch in in_order(patches, "marked")] == [2, 1, 3]
    assert [patch.number for patch in in_order(patches, "number")] == [1, 2, 3]
    assert [patch.number for patch in in_order(patches, "outliers")] == [1, 2, 3]  # 3 was empty before too


def test_the_picture_and_the_bits_are_the_masks(cast: Cast, client: Client) -> None:
    masks = odd_masks()
    made = make_scored(cast, masks)
    client.force_login(cast.teammate)
    for patch in (1, 2, 3):
        drawn = read_png(picture(client, made, "mask", patch).content)
        assert np.array_equal(drawn == 2, masks[patch - 1] == 1)
    answer = client.get(reverse("pages:mask-bits", args=[made.pk]))
    assert answer["Content-Encoding"] == "deflate"
    assert "private" in answer["Cache-Control"]
    assert np.array_equal(unpack(labels.decompress(answer.content, TINY), TINY), masks)
    assert picture(client, made, "mask", 4).status_code == 404
    assert picture(client, made, "mask", 0).status_code == 404
    assert picture(client, made, "nonsense").status_code == 404


def test_two_submissions_differ_in_colour(cast: Cast, client: Client) -> None:
    first, second = make_masks(seed=1), make_masks(seed=2)
    earlier = make_scored(cast, first, received_at=timezone.now() - timedelta(hours=1))
    made = make_scored(cast, second)
    client.force_login(cast.owner)
    assert picture(client, made, "change").status_code == 404  # against nothing
    answer = picture(client, made, "change", against=earlier.pk)
    drawn = read_png(answer.content)
    assert np.array_equal(drawn, np.array([0, 2, 3, 1])[second[0] + 2 * first[0]])
    text = page(client, made, show="change").content.decode()
    assert f"?against={earlier.pk}" in text
    assert f"no. {earlier.pk} alone" in text


def test_masks_are_for_the_team_and_the_organisers_alone(cast: Cast, client: Client) -> None:
    made = make_scored(cast, odd_masks())
    theirs = make_scored(cast, make_masks(seed=3), team=cast.other_team)
    for user, status in ((cast.owner, 200), (cast.organiser, 200), (cast.rival, 404), (cast.stranger, 404)):
        client.force_login(user)
        assert page(client, made).status_code == status
        assert picture(client, made, "mask").status_code == status
        assert client.get(reverse("pages:mask-bits", args=[made.pk])).status_code == status
    client.force_login(cast.owner)
    assert picture(client, made, "change", against=theirs.pk).status_code == 404
    assert f"no. {theirs.pk}" not in page(client, made, against=theirs.pk).content.decode()


def test_what_is_not_scored_has_no_masks(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.INVALID)
    client.force_login(cast.owner)
    assert "No masks to show" in page(client, made).content.decode()
    assert picture(client, made, "mask").status_code == 404
    assert client.get(reverse("pages:mask-bits", args=[made.pk])).status_code == 404


def test_images_come_out_when_the_phase_opens(cast: Cast, client: Client) -> None:
    content = png(np.full((16, 16, 3), 7, np.uint8))
    keep_images(cast.organiser, cast.phase, {"true": [content] * 3, "slope": [content] * 3})
    made = make_scored(cast, odd_masks())
    address = reverse("pages:image", args=[cast.competition.slug, cast.phase.slug, 2, "true"])
    assert client.get(address).content == content  # public
    assert client.get(address.replace("true", "false")).status_code == 404
    assert client.get(address.replace("/2/", "/4/")).status_code == 404
    client.force_login(cast.owner)
    assert page(client, made).context["grounds"] == {"true": "True colour", "slope": "Slope"}
    Phase.objects.filter(pk=cast.phase.pk).update(opens_at=timezone.now() + timedelta(days=1))
    assert client.get(address).status_code == 404
    assert page(client, made).context["grounds"] == {}
    client.force_login(cast.organiser)
    assert client.get(address).status_code == 200


# Feedback: each value, while the phase runs and after its end

RUNS = [("none", NOTHING), ("histogram", HISTOGRAM), ("patches", PATCHES), ("errors", NOTHING)]
ENDED = [("none", NOTHING), ("histogram", HISTOGRAM), ("patches", PATCHES), ("errors", EVERYTHING)]


def set_phase(cast: Cast, **fields: Any) -> Phase:
    Phase.objects.filter(pk=cast.phase.pk).update(**fields)
    return Phase.objects.select_related("competition", "labels").get(pk=cast.phase.pk)


def allowed(phase: Phase, viewer: Any) -> Feedback:
    now = timezone.now()
    return feedback_of(phase, view_of(phase, viewer, now), now)


@pytest.mark.parametrize(("ends_in", "table"), [(1, RUNS), (-1, ENDED)])
def test_the_rule_for_each_value(cast: Cast, ends_in: int, table: Any) -> None:
    for value, expected in table:
        phase = set_phase(cast, feedback=value, closes_at=timezone.now() + timedelta(days=ends_in))
        assert allowed(phase, cast.owner) == expected, value
        assert allowed(phase, cast.organiser) == EVERYTHING


@pytest.mark.parametrize(
    "hiding", [{"hidden_until_close": True}, {"ladder_step": "0.01", "ladder_start": "0.1"}]
)
@pytest.mark.parametrize("value", ["histogram", "patches", "errors"])
def test_a_phase_that_hides_scores_gives_no_feedback(cast: Cast, hiding: dict[str, Any], value: str) -> None:
    phase = set_phase(cast, feedback=value, closes_at=timezone.now() + timedelta(days=1), **hiding)
    assert allowed(phase, cast.owner) == NOTHING


@pytest.mark.parametrize("value", ["histogram", "patches", "errors"])
def test_no_feedback_while_another_phase_hides_the_same_labels(cast: Cast, value: str) -> None:
    ends = -1 if value == "errors" else 1
    phase = set_phase(cast, feedback=value, closes_at=timezone.now() + timedelta(days=ends))
    given = allowed(phase, cast.owner)
    assert given != NOTHING
    later = make_phase(cast.competition, "later", labels=False)
    make_labels(later)  # the same masks
    assert allowed(phase, cast.owner) == NOTHING
    if value != "errors":  # a phase that gives as much hides nothing more
        Phase.objects.filter(pk=later.pk).update(feedback=value)
        assert allowed(phase, cast.owner) == given
    Phase.objects.filter(pk=later.pk).update(feedback="none", closes_at=timezone.now())
    assert allowed(phase, cast.owner) == given


SCORE = r"F1 \d+\.\d"


@pytest.mark.parametrize(("ends_in", "table"), [(1, RUNS), (-1, ENDED)])
def test_no_address_shows_more_than_the_rule(cast: Cast, client: Client, ends_in: int, table: Any) -> None:
    made = make_scored(cast, odd_masks())
    client.force_login(cast.owner)
    for value, expected in table:
        set_phase(cast, feedback=value, closes_at=timezone.now() + timedelta(days=ends_in))
        viewer = page(client, made, order="worst", show="errors")
        text = viewer.content.decode()
        assert bool(re.search(SCORE, text)) == expected.patches, value
        assert ("Lowest F1 first" in text) == expected.patches, value
        assert ("Against the labels" in text) == expected.errors, value
        assert ("data-labels" in text) == expected.errors, value
        assert any(patch.counts for patch in viewer.context["ordered"]) == expected.errors, value
        status = 200 if expected.errors else 404
        for address in (
            reverse("pages:mask-labels", args=[made.pk]),
            reverse("pages:mask-picture", args=[made.pk, 1, "errors"]),
        ):
            answer = client.get(address)
            assert answer.status_code == status, (value, address)
            assert status == 404 or "no-store" in answer["Cache-Control"]
        result = client.get(reverse("pages:submission", args=[made.pk])).content.decode()
        assert ("F1 of the patches" in result) == expected.histogram, value


def test_organisers_see_errors_and_the_worst_patches_first(cast: Cast, client: Client) -> None:
    made = make_scored(cast, odd_masks())
    truth = make_masks()
    client.force_login(cast.organiser)
    answer = client.get(reverse("pages:mask-labels", args=[made.pk]))
    assert np.array_equal(unpack(labels.decompress(answer.content, TINY), TINY), truth)
    drawn = read_png(picture(client, made, "errors").content)
    assert np.array_equal(drawn, np.array([0, 2, 3, 1])[odd_masks()[0] + 2 * truth[0]])
    worst = page(client, made, order="worst", show="errors").context["ordered"]
    assert [patch.number for patch in worst] == [2, 1, 3]
    assert len(OVERLAY) == 3


def test_the_viewer_costs_the_same_whatever_there_is(
    cast: Cast, client: Client, django_assert_max_num_queries: Any
) -> None:
    set_phase(cast, feedback="patches")
    make_scored(cast, make_masks(seed=1), received_at=timezone.now() - timedelta(hours=1))
    made = make_scored(cast, odd_masks())
    client.force_login(cast.owner)
    for _ in range(2):
        with django_assert_max_num_queries(20):
            page(client, made)
        for seed in range(5):
            make_scored(cast, make_masks(seed=seed))


def test_the_api_says_what_feedback_a_phase_gives(cast: Cast, client: Client) -> None:
    set_phase(cast, feedback="histogram")
    answer = json.loads(client.get(f"/api/v1/competitions/{cast.competition.slug}/").content)
    assert answer["phases"][0]["feedback"] == "histogram"


def test_the_desk_leads_to_the_masks(cast: Cast, client: Client) -> None:
    made = make_scored(cast, odd_masks())
    waits = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    client.force_login(cast.organiser)

    def desk(submission: Submission) -> str:
        return client.get(
            reverse("admin:leaderboard_submission_change", args=[submission.pk])
        ).content.decode()

    assert reverse("pages:masks", args=[made.pk]) in desk(made)
    assert reverse("pages:masks", args=[waits.pk]) not in desk(waits)
