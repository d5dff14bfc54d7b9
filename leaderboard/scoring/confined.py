"""Files of organisers and of other servers, read by a confined process: nothing that holds secrets parses them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.conf import settings

from evaluation.sandbox.files import FileReader
from evaluation.sandbox.guards import hide_memory
from evaluation.sandbox.reader import ReaderKilled, ReaderNotStarted

log = structlog.get_logger(__name__)

_turn = threading.RLock()  # the bounds are for one file at a time


class CannotRead(RuntimeError):
    """This machine cannot read files safely now; says so to the person who sent one. Not a fault of the file."""


@contextmanager
def file_reader() -> Iterator[FileReader]:
    """A reader for one act. Raises CannotRead from within where files cannot be read."""
    hide_memory()
    with _turn, FileReader(confined=not settings.SCORE_WITHOUT_FILTER, user=settings.READER_UID) as reader:
        try:
            yield reader
        except (ReaderNotStarted, ReaderKilled) as error:
            log.exception("a file could not be read")
            raise CannotRead(
                f"The server cannot read files safely at the moment, so nothing was changed. {error}"
            ) from error
