"""A good request for every operation of the API: who sends what, on rows that exist."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.test import Client
from django.utils import timezone

from leaderboard.actions.accounts import create_token
from leaderboard.models import Announcement, DataFile, Phase
from tests.leaderboard.factories import PASSWORD, make_archive, make_user
from tests.leaderboard.permissions import Stage


@dataclass(frozen=True)
class Seed:
    """``who``: a role of the stage; ``path``: the row; ``body``: JSON, or a form where ``media_type`` says so."""

    who: str = "owner"
    path: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


FORM = "multipart/form-data"


class World:
    """The stage, with a file to download, an announcement to everybody, and a token for each role."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        cast = stage.cast
        Phase.objects.filter(pk=cast.phase.pk).update(feedback="patches")
        self.file = DataFile(competition=cast.competition, name="Train.zip", size=5, sha256="0" * 64)
        self.file.file.save("Train.zip", ContentFile(b"bytes"))
        Announcement.objects.create(
            competition=cast.competition, title="News", body="**Text**", publish_at=timezone.now()
        )
        stage.people["applicant"] = stage.asked.user
        stage.people["leaver"] = make_user("leaver")
        self.csrf = secrets.token_hex(16)
        self.tokens = {name: create_token(user, "seed")[1] for name, user in stage.people.items() if user}

    def headers(self, who: str) -> dict[str, str]:
        """As the role authenticates: by token, in a session where a token may not."""
        if who != "session":
            return {"Authorization": f"Bearer {self.tokens[who]}"}
        return {"X-CSRFToken": self.csrf}

    def cookies(self, who: str) -> dict[str, str]:
        if who != "session":
            return {}
        client = Client()
        client.force_login(self.stage.people["owner"])
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        return {settings.SESSION_COOKIE_NAME: session, settings.CSRF_COOKIE_NAME: self.csrf}

    def seeds(self) -> dict[str, Seed]:
        """By operationId."""
        stage, cast = self.stage, self.stage.cast
        slug, submission = {"slug": cast.competition.slug}, {"id": stage.submission.pk}
        phase, team = {"id": cast.phase.pk}, {"id": cast.team.pk}
        question, slug_of = {"id": stage.behind["question"].pk}, {"competition": cast.competition.slug}
        archive = make_archive()
        return {
            "account_list": Seed(),
            "account_delete_create": Seed("leaver", body={"password": PASSWORD}),
            "attempts_list": Seed(),
            "competitions_list": Seed(),
            "competitions_retrieve": Seed(path=slug),
            "competitions_announcements_list": Seed(path=slug),
            "competitions_awards_retrieve": Seed(path=slug),
            "competitions_data_retrieve": Seed(path=slug),
            "competitions_data_download": Seed(path={**slug, "name": self.file.name}),
            "invitations_list": Seed(),
            "invitations_create": Seed(body={"team": cast.team.pk}),
            "invitations_destroy": Seed(path={"id": stage.invitation.pk}),
            "invitations_accept_create": Seed("stranger", body={"token": stage.invitation_token}),
            "join_requests_list": Seed(),
            "join_requests_create": Seed("stranger", body={"team": cast.other_team.pk, "message": "Hello"}),
            "join_requests_accept_create": Seed(path={"id": stage.asked.pk}),
            "join_requests_decline_create": Seed(path={"id": stage.asked.pk}),
            "join_requests_withdraw_create": Seed("applicant", path={"id": stage.asked.pk}),
            "mergers_list": Seed(),
            "mergers_create": Seed(body={"team": cast.team.pk, "other": stage.third.pk}),
            "mergers_accept_create": Seed(path={"id": stage.offered.pk}),
            "mergers_decline_create": Seed(path={"id": stage.offered.pk}),
            "mergers_withdraw_create": Seed(path={"id": stage.proposed.pk}),
            "phases_list": Seed(),
            "phases_retrieve": Seed(path=phase),
            "phases_leaderboard_retrieve": Seed(path=phase),
            "phases_leaderboard_csv": Seed(path=phase),
            "competitions_terms_retrieve": Seed(path=slug),
            "competitions_accept_terms_create": Seed(path=slug, body={"version": 1}),
            "questions_list": Seed(),
            "questions_retrieve": Seed(path=question),
            "questions_create": Seed(
                body={**slug_of, "title": "A question", "body": "How?", "wants_privacy": False}
            ),
            "questions_answer_create": Seed(
                "organiser", path=question, body={"answer": "So.", "public": True}
            ),
            "submissions_list": Seed(),
            "submissions_create": Seed(
                body={"phase": cast.phase.pk, "method": "U-Net", "archive": archive, "allow_duplicate": True},
                media_type=FORM,
            ),
            "submissions_retrieve": Seed(path=submission),
            "submissions_archive_retrieve": Seed(path=submission),
            "submissions_counts_retrieve": Seed(path=submission),
            "submissions_note_retrieve": Seed(path=submission),
            "submissions_note_update": Seed(path=submission, body={"text": "Good", "tags": ["fold 1"]}),
            "submissions_note_destroy": Seed(path=submission),
            "submissions_receipt_retrieve": Seed(path=submission),
            "submissions_select_create": Seed(path=submission, body={"selected": False}),
            "submissions_withdraw_create": Seed(path=submission),
            "teams_list": Seed(),
            "teams_create": Seed(
                "stranger", body={"competition": cast.competition.slug, "name": "A new team"}
            ),
            "teams_retrieve": Seed(path=team),
            "teams_partial_update": Seed(path=team, body={"affiliation": "Institute"}),
            "teams_description_retrieve": Seed(path=team),
            "teams_description_create": Seed(path=team, body={"file": b"%PDF-1.7 a page"}, media_type=FORM),
            "teams_history_retrieve": Seed(path=team),
            "teams_leave_create": Seed("teammate", path=team),
            "teams_make_owner_create": Seed(path=team, body={"username": "teammate"}),
            "teams_membership_partial_update": Seed(path=team, body={"is_named": True}),
            "teams_mine_retrieve": Seed(),
            "teams_remove_member_create": Seed(path=team, body={"username": "teammate"}),
            "account_notifications_retrieve": Seed(),
            "account_notifications_partial_update": Seed(body={"scored": True}),
            "teams_webhook_retrieve": Seed(path=team),
            "teams_webhook_update": Seed(path=team, body={"url": "https://8.8.8.8/other"}),
            "teams_webhook_destroy": Seed(path=team),
            "teams_webhook_secret_create": Seed(path=team),
            "teams_webhook_test_create": Seed(path=team),
            "tokens_list": Seed(),
            "tokens_create": Seed("session", body={"name": "new", "days": 7, "scopes": ["read", "submit"]}),
            "tokens_destroy": Seed(path={"prefix": stage.token.token_key}),
        }
