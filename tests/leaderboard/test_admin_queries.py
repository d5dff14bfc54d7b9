"""Every address of the admin asks at most ten queries, with 2 teams as with 200."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evaluation.scoring.metrics import rank_key
from leaderboard.models import (
    Announcement,
    Attempt,
    AuditEntry,
    Award,
    BulkAct,
    Evaluation,
    Extension,
    JoinRequest,
    JuryVote,
    LabelReport,
    Mail,
    Membership,
    Merger,
    MethodDescription,
    Question,
    RefusedUpload,
    Review,
    Role,
    Standing,
    Submission,
    Team,
    TermsAcceptance,
    User,
)
from tests.leaderboard.factories import Cast, make_labels, make_masks, make_submission
from tests.leaderboard.permissions import Row, Stage, names_of_all_addresses, rows

MOST = 10
NOW = timezone.now()
FRAME = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT")  # of a transaction: they ask nothing


def desk() -> list[Row]:
    """All addresses of the admin that anybody can look at."""
    looked_at = {row.name: row for row in rows() if row.method == "GET" and not row.hidden}
    names = {name for name in names_of_all_addresses() if name.startswith("admin")}
    return [looked_at[name] for name in sorted(names & set(looked_at))]


def crowd(stage: Stage, number: int) -> None:
    """More teams, each with rows of every kind of its own: a row of a list is never about the same team twice."""
    cast, many = stage.cast, range(number)
    people = User.objects.bulk_create(
        User(username=f"p{i}", email=f"p{i}@example.org", password="!") for i in many
    )
    teams = Team.objects.bulk_create(
        Team(competition=cast.competition, name=f"Crew {i}", folded_name=f"crew {i}") for i in many
    )
    phase, labels = cast.phase, cast.phase.labels
    other = phase.label_sets.get(version=2)
    sent = Submission.objects.bulk_create(
        Submission(phase=phase, team=team, submitted_by=people[i], method="U-Net", size=1, sha256=f"c{i:063x}",
                   received_at=NOW - timedelta(minutes=i), disqualified_at=NOW if i % 9 == 8 else None)
        for i, team in enumerate(teams)
    )  # fmt: skip
    assert stage.submission.evaluation is not None
    counts = stage.submission.evaluation.patch_counts
    for version in (other, labels):
        scores = Evaluation.objects.bulk_create(
            Evaluation(submission=row, label_set=version, state="scored", tp=9 + i, fp=3, fn=4, rank_key=rank_key(9 + i, 3, 4),
                       finished_at=NOW, scorer="1", incident="0123456789ab", patch_counts=counts)
            for i, row in enumerate(sent)
        )  # fmt: skip
    for row, score in zip(sent, scores, strict=True):
        row.evaluation = score
    Submission.objects.bulk_update(sent, ["evaluation"])
    review = {"kind": "same_counts", "evidence": {"value": 0.5, "limit": 0.1}}
    each: dict[type[models.Model], Any] = {
        Membership: lambda i: {"competition": cast.competition, "user": people[i], "role": "owner"},
        Attempt: lambda i: {"submission": sent[i], "phase": phase, "state": "spent", "reserved_at": NOW, "day": NOW.date(),
                            "total_slot": 0, "day_slot": 0, "board_slot": 0},
        JoinRequest: lambda i: {"user": people[i - 1]},
        Merger: lambda i: {"other": teams[i - 1], "proposed_by": people[i]},
        MethodDescription: lambda i: {"pdf": b"%PDF-1.7", "uploaded_at": NOW, "uploaded_by": people[i]},
        Award: lambda i: {"competition": cast.competition, "title": f"Prize {i}"},
        LabelReport: lambda i: {"phase": phase, "patch": 1, "text": "wrong", "reported_by": people[i]},
        Review: lambda i: {"phase": phase, "other": teams[i - 1], **review},
        Extension: lambda i: {"phase": phase, "quota_total": 5, "reason": "ill"},
        RefusedUpload: lambda i: {"phase": phase, "user": people[i], "code": "too_large", "day": NOW.date(), "last_at": NOW},
    }  # fmt: skip
    for model, fields in each.items():
        model._default_manager.bulk_create(model(team=team, **fields(i)) for i, team in enumerate(teams))
    of_people(stage, people, teams)
    with transaction.atomic():
        Standing.objects.rebuild(phase)


def of_people(stage: Stage, people: list[User], teams: list[Team]) -> None:
    """What belongs to a person or to the competition."""
    competition = stage.cast.competition
    Question.objects.bulk_create(
        Question(competition=competition, asked_by=person, title="Why", body="?") for person in people
    )
    TermsAcceptance.objects.bulk_create(TermsAcceptance(terms=stage.terms, user=person) for person in people)
    Role.objects.bulk_create(
        Role(competition=competition, user=person, kind="jury", granted_by=stage.cast.organiser)
        for person in people
    )
    JuryVote.objects.bulk_create(
        JuryVote(prize=stage.special, juror=person, team=team, reason="new")
        for person, team in zip(people, teams, strict=True)
    )
    Mail.objects.bulk_create(
        Mail(competition=competition, to=person.email, subject="Labels") for person in people
    )
    Announcement.objects.bulk_create(
        Announcement(competition=competition, title="Dates", body="Later.", author=person)
        for person in people
    )
    BulkAct.objects.bulk_create(
        BulkAct(
            competition=competition,
            kind="rescore",
            reason="try",
            rows=[],
            total=0,
            requested_by=person,
        )
        for person in people
    )
    for person in people:
        AuditEntry.objects.append("made", competition=competition, actor=person, subject="a test")


def asked(stage: Stage) -> dict[str, list[str]]:
    """The queries of each address, as whoever may open it: the organiser, or else an administrator."""
    found = {}
    for row in desk():
        role = "organiser" if row.cells[6] == "200" else "administrator"
        if row.cells[7] != "200":
            continue  # sends elsewhere, or is for nobody
        with CaptureQueriesContext(connection) as captured:
            answer = stage.clients[role].get(stage.address(row.name))
            assert answer.status_code == 200, row.name
            b"".join(answer)
        found[row.name] = [q["sql"] for q in captured if not q["sql"].startswith(FRAME)]
    return found


@pytest.mark.django_db
@pytest.mark.timeout(300)
def test_every_page_asks_ten_queries_at_most_with_two_teams_and_with_two_hundred(cast: Cast) -> None:
    stage = Stage(cast)
    make_labels(cast.phase, make_masks(seed=1))
    first, second = cast.phase.label_sets.order_by("version")
    stage.behind["labelset"] = second
    type(cast.phase).objects.filter(pk=cast.phase.pk).update(labels=first)
    cast.phase.labels = first
    make_submission(cast.other_team, cast.phase, (60, 40, 40))
    Team.objects.filter(pk=stage.third.pk).delete()
    stage.behind["merger"] = stage.proposed
    ContentType.objects.get_for_models(*apps.get_models())  # asked once by a process
    few = asked(stage)
    crowd(stage, 198)
    many = asked(stage)
    assert len(many) > 200, "the list of addresses is not read any more"
    slow = {name: len(queries) for name, queries in many.items() if len(queries) > MOST}
    grown = {
        name: (len(few[name]), len(queries))
        for name, queries in many.items()
        if len(queries) > len(few[name]) + 2 * (name == "admin:leaderboard_phase_ranking")
    }  # a ranking longer than its page asks how long it is: a worker's figure, and where there is none it counts
    for name in {*slow, *grown}:
        print(name, len(few[name]), *many[name], sep="\n   ")  # shown if it fails
    assert not slow
    assert not grown
