"""Which competition a row belongs to: one path per model, for the admin's scope and for exports."""

from typing import Any

from django.db import models

from .announcements import Announcement
from .attempts import Attempt
from .audit import AuditEntry
from .boards import PublishedEntry, Standing
from .bulk import BulkAct
from .competitions import Competition, LabelSet, Page, Phase, QuickLook
from .corrections import LabelReport
from .data import DataFile
from .extensions import Extension
from .mails import Mail
from .notices import Notice
from .pictures import Picture
from .questions import Question
from .refused import RefusedUpload
from .rehearsals import Rehearsal
from .reports import PhaseReport
from .reviews import Review
from .roles import JuryVote, Role
from .rosters import Award, JoinRequest, Merger, MethodDescription, Prize
from .submissions import Evaluation, Prediction, Submission
from .teams import Invitation, Membership, Team
from .terms import Terms, TermsAcceptance
from .webhooks import Webhook, WebhookCall

COMPETITION_OF: dict[type[models.Model], str] = {
    Competition: "pk",
    Page: "competition",
    Phase: "competition",
    LabelSet: "phase__competition",
    LabelReport: "phase__competition",
    PhaseReport: "phase__competition",
    PublishedEntry: "phase__competition",
    QuickLook: "phase__competition",
    Review: "phase__competition",
    Mail: "competition",
    Notice: "phase__competition",
    Announcement: "competition",
    Question: "competition",
    Role: "competition",
    JuryVote: "prize__competition",
    Rehearsal: "competition",
    Picture: "competition",
    DataFile: "competition",
    Terms: "competition",
    TermsAcceptance: "terms__competition",
    BulkAct: "competition",
    Team: "competition",
    Membership: "competition",
    Invitation: "team__competition",
    Webhook: "team__competition",
    WebhookCall: "webhook__team__competition",
    JoinRequest: "team__competition",
    Merger: "team__competition",
    MethodDescription: "team__competition",
    Prize: "competition",
    Award: "competition",
    Submission: "phase__competition",
    Evaluation: "submission__phase__competition",
    Prediction: "submission__phase__competition",
    Attempt: "phase__competition",
    Standing: "phase__competition",
    Extension: "phase__competition",
    RefusedUpload: "phase__competition",
    AuditEntry: "competition",
}


def competition_of(row: models.Model) -> Competition | None:
    """The competition that a row belongs to, or None (a person, a token)."""
    path = COMPETITION_OF.get(type(row))
    if path is None:
        return None
    found: Any = row
    for step in path.split("__") if path != "pk" else ():
        found = getattr(found, step)
    return found
