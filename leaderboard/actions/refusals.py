"""The named reasons for which an action refuses. Each carries its sentence, its code and its HTTP status."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from leaderboard.models.names import without_invisible
from leaderboard.models.text import plain_text
from leaderboard.platform.counters import REFUSALS


class Refusal(Exception):
    """An action that cannot be done, with the sentence that the person reads."""

    code = "refused"
    status = 400
    for_scripts = ""
    """What the API adds to the sentence, where a page has a button."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __str__(self) -> str:
        return self.message

    def count(self) -> None:
        """Count it for Prometheus: a request was refused. A refusal that only explains a disabled choice is not."""
        REFUSALS.labels(self.code).inc()


class NotAllowed(Refusal):
    code, status = "not_allowed", 403


class OrganisersDoNotCompete(Refusal):
    code, status = "organisers_do_not_compete", 403


class NoTeam(Refusal):
    code, status = "no_team", 403


class PhaseNotOpen(Refusal):
    """``next_at``: when the phase opens, if it is yet to open."""

    code, status = "phase_not_open", 403


class PhaseEnded(PhaseNotOpen):
    code = "phase_ended"


class PhaseWithoutLabels(PhaseNotOpen):
    code = "no_labels"


class RosterLocked(Refusal):
    code, status = "roster_locked", 403


class NotWithdrawable(Refusal):
    code, status = "not_withdrawable", 403


class TermsNotAccepted(Refusal):
    """``address``: where to read and accept them."""

    code, status = "terms_not_accepted", 403


class TeamNotApproved(Refusal):
    code, status = "team_not_approved", 403


class QuestionsClosed(Refusal):
    code, status = "questions_closed", 403


class AlreadyInTeam(Refusal):
    code, status = "already_in_team", 409


class NameTaken(Refusal):
    code, status = "name_taken", 409


class TeamFull(Refusal):
    code, status = "team_full", 409


class Conflict(Refusal):
    code, status = "conflict", 409


class KeyReused(Conflict):
    """``submission``: the one that the key made; ``fields``: what differs from it."""

    code = "idempotency_key_reused"


class InvitationUnknown(Refusal):
    code, status = "invitation_unknown", 404


class LinkUnknown(Refusal):
    """A link of a mail that leads nowhere."""

    code, status = "link_unknown", 404


class SameArchive(Refusal):
    """``submission``: the number of the team's earlier submission of the same bytes."""

    code, status = "same_archive", 409
    for_scripts = " In a script, send `allow_duplicate=true`; with `l4s submit`, add `--attempt 2`."


class UploadGone(Refusal):
    code, status = "upload_gone", 410


class WrongOffset(Refusal):
    code, status = "wrong_offset", 409


class UploadIncomplete(Refusal):
    code, status = "upload_incomplete", 409


class ChecksumMismatch(Refusal):
    """460: the status that the tus protocol defines for it."""

    code, status = "checksum_mismatch", 460


class DigestMismatch(Refusal):
    """``fields``: the header, and the digest of what arrived."""

    code, status = "digest_mismatch", 400


class InvalidInput(Refusal):
    code, status = "invalid", 400


class EmptyArchive(Refusal):
    code, status = "empty_file", 400


class ArchiveTooLarge(Refusal):
    code, status = "too_large", 413


class QuotaUsedUp(Refusal):
    """The quota of the day. ``next_at``: when the next submission is accepted."""

    code, status = "quota_used_up", 429


class TotalUsedUp(QuotaUsedUp):
    """Waiting does not help."""

    code, status = "total_used_up", 403


class BoardFull(QuotaUsedUp):
    """Waiting does not help; withdrawing does, where the phase allows it."""

    code, status = "board_full", 409


class TooMany(Refusal):
    """``next_at``: when it can be asked again."""

    code, status = "too_many", 429

    def __init__(self, message: str, next_at: datetime) -> None:
        super().__init__(message, next_at=next_at)


class StorageUnavailable(Refusal):
    """The server cannot store or read a file: a full disk, a storage service that is down."""

    code, status = "storage_unavailable", 503


def check_organiser(user: Any, competition: Any) -> None:
    """Refuse anyone who does not organise the competition. ``user`` None is the server's console, which may do anything."""
    if user is not None and not competition.is_organised_by(user):
        raise NotAllowed(f"Only organisers of {competition} can do that.")


def check_helper(user: Any, competition: Any) -> None:
    """Refuse anyone who neither organises the competition nor helps with it."""
    if user is not None and not competition.is_helped_by(user):
        raise NotAllowed(f"Only organisers and helpers of {competition} can do that.")


def check_fields(row: Any, *names: str) -> None:
    """Refuse with InvalidInput, field by field, what a row's named columns cannot hold.

    What nobody sees in a pasted text is removed first; it is not a reason to refuse.
    """
    for name in names:
        if plain_text in row._meta.get_field(name).validators and isinstance(getattr(row, name), str):
            setattr(row, name, without_invisible(getattr(row, name)))
    try:
        row.clean_fields(exclude={field.name for field in row._meta.fields} - set(names))
    except ValidationError as error:
        sentences = (f"{name}: {' '.join(found)}" for name, found in error.message_dict.items())
        raise InvalidInput(" ".join(sentences), fields=error.message_dict) from error
