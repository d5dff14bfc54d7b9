"""Receipts, commitments and the public log, as people get them."""

import json
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.__main__ import main
from evaluation.scoring import labels as label_files
from evaluation.scoring.counts import pack
from evaluation.trust import receipts
from leaderboard.actions import bulk, judging
from leaderboard.actions.refusals import Conflict, NotAllowed
from leaderboard.models import AuditEntry, Evaluation, LabelSet
from tests.leaderboard.factories import TINY, Cast, make_archive, make_masks, make_submission


def url(name: str, *args: object) -> str:
    return reverse(f"pages:{name}", args=args)


def test_a_receipt_is_downloaded_and_verified_without_the_server(
    cast: Cast, client: Client, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission = make_submission(cast.team, cast.phase, (80, 10, 30))
    client.force_login(cast.teammate)
    answer = client.get(url("receipt", submission.pk))
    assert answer["Content-Disposition"] == f'attachment; filename="receipt-{submission.pk}.json"'
    (tmp_path / "receipt.json").write_bytes(answer.content)
    (tmp_path / "key.pem").write_bytes(client.get(url("receipt-key")).content)
    assert main(["verify", str(tmp_path / "receipt.json"), str(tmp_path / "key.pem"), "--json"]) == 0
    statement = json.loads(capsys.readouterr().out)["facts"]
    assert statement["archive_sha256"] == submission.sha256
    assert statement["labels_commitment"] == cast.phase.labels.commitment
    assert statement["scores_percent"] == {"precision": "88.89", "recall": "72.73", "f1": "80.00"}
    assert "counts" not in statement
    assert settings.RECEIPT_KEY not in answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "scores"), [({"visible_metrics": "f1"}, {"f1": "80.00"}), ({"hidden_until_close": True}, {})]
)
def test_a_receipt_holds_what_the_phase_shows(cast: Cast, fields: dict, scores: dict) -> None:
    for name, value in fields.items():
        setattr(cast.phase, name, value)
    cast.phase.save()
    submission = make_submission(cast.team, cast.phase, (80, 10, 30))
    address = f"/api/v1/submissions/{submission.pk}/receipt/"
    client = Client()
    client.force_login(cast.owner)
    for path in (url("receipt", submission.pk), address):
        assert client.get(path).json()["statement"]["scores_percent"] == scores
    client.force_login(cast.organiser)
    assert client.get(address).json()["statement"]["counts"] == {"tp": 80, "fp": 10, "fn": 30}
    for user, statuses in ((cast.rival, (404, 404)), (cast.stranger, (404, 404))):
        client.force_login(user)
        assert (
            client.get(url("receipt", submission.pk)).status_code,
            client.get(address).status_code,
        ) == statuses


def test_no_receipt_without_a_score(cast: Cast, client: Client) -> None:
    submission = make_submission(cast.team, cast.phase, state=Evaluation.State.INVALID)
    client.force_login(cast.owner)
    assert client.get(url("receipt", submission.pk)).status_code == 409
    assert client.get(f"/api/v1/submissions/{submission.pk}/receipt/").status_code == 409


def test_the_commitment_is_public_and_the_salt_after_the_end(cast: Cast, client: Client, tmp_path) -> None:
    masks = make_masks(seed=3)
    label_set = judging.load_labels(None, cast.phase, pack(masks), TINY, "first")
    page = client.get(url("trust", cast.competition.slug)).content.decode()
    assert label_set.commitment in page
    assert label_set.salt not in page
    assert "labels loaded" in page
    with pytest.raises(NotAllowed):
        judging.reveal_labels(cast.owner, label_set, "why not")
    with pytest.raises(Conflict, match="has not ended"):
        judging.reveal_labels(cast.organiser, label_set, "too early")
    cast.phase.closes_at = timezone.now() - timedelta(hours=1)
    cast.phase.save()
    label_set = LabelSet.objects.select_related("phase__competition").get(pk=label_set.pk)
    judging.reveal_labels(cast.organiser, label_set, "it is over")
    with pytest.raises(Conflict, match="already"):
        judging.reveal_labels(cast.organiser, label_set, "again")
    page = client.get(url("trust", cast.competition.slug)).content.decode()
    assert label_set.salt in page
    (tmp_path / "labels.zip").write_bytes(make_archive(masks))
    assert main(["verify-labels", str(tmp_path / "labels.zip"), label_set.commitment, label_set.salt]) == 0
    assert receipts.commitment(label_set.salt, label_files.sha256(pack(masks), TINY)) == label_set.commitment


def test_the_public_log_is_read_by_all_and_its_digests_hold(cast: Cast, client: Client) -> None:
    submission = make_submission(cast.team, cast.phase)
    judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=4)), TINY, "better ones")
    bulk.disqualify(cast.organiser, submission, "a private matter", withhold="names a person")
    page = client.get(url("trust", cast.competition.slug)).content.decode()
    assert "better ones" in page
    assert "a private matter" not in page
    head = AuditEntry.objects.order_by("-pk")[0].digest
    assert head in page
    log = client.get(url("trust-log", cast.competition.slug)).json()
    assert log["head"] == head
    (entry,) = log["entries"]
    assert entry["digest"] == AuditEntry.objects.for_public().get().compute_digest()
    assert "a private matter" not in json.dumps(log)


def test_a_saved_log_is_checked_without_the_server(
    cast: Cast, client: Client, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(name: str) -> dict:
        content = client.get(url("trust-log", cast.competition.slug)).json()
        (tmp_path / name).write_text(json.dumps(content))
        return content

    def check(*names: str) -> int:
        return main(["verify-log", *(str(tmp_path / name) for name in names)])

    judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=4)), TINY, "first")
    save("earlier.json")
    judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY, "second, ü")
    log = save("log.json")
    assert check("log.json") == check("log.json", "earlier.json") == 0
    assert check("earlier.json", "log.json") == 1
    assert "second, ü" not in capsys.readouterr().err
    log["entries"][1]["reason"] = "another reason"
    (tmp_path / "log.json").write_text(json.dumps(log))
    assert check("log.json") == 1
    assert "does not match its digest" in capsys.readouterr().out
    log["entries"] = log["entries"][1:]
    (tmp_path / "log.json").write_text(json.dumps(log))
    assert check("log.json", "earlier.json") == 1
    assert "was there earlier and is gone" in capsys.readouterr().out
    for text in ("[]", "{}", "no JSON"):
        (tmp_path / "log.json").write_text(text)
        assert check("log.json") == 1


def test_the_admin_reveals_with_a_reason(cast: Cast, client: Client) -> None:
    cast.phase.closes_at = timezone.now() - timedelta(hours=1)
    cast.phase.save()
    client.force_login(cast.organiser)
    reveal = reverse("admin:leaderboard_labelset_reveal", args=[cast.phase.labels.pk])
    client.get(reveal)
    assert LabelSet.objects.get().revealed_at is None
    client.post(reveal, {"confirmed": "1", "reason": "it is over"})
    assert LabelSet.objects.get().revealed_at is not None
