"""Webhooks of teams: what is told, signed so that others can check it, tried again, switched off, and never to inside."""

import base64
import hashlib
import hmac
import json
import re
import threading
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from evaluation.scoring.counts import pack
from leaderboard.actions import accounts, announcements, bulk, corrections, judging, single_teams, webhooks
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed, TooMany
from leaderboard.models import Announcement, LabelSet, Phase, Webhook, WebhookCall, WebhookEvent
from leaderboard.models.webhooks import PAUSES
from leaderboard.notifications import notices as notices_job
from leaderboard.notifications import webhooks as job
from leaderboard.notifications.announcements import send_due
from leaderboard.platform import outgoing
from tests.leaderboard.factories import PASSWORD, TINY, Cast, make_masks, make_phase, make_submission

pytestmark = pytest.mark.django_db
URL = "https://8.8.8.8/hook"


class Receiver:
    """In place of the network: remembers the calls and answers with ``status``, or raises it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes, dict[str, str]]] = []
        self.status: int | Exception = 204

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        self.calls.append((url, body, headers))
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body, _ in self.calls]

    @property
    def types(self) -> list[str]:
        return [body["type"] for body in self.bodies]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    made = Receiver()
    monkeypatch.setattr(job.outgoing, "post", made.post)
    for module in (bulk, webhooks, job):
        monkeypatch.setattr(module, "ring_on_commit", lambda task: None)
    return made


@pytest.fixture
def hook(cast: Cast, receiver: Receiver) -> Webhook:
    made, secret = webhooks.set_webhook(cast.owner, cast.team, URL)
    assert secret == made.secret
    return made


def run() -> int:
    notices_job.work()
    return job.deliver()


def later(**delta: float) -> None:
    """The next tries are due, as after so much time."""
    step = timedelta(**delta)
    WebhookCall.objects.update(next_try_at=timezone.now())
    for found in Webhook.objects.exclude(failing_since=None):
        Webhook.objects.filter(pk=found.pk).update(failing_since=found.failing_since - step)


# What is told


def test_a_score_is_told_once_with_what_the_team_may_see(
    cast: Cast, hook: Webhook, receiver: Receiver
) -> None:
    made = make_submission(cast.team, cast.phase, (80, 20, 20), method="Ü-Net")
    assert (run(), run()) == (1, 0)
    [body] = receiver.bodies
    assert body["type"] == "submission.scored"
    assert body["data"]["team"] == {"id": cast.team.pk, "name": "Alpine"}
    assert body["data"]["phase"]["slug"] == "validation"
    told = body["data"]["submission"]
    assert (told["id"], told["state"], told["method"]) == (made.pk, "scored", "Ü-Net")
    assert (told["f1"], told["precision"], told["recall"], told["problems"]) == (0.8, 0.8, 0.8, [])
    hook.refresh_from_db()
    assert (hook.last_ok, hook.last_result, hook.failing_since) == (True, "answered 204", None)
    assert not WebhookCall.objects.exists()


@pytest.mark.parametrize(
    ("fields", "visible"),
    [
        ({"visible_metrics": "f1"}, {"f1"}),
        ({"hidden_until_close": True, "closes_at": timezone.now() + timedelta(days=30)}, set()),
        (
            {"ladder_step": "0.1", "ladder_start": "0.1", "closes_at": timezone.now() + timedelta(days=30)},
            set(),
        ),
    ],
)
def test_what_a_phase_hides_is_not_told(
    cast: Cast, hook: Webhook, receiver: Receiver, fields: dict[str, Any], visible: set[str]
) -> None:
    Phase.objects.update(**fields)
    make_submission(cast.team, Phase.objects.get(), (1000, 100, 400))
    run()
    told = receiver.bodies[0]["data"]["submission"]
    assert {name for name in ("f1", "precision", "recall") if told[name] is not None} == visible
    text = receiver.calls[0][1].decode()
    hidden = {"f1": "0.8", "precision": "0.909", "recall": "0.714"}
    assert not [name for name, number in hidden.items() if number in text and name not in visible]


def test_problems_and_failures(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    make_submission(cast.team, cast.phase, state="invalid")
    make_submission(cast.team, cast.phase, state="failed")
    run()
    assert receiver.types == ["submission.invalid", "submission.failed"]
    assert [body["data"]["submission"]["problems"][0]["code"] for body in receiver.bodies] == [
        "empty_file",
        "internal_error",
    ]


def test_the_other_events(cast: Cast, hook: Webhook, receiver: Receiver, monkeypatch: Any) -> None:
    make_submission(cast.team, cast.phase, (90, 10, 10))
    run()
    make_submission(cast.other_team, cast.phase, (95, 5, 5))
    run()
    assert receiver.types == ["submission.scored", "team.overtaken"]
    overtaken = receiver.bodies[1]["data"]
    assert (overtaken["rival"]["name"], overtaken["rank"], overtaken["teams"]) == ("Rivals", 2, 2)
    receiver.calls.clear()
    announcements.announce(
        cast.organiser, Announcement(competition=cast.competition, title="A new date", body="It is later.")
    )
    send_due(timezone.now())
    made = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY, "redrawn")
    label_set = LabelSet.objects.select_related("phase__competition").get(pk=made.pk)
    corrections.apply_correction(cast.organiser, label_set, "two patches were swapped")
    end = timezone.now() + timedelta(days=7)
    make_phase(cast.competition, "second", closes_at=end)
    type(cast.team).objects.update(created_at=timezone.now() - timedelta(days=3))
    run()
    assert receiver.types == ["announcement.published", "labels.corrected", "phase.closing"]
    announced, corrected, closing = (body["data"] for body in receiver.bodies)
    assert announced["announcement"]["title"] == "A new date"
    assert corrected["labels"] == {"version": 2, "commitment": label_set.commitment}
    assert (closing["phase"]["slug"], closing["before"]) == ("second", "7d")


def test_a_team_with_a_later_end_gets_that(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    webhooks.set_webhook(cast.owner, cast.team, URL, ["phase.closing"])
    end = (timezone.now() + timedelta(hours=23)).replace(microsecond=0)
    second = make_phase(cast.competition, "second", closes_at=end - timedelta(hours=1))
    single_teams.extend(cast.organiser, cast.team, second, "a power cut", closes_at=end)
    type(cast.team).objects.update(created_at=timezone.now() - timedelta(days=3))
    run()
    [closing] = (body["data"] for body in receiver.bodies)
    assert datetime.fromisoformat(closing["closes_at"]) == end


def test_only_chosen_events_and_only_the_own_team(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    webhooks.set_webhook(cast.owner, cast.team, URL, ["submission.invalid"])
    make_submission(cast.team, cast.phase)
    make_submission(cast.other_team, cast.phase, state="invalid")
    make_submission(cast.team, cast.phase, state="invalid")
    run()
    assert receiver.types == ["submission.invalid"]
    assert receiver.bodies[0]["data"]["team"]["name"] == "Alpine"


# Signatures


def signed(receiver: Receiver) -> tuple[bytes, dict[str, str]]:
    _, body, headers = receiver.calls[-1]
    return body, headers


def test_another_implementation_verifies_the_signature(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    make_submission(cast.team, cast.phase, method="Ü-Net")
    run()
    body, headers = signed(receiver)
    assert Verifier(hook.secret).verify(body, headers)["type"] == "submission.scored"
    with pytest.raises(WebhookVerificationError):
        Verifier(hook.secret).verify(body.replace(b"scored", b"scores"), headers)
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(body, headers)
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    text = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    by_hand = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{by_hand}"


def test_the_example_in_the_documents_verifies_it(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/scripting.md").read_text()
    [example] = re.findall(r"```python\n((?:(?!```).)*def verify.*?)```", page, re.DOTALL)
    known: dict[str, Any] = {}
    exec(example, known)
    webhooks.change_secret(cast.owner, cast.team)
    make_submission(cast.team, cast.phase)
    run()
    body, headers = signed(receiver)
    for secret in (hook.secret, Webhook.objects.get().secret):
        assert known["verify"](secret, headers, body)
    assert not known["verify"](hook.secret, headers, body + b" ")
    assert not known["verify"](hook.secret, {**headers, "webhook-timestamp": "1"}, body)


def test_a_try_again_has_the_same_id_and_body_and_a_new_time(
    cast: Cast, hook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = 500
    make_submission(cast.team, cast.phase)
    run()
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(hours=1))
    receiver.status = 200
    run()
    (_, first, before), (_, second, after) = receiver.calls
    assert (first, before["webhook-id"]) == (second, after["webhook-id"])
    assert int(after["webhook-timestamp"]) - int(before["webhook-timestamp"]) >= 3599


def test_for_a_day_both_secrets_sign(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    _, fresh = webhooks.change_secret(cast.owner, cast.team)
    assert fresh != hook.secret
    make_submission(cast.team, cast.phase)
    run()
    body, headers = signed(receiver)
    for secret in (hook.secret, fresh):
        Verifier(secret).verify(body, headers)
    Webhook.objects.update(old_secret_until=timezone.now() - timedelta(seconds=1))
    make_submission(cast.team, cast.phase)
    run()
    body, headers = signed(receiver)
    Verifier(fresh).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(hook.secret).verify(body, headers)


# Tries


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (302, "answered 302"),
        (500, "answered 500"),
        (TimeoutError("timed out"), "no answer in time"),
        (ConnectionRefusedError("refused"), "ConnectionRefusedError: refused"),
        (
            outgoing.AddressRefused("hook.example is not a host of the public internet."),
            "hook.example is not",
        ),
    ],
)
def test_what_is_not_accepted_is_tried_again(
    cast: Cast, hook: Webhook, receiver: Receiver, status: Any, result: str
) -> None:
    receiver.status = status
    make_submission(cast.team, cast.phase)
    assert run() == 0
    hook.refresh_from_db()
    assert hook.last_ok is False
    assert hook.last_result.startswith(result)
    assert hook.failing_since is not None
    assert job.deliver() == 0
    assert len(receiver.calls) == 1  # not before its time
    receiver.status = 200
    later(minutes=1)
    assert job.deliver() == 1
    hook.refresh_from_db()
    assert (hook.last_ok, hook.failing_since, hook.calls.count()) == (True, None, 0)


def test_pauses_grow(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    receiver.status = 503
    make_submission(cast.team, cast.phase)
    run()
    for pause in PAUSES:
        waits = WebhookCall.objects.get().next_try_at - timezone.now()
        assert pause - timedelta(seconds=5) < waits <= pause
        later()
        job.deliver()


def test_a_dead_host_is_asked_once_in_a_run(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    """However many calls wait for it: each may take ten seconds."""
    receiver.status = TimeoutError()
    for _ in range(5):
        make_submission(cast.team, cast.phase)
    run()
    assert len(receiver.calls) == 1
    assert not WebhookCall.objects.due(timezone.now()).exists()
    receiver.status = 200
    later()
    assert job.deliver() == 5


def test_after_days_it_is_switched_off_with_a_mail(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    receiver.status = 500
    make_submission(cast.team, cast.phase)
    run()
    later(days=2, hours=23)
    job.deliver()
    hook.refresh_from_db()
    assert hook.is_active
    mail.outbox.clear()
    later(hours=2)
    job.deliver()
    hook.refresh_from_db()
    assert not hook.is_active
    assert not WebhookCall.objects.exists()
    [message] = mail.outbox
    assert message.to == [cast.owner.email]
    assert "answered 500" in message.body
    make_submission(cast.team, cast.phase)
    asked = len(receiver.calls)
    run()
    assert len(receiver.calls) == asked
    assert not WebhookCall.objects.exists()
    webhooks.set_webhook(cast.owner, cast.team, URL)
    receiver.status = 200
    make_submission(cast.team, cast.phase)
    assert run() == 1


def test_gone_means_gone(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    receiver.status = 410
    make_submission(cast.team, cast.phase)
    run()
    hook.refresh_from_db()
    assert not hook.is_active


def test_two_workers_never_make_the_same_call(cast: Cast, hook: Webhook) -> None:
    make_submission(cast.team, cast.phase)
    notices_job.work()
    assert job._claim() is not None
    assert job._claim() is None


# Owners


def test_only_owners(cast: Cast, hook: Webhook) -> None:
    for act in (
        lambda user: webhooks.set_webhook(user, cast.team, URL),
        lambda user: webhooks.change_secret(user, cast.team),
        lambda user: webhooks.send_test(user, cast.team),
        lambda user: webhooks.remove_webhook(user, cast.team),
    ):
        for user in (cast.teammate, cast.rival, cast.organiser):
            with pytest.raises(NotAllowed):
                act(user)


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
    ],
)
def test_an_address_that_leads_inside_is_refused_when_it_is_saved(
    cast: Cast, url: str, receiver: Receiver
) -> None:
    with pytest.raises(InvalidInput) as refused:
        webhooks.set_webhook(cast.owner, cast.team, url)
    assert "url" in refused.value.facts["fields"]
    assert not Webhook.objects.exists()


def test_unknown_events_are_named(cast: Cast, receiver: Receiver) -> None:
    with pytest.raises(InvalidInput, match=r"Unknown: submission\.lost"):
        webhooks.set_webhook(cast.owner, cast.team, URL, ["submission.lost"])


def test_a_test(cast: Cast, hook: Webhook, receiver: Receiver) -> None:
    webhooks.send_test(cast.owner, cast.team)
    with pytest.raises(Conflict, match="on its way"):
        webhooks.send_test(cast.owner, cast.team)
    job.deliver()
    assert receiver.types == ["webhook.test"]
    with pytest.raises(TooMany):
        webhooks.send_test(cast.owner, cast.team)
    webhooks.remove_webhook(cast.owner, cast.team)
    with pytest.raises(Conflict, match="no webhook"):
        webhooks.send_test(cast.owner, cast.team)


def test_the_page(cast: Cast, receiver: Receiver, client: Client) -> None:
    client.force_login(cast.owner)
    slug = [cast.competition.slug]
    address = reverse("pages:webhook", args=slug)
    assert address in client.get(reverse("pages:team", args=slug)).content.decode()
    wrong = client.post(address, {"url": "https://127.0.0.1/", "events": ["submission.scored"]})
    assert wrong.status_code == 400
    assert "not a host of the public internet" in wrong.content.decode()
    made = client.post(address, {"url": URL, "events": ["submission.scored", "team.overtaken"]})
    hook = Webhook.objects.get()
    assert hook.events == ["submission.scored", "team.overtaken"]
    assert hook.secret in made.content.decode()
    page = client.get(address).content.decode()
    assert hook.secret not in page
    assert "It has not been called yet" in page
    client.post(reverse("pages:webhook-test", args=slug))
    job.deliver()
    assert "was accepted: answered 204" in client.get(address).content.decode()
    changed = client.post(reverse("pages:webhook-secret", args=slug)).content.decode()
    assert Webhook.objects.get().secret in changed
    client.post(reverse("pages:webhook-remove", args=slug))
    assert not Webhook.objects.exists()


def test_the_api(cast: Cast, receiver: Receiver, client: Client) -> None:
    client.force_login(cast.owner)
    address = f"/api/v1/teams/{cast.team.pk}/webhook/"
    assert client.get(address).status_code == 404
    wrong = client.put(address, {"url": "https://10.0.0.1/"}, "application/json")
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["url"])
    made = client.put(address, {"url": URL}, "application/json").json()
    assert made["secret"] == Webhook.objects.get().secret
    assert made["events"] == WebhookEvent.values
    again = client.put(address, {"url": URL, "events": ["phase.closing"]}, "application/json").json()
    assert (again["secret"], again["events"]) == ("", ["phase.closing"])
    assert client.post(f"{address}test/").status_code == 202
    assert "secret" not in client.get(address).json()
    assert client.get(address).json()["waiting"] == 1
    assert client.post(f"{address}secret/").json()["secret"].startswith("whsec_")
    data = client.get("/api/v1/account/").json()
    assert data["webhooks"][0]["url"] == URL
    assert Webhook.objects.get().secret not in json.dumps(data)
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_an_account_takes_its_webhook_with_it(cast: Cast, hook: Webhook) -> None:
    cast.team.memberships.filter(user=cast.teammate).update(role="owner")
    accounts.delete_account(cast.owner, PASSWORD)
    assert not Webhook.objects.exists()


def test_a_real_receiver(cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, to this machine, which only a setting allows."""
    monkeypatch.setattr(webhooks, "ring_on_commit", lambda task: None)
    seen: list[tuple[bytes, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        settings.WEBHOOK_PRIVATE_ADDRESSES = True
        url = f"http://127.0.0.1:{server.server_port}/hook"
        made, secret = webhooks.set_webhook(cast.owner, cast.team, url)
        webhooks.send_test(cast.owner, cast.team)
        assert job.deliver() == 1
        body, headers = seen[0]
        assert Verifier(secret).verify(body, {name.lower(): value for name, value in headers.items()})
        settings.WEBHOOK_PRIVATE_ADDRESSES = False
        Webhook.objects.update(last_at=None)
        webhooks.send_test(cast.owner, cast.team)
        assert job.deliver() == 0
        made.refresh_from_db()
        assert "must begin with https" in made.last_result
        assert len(seen) == 1
    finally:
        server.shutdown()
        server.server_close()
