"""The archive of one submission, as it was uploaded."""

from django.http import FileResponse, Http404

from leaderboard.actions import submissions
from leaderboard.models import Submission


def archive_response(submission: Submission) -> FileResponse:
    """The archive as a download, never to show.

    Raises Http404 if it is not kept, and StorageUnavailable if the storage does not answer.
    """
    content = submissions.open_archive(submission)
    if content is None:
        raise Http404
    return FileResponse(
        content,
        as_attachment=True,
        filename=f"submission-{submission.pk}.zip",
        content_type="application/zip",
    )
