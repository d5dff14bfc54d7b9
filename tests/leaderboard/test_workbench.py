"""My submissions as a workbench: order and filter, marks, progress, notes, comparison, CSV; nothing hidden leaks."""

import csv
import io
import re
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.scoring.counts import Counts
from leaderboard.actions.notes import write_note
from leaderboard.actions.refusals import InvalidInput, NotAllowed
from leaderboard.models import Evaluation, Phase, Submission, SubmissionNote
from leaderboard.reporting import progress
from tests.leaderboard.factories import Cast, make_masks, make_phase, make_submission
from tests.leaderboard.test_masks import make_scored

LOW, HIGH, MIDDLE = (50, 50, 50), (90, 30, 10), (70, 10, 30)
HIDING = [{"hidden_until_close": True}, {"ladder_step": "0.01", "ladder_start": "0.1"}]


def address(cast: Cast, name: str = "submissions") -> str:
    return reverse(f"pages:{name}", args=[cast.competition.slug])


def ago(hours: float) -> Any:
    return timezone.now() - timedelta(hours=hours)


def three(cast: Cast) -> list[Submission]:
    """Received in this order: low, high, middle."""
    return [
        make_submission(cast.team, cast.phase, counts, received_at=ago(9 - k), method=f"M{3 - k}")
        for k, counts in enumerate((LOW, HIGH, MIDDLE))
    ]


def order(client: Client, cast: Cast, **query: str) -> list[int]:
    return [row["submission"].pk for row in client.get(address(cast), query).context["rows"]]


def read_csv(client: Client, cast: Cast) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(address(cast, "submissions-csv")).content.decode())))


def test_orders(cast: Cast, client: Client) -> None:
    low, high, middle = (row.pk for row in three(cast))
    waits = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED, received_at=ago(1)).pk
    client.force_login(cast.owner)
    assert order(client, cast) == [waits, middle, high, low]
    assert order(client, cast, sort="f1") == [high, middle, low, waits]
    assert order(client, cast, sort="precision") == [middle, high, low, waits]
    assert order(client, cast, sort="recall") == [high, middle, low, waits]
    assert order(client, cast, sort="method")[:3] == [middle, high, low]
    assert order(client, cast, sort="nonsense") == [waits, middle, high, low]


@pytest.mark.parametrize("hiding", HIDING)
def test_an_order_by_hidden_scores_tells_nothing(cast: Cast, client: Client, hiding: dict[str, Any]) -> None:
    rows = [row.pk for row in three(cast)]
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=ago(-9), **hiding)
    client.force_login(cast.owner)
    for sort in ("f1", "precision", "recall"):
        assert order(client, cast, sort=sort) == rows[::-1]
    answer = client.get(address(cast))
    assert not any(row["counts"] for row in answer.context["rows"])
    assert answer.context["chart"] is None
    assert "81.82" not in answer.content.decode()
    assert {(line["f1"], line["counts"]) for line in read_csv(client, cast)} == {("", "")}


def test_an_order_by_precision_tells_nothing_where_f1_alone_is_shown(cast: Cast, client: Client) -> None:
    low, high, middle = (row.pk for row in three(cast))
    Phase.objects.filter(pk=cast.phase.pk).update(visible_metrics="f1")
    client.force_login(cast.owner)
    assert order(client, cast, sort="precision") == [middle, high, low]
    assert order(client, cast, sort="f1") == [high, middle, low]


def test_best_selected_and_progress_are_marked(cast: Cast, client: Client) -> None:
    _, high, middle = three(cast)
    Submission.objects.filter(pk=middle.pk).update(selected=True)
    client.force_login(cast.owner)
    answer = client.get(address(cast))
    assert [row["submission"].pk for row in answer.context["rows"] if row["counts"]] == [high.pk]
    page = answer.content.decode()
    assert page.count("badge best") == 1
    assert page.count(">selected<") == 1
    (summary,) = answer.context["summaries"]
    assert round(summary["best"], 2) == 81.82
    assert 'class="sparkline"' in page
    assert "best F1 in Validation so far" in page


def test_best_so_far_never_falls() -> None:
    scores = [(ago(9 - k), value) for k, value in enumerate((50.0, 40.0, 60.0, 60.0, 55.0))]
    assert [value for _, value in progress.best_so_far(scores)] == [50.0, 60.0]
    assert progress.sparkline(scores[:1]) == ""
    assert progress.sparkline(scores).count(",") == 5


def test_filters(cast: Cast, client: Client) -> None:
    low, high, middle = three(cast)
    second = make_phase(cast.competition, "second")
    other = make_submission(cast.team, second)
    write_note(cast.owner, high, "", ["fold 1", "Best idea"])
    write_note(cast.owner, low, "", ["fold 10"])
    client.force_login(cast.teammate)
    assert order(client, cast, phase="second") == [other.pk]
    assert order(client, cast, tag="fold 1") == [high.pk]
    assert order(client, cast, tag="fold") == []
    answer = client.get(address(cast))
    assert answer.context["tags"] == ["Best idea", "fold 1", "fold 10"]
    assert middle.pk in order(client, cast)


# Notes


def test_notes_are_for_the_team_alone(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase)
    secret = "what-we-tried-next"
    page = reverse("pages:submission", args=[made.pk])
    client.force_login(cast.owner)
    answer = client.post(
        reverse("pages:note", args=[made.pk]), {"text": secret, "tags": "a, b,a"}, follow=True
    )
    assert "The note is saved." in answer.content.decode()
    note = SubmissionNote.objects.get()
    assert (note.text, note.tag_list, note.edited_by) == (secret, ["a", "b"], cast.owner)
    client.force_login(cast.teammate)
    for url in (page, address(cast), address(cast, "submissions-csv")):
        assert secret in client.get(url).content.decode(), url
    for user in (cast.organiser, cast.rival, cast.stranger):
        client.force_login(user)
        answer = client.post(reverse("pages:note", args=[made.pk]), {"text": "mine", "tags": ""})
        assert answer.status_code == (403 if user == cast.organiser else 404)
        for url in (
            page,
            f"/api/v1/submissions/{made.pk}/",
            f"/admin/leaderboard/submission/{made.pk}/change/",
        ):
            assert secret not in client.get(url).content.decode()
    assert SubmissionNote.objects.get().text == secret


def test_a_refused_note_keeps_what_was_typed(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    tags = ",".join(map(str, range(11)))
    answer = client.post(reverse("pages:note", args=[made.pk]), {"text": "typed", "tags": tags})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "At most 10 tags are possible; these are 11." in page
    assert ">typed</textarea>" in page
    assert tags in page
    assert not SubmissionNote.objects.exists()


def test_rules_of_notes(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase)
    with pytest.raises(InvalidInput, match="A tag has at most 30 characters"):
        write_note(cast.owner, made, "", ["x" * 31])
    with pytest.raises(InvalidInput, match="2000"):
        write_note(cast.owner, made, "x" * 2001, [])
    with pytest.raises(NotAllowed):
        write_note(cast.organiser, made, "x", [])
    write_note(cast.owner, made, "first", ["a"])
    write_note(cast.teammate, made, "second", [])
    assert SubmissionNote.objects.get().text == "second"
    write_note(cast.teammate, made, " ", ["", " "])
    assert not SubmissionNote.objects.exists()


# Two compared


def compared(client: Client, cast: Cast, *rows: Submission, **query: Any) -> Any:
    return client.get(address(cast, "compare"), {"id": [row.pk for row in rows], **query})


def text_of(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def test_two_submissions_beside_each_other(cast: Cast, client: Client) -> None:
    first = make_scored(cast, make_masks(seed=1), received_at=ago(2))
    second = make_scored(cast, make_masks(), received_at=ago(1))
    client.force_login(cast.owner)
    answer = compared(client, cast, second, first)
    assert (answer.context["first"], answer.context["second"]) == (first, second)
    found = answer.context["comparison"]
    changed = (make_masks() != make_masks(seed=1)).sum(axis=(1, 2))
    assert {patch.number: patch.changed for patch in found.patches} == {
        k + 1: int(number) for k, number in enumerate(changed)
    }
    assert [line.name for line in found.lines] == ["F1", "Precision", "Recall"]
    assert found.lines[0].second.percent == "100.00"
    assert all(patch.delta is None for patch in found.patches)
    text = text_of(answer)
    assert f"{changed.sum():,} pixels changed in 3 patches" in text
    assert f"+{found.lines[0].delta:.2f}" in text


def test_the_interval_is_paired_and_shown_by_the_phases_rule(cast: Cast, client: Client) -> None:
    first, second = (make_submission(cast.team, cast.phase, (45, 45, 25), received_at=ago(k)) for k in (2, 1))
    for row, counts in (
        (first, [[40, 5, 0], [5, 20, 20], [10, 5, 10]]),
        (second, [[42, 8, 1], [6, 15, 10], [8, 2, 9]]),
    ):
        per_patch = Counts(*np.array(counts, np.uint32)).to_bytes()
        Evaluation.objects.filter(pk=row.evaluation_id).update(patch_counts=per_patch)
    client.force_login(cast.owner)
    interval = compared(client, cast, first, second).context["comparison"].interval
    assert interval.low < interval.high
    assert interval.decimals == 1
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=ago(-3))  # it runs
    answer = compared(client, cast, first, second)
    assert answer.context["comparison"].interval is None
    assert "95 % interval" not in text_of(answer)
    client.force_login(cast.organiser)
    assert compared(client, cast, first, second).context["comparison"].interval.decimals == 2


@pytest.mark.parametrize("hiding", HIDING)
def test_a_comparison_hides_what_the_phase_hides(cast: Cast, client: Client, hiding: dict[str, Any]) -> None:
    first = make_scored(cast, make_masks(seed=1), received_at=ago(2))
    second = make_scored(cast, make_masks(), received_at=ago(1))
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=ago(-9), feedback="patches", **hiding)
    client.force_login(cast.owner)
    found = compared(client, cast, first, second).context["comparison"]
    assert (found.lines, found.interval) == ([], None)
    assert found.patches
    assert all(patch.delta is None for patch in found.patches)


def test_scores_per_patch_are_compared_where_the_phase_tells_them(cast: Cast, client: Client) -> None:
    first = make_scored(cast, make_masks(seed=1), received_at=ago(2))
    second = make_scored(cast, make_masks(), received_at=ago(1))
    Phase.objects.filter(pk=cast.phase.pk).update(feedback="patches")
    client.force_login(cast.owner)
    found = compared(client, cast, first, second).context["comparison"]
    assert all(patch.delta > 0 for patch in found.patches)


def test_what_cannot_be_compared_is_said(cast: Cast, client: Client) -> None:
    first, second = make_submission(cast.team, cast.phase), make_submission(cast.team, cast.phase)
    theirs = make_submission(cast.other_team, cast.phase)
    elsewhere = make_submission(cast.team, make_phase(cast.competition, "second"))
    client.force_login(cast.owner)
    for rows, sentence in (
        ((first,), "Select exactly two submissions"),
        ((first, first), "Select exactly two submissions"),
        ((first, second, elsewhere), "Select exactly two submissions"),
        ((first, elsewhere), "if they are of the same phase"),
    ):
        answer = compared(client, cast, *rows, follow=True)
        assert answer.status_code == 302
        assert sentence in client.get(answer["Location"]).content.decode()
    assert compared(client, cast, first, theirs).status_code == 404


def test_all_as_csv(cast: Cast, client: Client) -> None:
    low, high, middle = three(cast)
    write_note(cast.owner, low, "=1+1", ["x"])
    client.force_login(cast.owner)
    lines = read_csv(client, cast)
    assert [int(line["number"]) for line in lines] == [middle.pk, high.pk, low.pk]
    assert float(lines[1]["f1"]) == pytest.approx(180 / 220)
    assert [line["counts"] for line in lines] == ["", "yes", ""]
    assert lines[2]["note"] == "'=1+1"  # no spreadsheet runs it


def test_pages_cost_the_same_whatever_there_is(
    cast: Cast, client: Client, django_assert_max_num_queries: Any
) -> None:
    first = make_scored(cast, make_masks(seed=1), received_at=ago(2))
    second = make_scored(cast, make_masks(), received_at=ago(1))
    client.force_login(cast.owner)
    for _ in range(2):
        with django_assert_max_num_queries(20):
            client.get(address(cast))
        with django_assert_max_num_queries(20):
            compared(client, cast, first, second)
        with django_assert_max_num_queries(20):
            client.get(reverse("pages:submission", args=[second.pk]))
        for seed in range(5):
            write_note(cast.owner, make_scored(cast, make_masks(seed=seed)), "noted", ["a", "b"])
