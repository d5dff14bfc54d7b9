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
        **_account(user),
        **_in_teams(user),
        **_as_participant(user),
        "submissions": [_submission(each, viewpoint) for each in submissions],
        **_as_organiser(user),
    }


def _account(user: Any) -> dict[str, Any]:
    """The account, and how one signs in to it."""
    return {
        "account": _fields(
            user,
            *("username", "first_name", "last_name", "email", "affiliation", "country"),
            *("date_joined", "last_login", "is_staff", "is_superuser"),
        ),
        "email_addresses": _rows(EmailAddress.objects.filter(user=user), "email", "verified", "primary"),
        "api_tokens": _rows(
            user.auth_token_set,
            *("name", "token_key", "note", "scope", "competition__slug"),
            *("created", "expiry", "last_used_at", "last_used_from"),
        ),
        "sessions": _rows(
            UserSession.objects.filter(user=user), "ip", "user_agent", "created_at", "last_seen_at"
        ),
        "sign_ins": _rows(user.sign_ins, "device", "network", "first_at", "last_at"),
        "mails_wanted": NoticeChoice.objects.of(user),
        "mails_not_sent_yet": _rows(
            Mail.objects.filter(to__iexact=user.email).exclude(to=""), "subject", "queued_at"
        ),
    }


def _in_teams(user: Any) -> dict[str, Any]:
    """Teams, and what their members did for them."""
    return {
        "teams": [
            {
                "competition": membership.competition.slug,
                "team": membership.team.name,
                **_fields(membership, "role", "joined_at", "is_named"),
            }
            for membership in user.memberships.select_related("competition", "team")
        ],
        "invitations_sent": _rows(
            Invitation.objects.filter(created_by=user), "team__name", "email", "created_at"
        ),
        "invitations_accepted": _rows(
            Invitation.objects.filter(accepted_by=user), "team__name", "email", "accepted_at"
        ),
        "requests_to_join": _rows(
            JoinRequest.objects.filter(user=user),
            "team__name",
            "message",
            "created_at",
            "accepted",
            "withdrawn",
        ),
        "mergers_proposed": _rows(
            Merger.objects.filter(proposed_by=user),
            "team__name",
            "other__name",
            "created_at",
            "accepted",
            "withdrawn",
        ),
        "method_descriptions": _rows(
            MethodDescription.objects.filter(uploaded_by=user),
            "team__name",
            "members",
            "sha256",
            "uploaded_at",
            "verdict",
            "verdict_reason",
        ),
        "webhooks": _rows(
            Webhook.objects.filter(created_by=user),
            "team__name",
            "url",
            "events",
            "created_at",
            "is_active",
            "last_at",
            "last_result",
        ),
        "notes_on_submissions": _rows(
            SubmissionNote.objects.filter(edited_by=user), "submission", "text", "tags", "edited_at"
        ),
    }


def _as_participant(user: Any) -> dict[str, Any]:
    """What a participant accepted, asked, reported and uploaded."""
    return {
        "terms_accepted": _rows(
            user.accepted_terms, "terms__competition__slug", "terms__version", "accepted_at"
        ),
        "questions_asked": _rows(
            user.questions, "competition__slug", "title", "body", "created_at", "answer", "answered_at"
        ),
        "label_reports": _rows(
            LabelReport.objects.filter(reported_by=user),
            "phase__name",
            "patch",
            "text",
            "created_at",
            "answer",
        ),
        "uploads_begun": _rows(
            Upload.objects.own(user), "phase__name", "name", "length", "offset", "created_at", "expires_at"
        ),
        "uploads_refused": _rows(
            RefusedUpload.objects.filter(user=user),
            "phase__name",
            "code",
            "day",
            "number",
            "last_at",
            "sentence",
        ),
    }


def _as_organiser(user: Any) -> dict[str, Any]:
    """What an organiser, a helper or a member of a jury did."""
    return {
        "organises": list(user.organised_competitions.values_list("slug", flat=True)),
        "roles": _rows(user.roles, "competition__slug", "kind", "granted_at"),
        "roles_granted": _rows(
            Role.objects.filter(granted_by=user), "competition__slug", "user__username", "kind"
        ),
        "jury_votes": _rows(user.jury_votes, "prize__title", "team__name", "reason", "voted_at"),
        "announcements_written": _rows(
            Announcement.objects.filter(author=user), "competition__slug", "title", "publish_at"
        ),
        "questions_answered": _rows(
            Question.objects.filter(answered_by=user), "competition__slug", "title", "answer"
        ),
        "terms_published": _rows(
            Terms.objects.filter(published_by=user), "competition__slug", "version", "published_at"
        ),
        "extensions_granted": _rows(
            Extension.objects.filter(granted_by=user), "phase__name", "team__name", "granted_at", "reason"
        ),
        "bulk_acts": _rows(
            BulkAct.objects.filter(requested_by=user), "kind", "reason", "requested_at", "total"
        ),
        "reports_requested": _rows(
            PhaseReport.objects.filter(requested_by=user), "phase__name", "requested_at"
        ),
        "reviews_looked_at": _rows(
            Review.objects.filter(looked_by=user), "phase__name", "kind", "looked_at", "note"
        ),
        "rehearsals_requested": _rows(
            Rehearsal.objects.filter(requested_by=user), "competition__slug", "requested_at"
        ),
        "acts_in_the_log": _rows(AuditEntry.objects.filter(actor=user), "at", "act", "subject", "reason"),
    }


def _rows(found: Any, *names: str) -> list[dict[str, Any]]:
    return list(found.values(*names))


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
