"""The organisers' commands."""

import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.test import Client
from django.utils import timezone
from knox.auth import TokenAuthentication

from leaderboard.models import ApiToken, AuditEntry, Evaluation, Phase, Standing
from tests.leaderboard.factories import Cast, make_labels, make_masks, make_submission, make_team, take


def best_of_all_evaluations(phase: Phase) -> set[tuple[int, int, int]]:
    """(team, submission, key) of each team's best, by one window query over all evaluations: no standing is read."""
    rows = (
        Evaluation.objects.filter(
            state="scored",
            label_set=phase.labels,
            submission__phase=phase,
            submission__reference=False,
            submission__withdrawn_at=None,
            submission__disqualified_at=None,
            submission__evaluation=F("pk"),
            submission__team__is_organisers=False,
            submission__team__merged_into=None,
        )
        .annotate(
            place=Window(
                RowNumber(),
                partition_by="submission__team",
                order_by=[F("rank_key").desc(), F("submission__received_at").asc(), F("submission_id").asc()],
            )
        )
        .filter(place=1)
    )
    return set(rows.values_list("submission__team", "submission", "rank_key"))


def standings(phase: Phase) -> set[tuple[int, int, int]]:
    rows = Standing.objects.filter(phase=phase, label_set=phase.labels, kind=Standing.Kind.EXACT)
    return set(rows.values_list("team", "submission", "rank_key"))


class TestRebuildStandings:
    @pytest.fixture
    def phase(self, cast: Cast) -> Phase:
        """Seventy submissions of twelve teams: ties, re-scores, withdrawn and disqualified ones, references."""
        start = timezone.now() - timedelta(days=3)
        for number in range(12):
            team = make_team(cast.competition, f"Team no {number}", is_organisers=number == 11)
            for entry in range(6):
                seed = number * 31 + entry * 17
                made = make_submission(
                    team,
                    cast.phase,
                    (50 + seed % 23, seed % 7, seed % 11),
                    state="invalid" if seed % 9 == 0 else "scored",
                    received_at=start + timedelta(minutes=seed % 50),
                    reference=number == 11,
                    withdrawn_at=start if seed % 8 == 0 else None,
                    disqualified_at=start if seed % 13 == 0 else None,
                )
                assert made.team == team
        return cast.phase

    def test_standings_are_what_a_window_query_over_all_evaluations_says(self, phase: Phase) -> None:
        expected = best_of_all_evaluations(phase)
        assert len(expected) > 8
        assert standings(phase) == expected

    def test_repairs_what_was_broken(self, phase: Phase, capsys: pytest.CaptureFixture[str]) -> None:
        expected = best_of_all_evaluations(phase)
        version = Phase.objects.get(pk=phase.pk).board_version
        Standing.objects.filter(pk__in=Standing.objects.values("pk")[:5]).delete()
        Standing.objects.update(rank_key=1)
        assert standings(phase) != expected
        call_command("rebuild_standings", "validation")
        assert standings(phase) == expected
        assert Phase.objects.get(pk=phase.pk).board_version > version
        assert f"1 phases, {len(expected)} standings" in capsys.readouterr().out

    def test_knows_only_the_labels_in_force(self, phase: Phase) -> None:
        make_labels(phase, make_masks(seed=5))
        call_command("rebuild_standings")
        assert standings(phase) == best_of_all_evaluations(phase) == set()


class TestCreateToken:
    def test_prints_it_once_and_it_works(self, cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("create_token", "owner", "laptop")
        printed = capsys.readouterr()
        token = printed.out.strip()
        assert re.fullmatch(r"l4s_\w{40,}", token)
        assert token not in printed.err
        user, stored = TokenAuthentication().authenticate_credentials(token.encode())
        assert (user, stored.name) == (cast.owner, "laptop")
        assert token not in str(ApiToken.objects.values_list()[0])

    @pytest.mark.parametrize(
        ("user", "name", "sentence"),
        [
            ("nobody", "laptop", "User nobody does not exist"),
            ("owner", " ", "name: This field cannot be blank"),
            ("teammate", "x", "not active"),
        ],
    )
    def test_refuses(self, cast: Cast, user: str, name: str, sentence: str) -> None:
        cast.teammate.is_active = False
        cast.teammate.save()
        with pytest.raises(CommandError, match=sentence):
            call_command("create_token", user, name)
        assert not ApiToken.objects.exists()

    def test_by_address(self, cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("create_token", "Owner@Example.org", "laptop")
        assert ApiToken.objects.get().user == cast.owner


class TestQueue:
    def test_empty(self, cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("queue")
        assert capsys.readouterr().out == "The queue is empty.\n"

    def test_what_waits_and_who_scores(self, cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
        hour_ago = timezone.now() - timedelta(hours=1)
        busy = make_submission(cast.team, cast.phase, state="queued")
        take(busy)
        waiting = make_submission(cast.other_team, cast.phase, state="queued", received_at=hour_ago)
        make_submission(cast.team, cast.phase, state="queued")
        call_command("queue")
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("2 waiting (fresh submission), the oldest for 1:00:0")
        assert lines[1].startswith(
            f"scoring #{busy.pk} U-Net (Alpine) in Landslides 2022: Validation by test, try 1"
        )
        assert lines[2].startswith(f"   1. #{waiting.pk} U-Net (Rivals)")
        assert len(lines) == 4
        Evaluation.objects.scoring().update(lease_until=hour_ago)
        call_command("queue", "--limit", "1")
        lines = capsys.readouterr().out.splitlines()
        assert "OVERDUE" in lines[1]
        assert len(lines) == 3


class TestVerifyAuditLog:
    @pytest.fixture
    def entries(self, cast: Cast) -> list[AuditEntry]:
        return [
            AuditEntry.objects.append(
                "act", competition=cast.competition, actor=cast.organiser, details={"n": n}
            )
            for n in range(3)
        ]

    def test_holds(self, entries: list[AuditEntry], capsys: pytest.CaptureFixture[str]) -> None:
        call_command("verify_audit_log", "--contains", entries[1].digest)
        assert f"3 entries is intact; the last is entry {entries[2].pk}" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "change", [{"reason": "another"}, {"actor_name": "me"}, {"details": {"n": 7}}, {"digest": "0"}]
    )
    def test_a_changed_entry_is_named(self, entries: list[AuditEntry], change: dict) -> None:
        AuditEntry.objects.filter(pk=entries[1].pk).update(**change)
        with pytest.raises(CommandError, match=f"broken at entry {entries[1].pk}"):
            call_command("verify_audit_log")

    def test_a_removed_entry_is_noticed(self, entries: list[AuditEntry]) -> None:
        entries[1].delete()
        with pytest.raises(CommandError, match=f"broken at entry {entries[2].pk}"):
            call_command("verify_audit_log")

    def test_the_end_of_a_long_log_alone(self, entries: list[AuditEntry]) -> None:
        assert AuditEntry.objects.first_broken(newest=2) is None
        AuditEntry.objects.filter(pk=entries[0].pk).update(reason="another")
        assert AuditEntry.objects.first_broken() == entries[0]
        assert AuditEntry.objects.first_broken(newest=2) is None
        AuditEntry.objects.filter(pk=entries[1].pk).update(previous="0")
        assert AuditEntry.objects.first_broken(newest=2) == entries[1]
        assert AuditEntry.objects.first_broken(newest=99) == entries[0]

    def test_a_cut_off_end_is_noticed_by_the_digest_kept_elsewhere(self, entries: list[AuditEntry]) -> None:
        last = entries[2].digest
        entries[2].delete()
        call_command("verify_audit_log")
        with pytest.raises(CommandError, match="truncated"):
            call_command("verify_audit_log", "--contains", last)

    def test_the_page_says_so(self, entries: list[AuditEntry], cast: Cast, client: Client) -> None:
        client.force_login(cast.organiser)
        assert entries[2].digest in client.get("/admin/leaderboard/auditentry/").content.decode()
        AuditEntry.objects.filter(pk=entries[1].pk).update(reason="another")
        page = client.get("/admin/leaderboard/auditentry/").content.decode()
        assert "hash chain is broken" in page

    def test_the_page_checks_the_end_of_a_long_log(
        self, entries: list[AuditEntry], cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client.force_login(cast.organiser)
        assert "verify_audit_log" not in client.get("/admin/leaderboard/auditentry/").content.decode()
        monkeypatch.setattr("leaderboard.admin.audit.CHECKED", 2)
        AuditEntry.objects.filter(pk=entries[0].pk).update(reason="another")
        page = client.get("/admin/leaderboard/auditentry/").content.decode()
        assert "Only its last 2 entries were checked" in page
        assert "hash chain is broken" not in page
