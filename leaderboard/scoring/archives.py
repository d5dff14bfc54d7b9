"""The archive of a submission, as it is read for scoring: the bytes that were received, or none."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files import File

from evaluation.archive.problems import Problem
from evaluation.sandbox.sealed import Sealed, seal
from leaderboard.models import Submission


class StorageSilent(Exception):
    """The storage cannot return the archive or say whether it exists; ``__cause__`` is its error."""


class ArchiveLost(Exception):
    """The storage answers, but no longer has the bytes that the team sent: a fault of the server."""

    problem = Problem.of("archive_lost")


@contextmanager
def received_archive(submission: Submission) -> Iterator[Sealed]:
    """The submission's archive, copied to memory that nobody can change and compared with the SHA-256 of its receipt:
    the bytes checked are the bytes read, whatever happens to the file.

    Raises ArchiveLost if it is missing or differs, StorageSilent if the storage does not answer.
    """
    with _open(submission) as file:
        try:
            sealed = seal(cast(BinaryIO, file))
        except OSError as error:
            raise StorageSilent from error
    with sealed:
        if sealed.sha256 != submission.sha256:
            raise ArchiveLost(
                f"{submission.archive.name} has {sealed.size} bytes with the SHA-256 {sealed.sha256}; "
                f"{submission.size} bytes with {submission.sha256} were received"
            )
        yield sealed


def _open(submission: Submission) -> File:
    try:
        return submission.archive.open("rb")
    except FileNotFoundError as error:
        if _is_away(submission):
            raise StorageSilent from error
        raise ArchiveLost(f"{submission.archive.name} is missing from the storage") from error
    except ValueError as error:
        raise ArchiveLost("no archive was kept") from error
    except OSError as error:
        raise StorageSilent from error


def _is_away(submission: Submission) -> bool:
    """Whether the whole storage is missing, such as a folder that is not mounted."""
    with suppress(NotImplementedError):
        return not Path(submission.archive.storage.path("")).is_dir()
    return False
