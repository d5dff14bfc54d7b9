"""Submit, my submissions, one submission: for a team's members, and for nobody else."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.archive.problems import Problem
from leaderboard.models import Attempt, Evaluation, Submission
from leaderboard.pages.results import poll_after
from tests.leaderboard.factories import Cast, make_archive, make_phase, make_submission, record, take, upload

WHOLE = {"method": "SegFormer-B2", "description": "Dice loss", "link": "https://example.org/code"}


def submit_url(cast: Cast) -> str:
    return reverse("pages:submit", args=[cast.competition.slug])


def list_url(cast: Cast) -> str:
    return reverse("pages:submissions", args=[cast.competition.slug])


def post(client: Client, cast: Cast, **changes: Any) -> Any:
    data = {"phase": cast.phase.pk, "archive": upload(), **WHOLE, **changes}
    return client.post(submit_url(cast), {key: value for key, value in data.items() if value is not None})


def said(answer: Any) -> str:
    """The page's text with its white space folded, as a person reads it."""
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def test_a_member_submits_and_lands_on_the_submission(cast: Cast, client: Client) -> None:
    client.force_login(cast.teammate)
    answer = post(client, cast, archive=upload(make_archive()))
    submission = Submission.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == reverse("pages:submission", args=[submission.pk])
    assert (submission.team, submission.submitted_by, submission.method) == (
        cast.team,
        cast.teammate,
        WHOLE["method"],
    )
    assert submission.archive.open().read() == make_archive()
    assert "Next in the queue" in said(client.get(answer["Location"]))


def test_the_form_states_what_is_left_before_anything_is_sent(cast: Cast, client: Client) -> None:
    cast.phase.quota_total = 10
    cast.phase.quota_per_day = 2
    cast.phase.closes_at = timezone.now() + timedelta(days=2)
    cast.phase.save()
    make_phase(cast.competition, "test", opens_at=timezone.now() + timedelta(days=2))
    make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    page = said(client.get(submit_url(cast)))
    assert "Left: 9 of 10 submissions, 1 of 2 today (UTC)." in page
    assert "Start the upload before" in page
    assert "Test opens on" in page
    assert "mask_1.h5 to mask_3.h5" in page


def test_the_phase_of_the_address_is_chosen(cast: Cast, client: Client) -> None:
    second = make_phase(cast.competition, "future", position=5)
    client.force_login(cast.owner)
    assert client.get(submit_url(cast)).context["form"]["phase"].value() == cast.phase.pk
    assert client.get(submit_url(cast), {"phase": "future"}).context["form"]["phase"].value() == second.pk
    assert (
        client.get(submit_url(cast), {"phase": "nothing"}).context["form"]["phase"].value() == cast.phase.pk
    )


REFUSED = [
    ({"archive": None}, 400, "Please choose the ZIP archive of your masks."),
    ({"archive": upload(b"")}, 400, "The file is empty. Upload the ZIP archive of your masks."),
    ({"method": ""}, 400, "Please name your method"),
    ({"method": "Net\u202etxt"}, 400, "The character U+202E cannot be used here. Please remove it."),
    ({"phase": 0}, 400, "Please choose one of the phases below."),
    ({"phase": None}, 400, "Please choose a phase."),
    ({"link": "not a link"}, 400, "Enter a valid URL."),
]


@pytest.mark.parametrize(("changes", "status", "sentence"), REFUSED)
def test_a_refusal_is_one_clear_sentence_and_nothing_typed_is_lost(
    cast: Cast, client: Client, changes: dict[str, Any], status: int, sentence: str
) -> None:
    client.force_login(cast.owner)
    answer = post(client, cast, **changes)
    assert answer.status_code == status
    page = said(answer)
    assert sentence in page
    for field, typed in WHOLE.items():
        if field not in changes:
            assert typed in page, field
    assert not Submission.objects.exists()
    assert not Attempt.objects.exists()


def test_too_large_is_said_with_both_sizes(cast: Cast, client: Client, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 100
    client.force_login(cast.owner)
    answer = post(client, cast)
    assert answer.status_code == 413
    assert "the limit is 100." in said(answer)
    assert not Submission.objects.exists()


def test_after_the_end_nothing_is_taken(cast: Cast, client: Client) -> None:
    cast.phase.closes_at = timezone.now() - timedelta(minutes=1)
    cast.phase.save()
    client.force_login(cast.owner)
    answer = post(client, cast)
    assert answer.status_code == 403
    assert "Validation ended on" in said(answer)
    assert not Submission.objects.exists()


def test_over_the_quota_is_429_with_the_next_time(cast: Cast, client: Client) -> None:
    cast.phase.quota_per_day = 1
    cast.phase.save()
    client.force_login(cast.owner)
    assert post(client, cast).status_code == 302
    answer = post(client, cast)
    assert answer.status_code == 429
    assert "The next one is accepted from" in said(answer)
    assert WHOLE["method"] in said(answer)
    assert Submission.objects.count() == 1


def test_the_same_form_and_file_sent_twice_make_one_submission(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    key = client.get(submit_url(cast)).context["form"]["form_key"].value()
    first = post(client, cast, form_key=key, archive=upload(b"a file"))
    assert post(client, cast, form_key=key, archive=upload(b"a file"))["Location"] == first["Location"]
    assert Submission.objects.count() == 1
    other = post(client, cast, form_key=key, archive=upload(b"another file"))
    assert other["Location"] != first["Location"]


def test_without_a_team_the_way_to_one_is_shown(cast: Cast, client: Client) -> None:
    client.force_login(cast.stranger)
    for url in (submit_url(cast), list_url(cast)):
        answer = client.get(url)
        assert reverse("pages:team", args=[cast.competition.slug]) in said(answer)
        assert "You need a team first" in said(answer)
    assert post(client, cast).status_code == 403
    assert not Submission.objects.exists()


def test_an_organiser_reads_how_to_submit_reference_entries(cast: Cast, client: Client) -> None:
    client.force_login(cast.organiser)
    page = said(client.get(submit_url(cast)))
    assert "Organisers do not compete" in page
    assert "reference=true" in page
    home = said(client.get(reverse("pages:competition", args=[cast.competition.slug])))
    assert "You organise this competition." in home
    assert "not in a team yet" not in home


def test_pages_of_a_team_ask_a_visitor_to_sign_in(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase)
    urls = [submit_url(cast), list_url(cast)]
    urls += [reverse(f"pages:{name}", args=[made.pk]) for name in ("submission", "archive")]
    for url in urls:
        answer = client.get(url)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/?next=/")


def test_an_archive_that_is_not_kept_is_not_found(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase)
    made.archive.storage.delete(made.archive.name)
    client.force_login(cast.owner)
    assert client.get(reverse("pages:archive", args=[made.pk])).status_code == 404


def test_an_archive_in_a_silent_storage_is_503(
    cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any) -> None:
        raise OSError("The bucket failed")

    submission = make_submission(cast.team, cast.phase, by=cast.owner)
    monkeypatch.setattr(type(submission.archive.storage), "_open", silent)
    client.force_login(cast.owner)
    answer = client.get(reverse("pages:archive", args=[submission.pk]))
    assert answer.status_code == 503
    assert "try again in a few minutes" in said(answer)


def test_one_submission_is_for_its_team_and_the_organisers(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase, (80, 10, 30), content=b"the very bytes")
    for user, status in (
        (cast.owner, 200),
        (cast.teammate, 200),
        (cast.organiser, 200),
        (cast.rival, 404),
        (cast.stranger, 404),
    ):
        client.force_login(user)
        page = client.get(reverse("pages:submission", args=[made.pk]))
        archive = client.get(reverse("pages:archive", args=[made.pk]))
        assert (page.status_code, archive.status_code) == (status, status), user
        if status == 200:
            assert "88.89" in said(page)
            assert archive.getvalue() == b"the very bytes"
            assert archive["Content-Disposition"] == f'attachment; filename="submission-{made.pk}.zip"'
            assert archive["Content-Type"] == "application/zip"
    for user in (cast.rival, cast.stranger):
        client.force_login(user)
        for name in ("withdraw", "select"):
            assert client.post(reverse(f"pages:{name}", args=[made.pk])).status_code == 404


def test_hidden_metrics_are_hidden_on_every_page_of_the_team(cast: Cast, client: Client) -> None:
    cast.phase.visible_metrics = "f1"
    cast.phase.save()
    made = make_submission(cast.team, cast.phase, (80, 10, 30))
    client.force_login(cast.owner)
    urls = [list_url(cast), reverse("pages:submission", args=[made.pk])]
    for url in urls:
        page = said(client.get(url))
        assert "80.00" in page
        assert "88.89" not in page
        assert "72.73" not in page
    cast.phase.hidden_until_close = True
    cast.phase.save()
    for url in urls:
        page = said(client.get(url))
        assert "80.00" not in page
        assert "hidden" in page


def test_problems_are_shown_with_file_code_sentence_and_what_to_do(cast: Cast, client: Client) -> None:
    problems = (
        Problem("folder_in_archive", "predictions/", "The masks lie in a folder. Zip the files themselves."),
        Problem("wrong_values", "mask_2.h5", "The mask holds 255."),
    )
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.INVALID, problems=problems)
    client.force_login(cast.teammate)
    page = said(client.get(reverse("pages:submission", args=[made.pk])))
    for problem in problems:
        for text in (problem.code, problem.file, problem.message):
            assert text in page
    assert "What to do" in page
    assert "l4s check masks.zip --patches 3 --size 16x16" in page
    assert "Attempt given back" in page
    assert "hx-get" not in page


def test_a_problem_of_many_files_is_one_row(cast: Cast, client: Client) -> None:
    problems = tuple(
        Problem("dataset_missing", f"mask_{n}.h5", "There is no dataset.") for n in range(1, 246)
    )
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.INVALID, problems=problems)
    client.force_login(cast.teammate)
    page = said(client.get(reverse("pages:submission", args=[made.pk])))
    assert page.count("There is no dataset.") == 1
    assert "245 files: mask_1.h5, mask_2.h5, mask_3.h5 …" in re.sub(r"<.*?>", "", page)


def test_the_result_names_what_it_was_made_with(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    url = reverse("pages:submission", args=[made.pk])
    page, fragment = said(client.get(url)), said(client.get(url, headers={"HX-Request": "true"}))
    assert made.sha256 in page
    for part in (
        cast.phase.labels.commitment,
        "labels version 1",
        f"Scorer version {made.evaluation.scorer}",
    ):
        assert part in fragment


def test_a_fault_of_the_server_names_its_incident(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.FAILED)
    client.force_login(cast.owner)
    page = said(client.get(reverse("pages:submission", args=[made.pk])))
    assert "incident <code>0123456789ab</code>" in page
    assert "It does not count towards your quota" in page


def test_an_unfinished_submission_is_asked_for_until_it_is_final(cast: Cast, client: Client) -> None:
    make_submission(cast.other_team, cast.phase, state=Evaluation.State.QUEUED)
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    client.force_login(cast.owner)
    url = reverse("pages:submission", args=[made.pk])
    assert "Position 2 in the queue, expected to be scored in about 2 s." in said(client.get(url))
    fragment = client.get(url, headers={"HX-Request": "true"})
    assert said(fragment).startswith('<section id="state"')
    assert 'hx-trigger="load delay:700ms, every 30s, visibilitychange from:document"' in said(fragment)
    assert 'hx-trigger="load delay:700ms, ' in said(client.get(list_url(cast)))
    assert "position 2" in said(client.get(list_url(cast), headers={"HX-Request": "true"}))
    take(made)
    assert 'hx-trigger="load delay:300ms, ' in said(client.get(url))
    Submission.objects.filter(pk=made.pk).update(received_at=timezone.now() - timedelta(minutes=2))
    assert 'hx-trigger="load delay:700ms, ' in said(client.get(url))  # a worker may have died


def test_a_page_asks_more_often_the_sooner_its_score_may_come() -> None:
    now = timezone.now()
    row = {"submission": Submission(received_at=now)}
    pauses = [
        poll_after({**row, "wait": (1, seconds)}, now) for seconds in (0.1, 1.0, 2.0, 20.0, 60.0, 9000.0)
    ]
    assert pauses == [300, 350, 700, 7000, 20_000, 20_000]


def ask_again(client: Client, shown: Any) -> Any:
    """What the page asks next, by the address that ``shown`` names."""
    address = re.search(r'hx-get="([^"]+)"', said(shown))
    assert address
    return client.get(html.unescape(address[1]), headers={"HX-Request": "true"})


def test_a_page_that_only_waits_costs_the_server_little(
    cast: Cast, client: Client, django_assert_max_num_queries: Any
) -> None:
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    client.force_login(cast.owner)
    page = client.get(reverse("pages:submission", args=[made.pk]))
    with django_assert_max_num_queries(
        5
    ):  # session, person, state; the queue and its pace, which pages share
        still = ask_again(client, page)
    assert said(still).startswith("<p hx-get=")
    assert "Next in the queue" in said(still)
    assert "HX-Retarget" not in still
    held = take(made)
    scoring = ask_again(client, still)
    assert scoring["HX-Retarget"] == "#state"
    assert said(scoring).startswith('<section id="state"')
    assert "A worker is reading and scoring the archive." in said(ask_again(client, scoring))
    record(held, (50, 50, 50))
    scored = ask_again(client, scoring)
    assert scored["HX-Retarget"] == "#state"
    assert "50.00" in said(scored)


def test_a_result_is_announced_and_the_queue_is_not(cast: Cast, client: Client) -> None:
    """What is swapped lies in a live region that stays; one that is swapped itself is not read out."""
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    client.force_login(cast.owner)
    page = said(client.get(reverse("pages:submission", args=[made.pk])))
    assert re.search(r'<div class="news" aria-live="polite">\s*<section id="state"', page)
    assert re.search(r'<div aria-live="off">\s*<p hx-get=', page)
    scored = make_submission(cast.team, cast.phase)
    answer = client.get(reverse("pages:submission", args=[scored.pk]), headers={"HX-Request": "true"})
    assert "aria-live" not in said(answer)


def test_what_a_page_says_that_it_shows_opens_nothing_to_others(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    client.force_login(cast.owner)
    page = client.get(reverse("pages:submission", args=[made.pk]))
    other = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    address = re.search(r"shown=[^\"]+", said(page))
    assert address
    elsewhere = reverse("pages:submission", args=[other.pk]) + "?" + address[0]
    assert said(client.get(elsewhere, headers={"HX-Request": "true"})).startswith('<section id="state"')
    stranger = Client()
    stranger.force_login(cast.stranger)
    assert ask_again(stranger, page).status_code == 404
    Submission.objects.filter(pk=made.pk).update(withdrawn_at=timezone.now())
    assert "Withdrawn by the team" in said(ask_again(client, page))


@pytest.mark.parametrize(("state", "may_withdraw"), [("scored", True), ("invalid", False)])
def test_who_waited_on_the_page_gets_all_that_a_result_brings(
    state: str, may_withdraw: bool, cast: Cast, client: Client
) -> None:
    cast.phase.allows_withdrawal = True
    cast.phase.save()
    waits = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    done = make_submission(cast.team, cast.phase, state=state)
    client.force_login(cast.owner)

    def news(made: Submission) -> str:
        return said(client.get(reverse("pages:submission", args=[made.pk]), headers={"HX-Request": "true"}))

    assert 'id="change"' not in news(waits)  # who is about to press a button there keeps it
    assert '<section id="change" hx-swap-oob="true">' in news(done)
    assert ("Withdraw this submission" in news(done)) == may_withdraw
    assert (reverse("pages:receipt", args=[done.pk]) in news(done)) == (state == "scored")
    assert "hx-swap-oob" not in said(client.get(reverse("pages:submission", args=[done.pk])))


def test_withdrawing_frees_the_place(cast: Cast, client: Client) -> None:
    cast.phase.allows_withdrawal = True
    cast.phase.quota_on_board = 1
    cast.phase.save()
    made = make_submission(cast.team, cast.phase)
    client.force_login(cast.teammate)
    assert "Your team has 1 result standing" in said(client.get(submit_url(cast)))
    answer = client.post(reverse("pages:withdraw", args=[made.pk]), follow=True)
    assert "Withdrawn by the team" in said(answer)
    assert "Withdraw this submission" not in said(answer)
    assert "Left: 1 of 1 places on the board" in said(client.get(submit_url(cast)))


def test_withdrawing_is_refused_where_the_phase_does_not_allow_it(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    assert "Withdraw this submission" not in said(client.get(reverse("pages:submission", args=[made.pk])))
    answer = client.post(reverse("pages:withdraw", args=[made.pk]))
    assert answer.status_code == 403
    assert "Submissions in Validation cannot be withdrawn." in said(answer)
    answer = client.get(reverse("pages:withdraw", args=[made.pk]))
    assert answer["Location"] == reverse("pages:submission", args=[made.pk])


def test_selecting_up_to_the_limit(cast: Cast, client: Client) -> None:
    cast.phase.counts = "selected"
    cast.phase.selected_limit = 1
    cast.phase.save()
    first, second = make_submission(cast.team, cast.phase), make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    answer = client.post(reverse("pages:select", args=[first.pk]), {"selected": "yes"}, follow=True)
    assert "Undo the selection" in said(answer)
    refused = client.post(reverse("pages:select", args=[second.pk]), {"selected": "yes"})
    assert refused.status_code == 409
    assert "Unselect one first." in said(refused)
    client.post(reverse("pages:select", args=[first.pk]), {"selected": "no"})
    assert not Submission.objects.filter(selected=True).exists()


def test_a_disqualification_shows_its_reason(cast: Cast, client: Client) -> None:
    made = make_submission(cast.team, cast.phase)
    Submission.objects.filter(pk=made.pk).update(
        disqualified_at=timezone.now(), disqualified_reason="Masks drawn by hand."
    )
    client.force_login(cast.owner)
    assert "Masks drawn by hand." in said(client.get(reverse("pages:submission", args=[made.pk])))


def test_the_list_shows_my_team_alone(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase, method="Ours")
    make_submission(cast.other_team, cast.phase, method="Theirs")
    client.force_login(cast.teammate)
    page = said(client.get(list_url(cast)))
    assert "Ours" in page
    assert "Theirs" not in page


def test_the_list_costs_the_same_whatever_its_length(
    cast: Cast, client: Client, django_assert_num_queries
) -> None:
    client.force_login(cast.owner)
    states = (Evaluation.State.SCORED, Evaluation.State.INVALID, Evaluation.State.QUEUED)
    for state in states:
        make_submission(cast.team, cast.phase, state=state)
    # session, user, competition, team, phases, organises, count, rows, queue, usual time, what counts, scores, usage,
    # tags, pages, winners, extensions (twice), terms
    with django_assert_num_queries(19):
        client.get(list_url(cast))
    for state in states * 4:
        make_submission(cast.team, cast.phase, state=state)
    with django_assert_num_queries(19):
        client.get(list_url(cast))


def test_a_page_left_open_after_signing_out_reloads(cast: Cast, client: Client) -> None:
    answer = client.get(list_url(cast), headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Refresh"]) == (204, "true")
