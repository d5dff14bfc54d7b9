"""Models, constraints, and the QuerySets that the rest of the code uses as its vocabulary.

Models contain the rules of one row or one phase. They never change state across rows (see ``leaderboard.actions``
and ``leaderboard.scoring.queue``), never read a request and never send anything.
"""

from .accounts import ALL_SCOPES, ApiToken, Scope, SignIn, User
from .addresses import FormerSlug
from .announcements import Announcement
from .attempts import Attempt, QuotaUsage
from .audit import AuditEntry
from .boards import PublishedEntry, Standing
from .bulk import BulkAct
from .competitions import Competition, LabelSet, Page, Phase, QuickLook
from .corrections import LabelReport
from .data import DataFile
from .extensions import Extension
from .figures import CompetitionFigures, PhaseFigures
from .mails import Mail
from .notes import SubmissionNote
from .notices import Notice, NoticeChoice, NoticeKind
from .pictures import Picture
from .questions import Question
from .refused import RefusedUpload
from .rehearsals import Rehearsal
from .reports import PatchPicture, PhaseReport
from .reviews import Review
from .roles import JuryVote, Role
from .rosters import Award, JoinRequest, Merger, MethodDescription, Prize
from .submissions import Evaluation, Prediction, Submission
from .teams import Invitation, Membership, Team
from .terms import Terms, TermsAcceptance
from .uploads import Upload, UploadPart
from .webhooks import Webhook, WebhookCall, WebhookEvent
from .workers import Worker

__all__ = [
    "ALL_SCOPES",
    "Announcement",
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "Award",
    "BulkAct",
    "Competition",
    "CompetitionFigures",
    "DataFile",
    "Evaluation",
    "Extension",
    "FormerSlug",
    "Invitation",
    "JoinRequest",
    "JuryVote",
    "LabelReport",
    "LabelSet",
    "Mail",
    "Membership",
    "Merger",
    "MethodDescription",
    "Notice",
    "NoticeChoice",
    "NoticeKind",
    "Page",
    "PatchPicture",
    "Phase",
    "PhaseFigures",
    "PhaseReport",
    "Picture",
    "Prediction",
    "Prize",
    "PublishedEntry",
    "Question",
    "QuickLook",
    "QuotaUsage",
    "RefusedUpload",
    "Rehearsal",
    "Review",
    "Role",
    "Scope",
    "SignIn",
    "Standing",
    "Submission",
    "SubmissionNote",
    "Team",
    "Terms",
    "TermsAcceptance",
    "Upload",
    "UploadPart",
    "User",
    "Webhook",
    "WebhookCall",
    "WebhookEvent",
    "Worker",
]
