"""The rows, their constraints, and their QuerySets as the vocabulary of every other room.

Models hold the rules of one row and of a phase. They never change state across rows (see ``leaderboard.actions``
and ``leaderboard.scoring.queue``), never read a request and never send anything.
"""

from .accounts import ApiToken, User
from .attempts import Attempt, QuotaUsage
from .audit import AuditEntry
from .boards import PublishedEntry, Standing
from .competitions import Competition, LabelSet, Page, Phase, QuickLook
from .corrections import LabelReport
from .mails import Mail
from .reports import PatchPicture, PhaseReport
from .reviews import Review
from .rosters import Award, JoinRequest, Merger, MethodDescription, Prize
from .submissions import Evaluation, Prediction, Submission
from .teams import Invitation, Membership, Team
from .workers import Worker

__all__ = [
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "Award",
    "Competition",
    "Evaluation",
    "Invitation",
    "JoinRequest",
    "LabelReport",
    "LabelSet",
    "Mail",
    "Membership",
    "Merger",
    "MethodDescription",
    "Page",
    "PatchPicture",
    "Phase",
    "PhaseReport",
    "Prediction",
    "Prize",
    "PublishedEntry",
    "QuickLook",
    "QuotaUsage",
    "Review",
    "Standing",
    "Submission",
    "Team",
    "User",
    "Worker",
]
