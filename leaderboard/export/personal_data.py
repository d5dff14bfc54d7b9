"""Everything that the server keeps about one person, as plain data."""

from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession

from leaderboard.models import (
    Announcement,
    AuditEntry,
    BulkAct,
    Extension,
    Invitation,
    JoinRequest,
    LabelReport,
    Mail,
    Merger,
    MethodDescription,
    NoticeChoice,
    PhaseReport,
    Question,
    RefusedUpload,
    Rehearsal,
    Review,
    Role,
    Submission,
    SubmissionNote,
    Terms,
    Upload,
    Webhook,
)
from leaderboard.models.visibility import Viewpoint


def personal_data(user: Any, now: datetime) -> dict[str, Any]:
    """For JSON: the account, what hangs on it, and what the person did. Scores only as the person may see them."""
    viewpoint = Viewpoint(user, now)
    submissions = Submission.objects.with_evaluation().filter(submitted_by=user)
    return {
        "account": _fields(
            user,
            *("username", "first_name", "last_name", "email", "affiliation", "country"),
            *("date_joined", "last_login", "is_staff", "is_superuser"),
        ),
        "email_addresses": list(
            EmailAddress.objects.filter(user=user).values("email", "verified", "primary")
        ),
        "api_tokens": list(
            user.auth_token_set.values(
                *("name", "token_key", "note", "scope", "competition__slug"),
                *("created", "expiry", "last_used_at", "last_used_from"),
            )
        ),
        "sessions": list(
            UserSession.objects.filter(user=user).values("ip", "user_agent", "created_at", "last_seen_at")
        ),
        "sign_ins": list(user.sign_ins.values("device", "network", "first_at", "last_at")),
        "organises": list(user.organised_competitions.values_list("slug", flat=True)),
        "teams": [
            {
                "competition": membership.competition.slug,
                "team": membership.team.name,
                **_fields(membership, "role", "joined_at", "is_named"),
            }
            for membership in user.memberships.select_related("competition", "team")
        ],
        "invitations_sent": list(
            Invitation.objects.filter(created_by=user).values("team__name", "email", "created_at")
        ),
        "invitations_accepted": list(
            Invitation.objects.filter(accepted_by=user).values("team__name", "email", "accepted_at")
        ),
        "requests_to_join": list(
            JoinRequest.objects.filter(user=user).values(
                "team__name", "message", "created_at", "accepted", "withdrawn"
            )
        ),
        "mergers_proposed": list(
            Merger.objects.filter(proposed_by=user).values(
                "team__name", "other__name", "created_at", "accepted", "withdrawn"
            )
        ),
        "method_descriptions": list(
            MethodDescription.objects.filter(uploaded_by=user).values(
                "team__name", "members", "sha256", "uploaded_at", "verdict", "verdict_reason"
            )
        ),
        "reports_requested": list(
            PhaseReport.objects.filter(requested_by=user).values("phase__name", "requested_at")
        ),
        "reviews_looked_at": list(
            Review.objects.filter(looked_by=user).values("phase__name", "kind", "looked_at", "note")
        ),
        "label_reports": list(
            LabelReport.objects.filter(reported_by=user).values(
                "phase__name", "patch", "text", "created_at", "answer"
            )
        ),
        "mails_not_sent_yet": list(
            Mail.objects.filter(to__iexact=user.email).exclude(to="").values("subject", "queued_at")
        ),
        "webhooks": list(
            Webhook.objects.filter(created_by=user).values(
                "team__name", "url", "events", "created_at", "is_active", "last_at", "last_result"
            )
        ),
        "mails_wanted": NoticeChoice.objects.of(user),
        "notes_on_submissions": list(
            SubmissionNote.objects.filter(edited_by=user).values("submission", "text", "tags", "edited_at")
        ),
        "bulk_acts": list(
            BulkAct.objects.filter(requested_by=user).values("kind", "reason", "requested_at", "total")
        ),
        "announcements_written": list(
            Announcement.objects.filter(author=user).values("competition__slug", "title", "publish_at")
        ),
        "roles": list(user.roles.values("competition__slug", "kind", "granted_at")),
        "roles_granted": list(
            Role.objects.filter(granted_by=user).values("competition__slug", "user__username", "kind")
        ),
        "jury_votes": list(user.jury_votes.values("prize__title", "team__name", "reason", "voted_at")),
        "rehearsals_requested": list(
            Rehearsal.objects.filter(requested_by=user).values("competition__slug", "requested_at")
        ),
        "terms_accepted": list(
            user.accepted_terms.values("terms__competition__slug", "terms__version", "accepted_at")
        ),
        "terms_published": list(
            Terms.objects.filter(published_by=user).values("competition__slug", "version", "published_at")
        ),
        "questions_asked": list(
            user.questions.values("competition__slug", "title", "body", "created_at", "answer", "answered_at")
        ),
        "questions_answered": list(
            Question.objects.filter(answered_by=user).values("competition__slug", "title", "answer")
        ),
        "uploads_begun": list(
            Upload.objects.own(user).values(
                "phase__name", "name", "length", "offset", "created_at", "expires_at"
            )
        ),
        "extensions_granted": list(
            Extension.objects.filter(granted_by=user).values(
                "phase__name", "team__name", "granted_at", "reason"
            )
        ),
        "uploads_refused": list(
            RefusedUpload.objects.filter(user=user).values(
                "phase__name", "code", "day", "number", "last_at", "sentence"
            )
        ),
        "submissions": [_submission(each, viewpoint) for each in submissions],
        "acts_in_the_log": list(
            AuditEntry.objects.filter(actor=user).values("at", "act", "subject", "reason")
        ),
    }


def _fields(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _submission(submission: Submission, viewpoint: Viewpoint) -> dict[str, Any]:
    scores = viewpoint.scores(submission)
    metrics = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
    return {
        "phase": str(submission.phase),
        "team": submission.team.name,
        **_fields(submission, "id", "method", "description", "link", "original_name", "size", "sha256"),
        **_fields(submission, "received_at", "withdrawn_at", "state"),
        **{name: ratio and ratio.value for name, ratio in metrics.items()},
    }
