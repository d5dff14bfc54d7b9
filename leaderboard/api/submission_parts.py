"""What belongs to a submission: its receipt, its archive, its counts per patch, the team's note."""

from django.http import FileResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import notes
from leaderboard.actions.receipts import receipt_of
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed, StorageUnavailable
from leaderboard.export.archives import archive_response
from leaderboard.reporting.patch_scores import patch_scores

from .base import ViewSet
from .renderers import NPZ, Download
from .schema import problems
from .serializers.documents import ReceiptSerializer
from .serializers.notes import NoteSerializer
from .serializers.submissions import PatchScoresSerializer


class SubmissionParts(ViewSet):
    """Addresses below one submission."""

    @extend_schema(
        summary="A signed receipt of the score",
        responses=problems(401, 404, 409, ok=ReceiptSerializer),
    )
    @action(detail=True, methods=["get"])
    def receipt(self, request: Request, pk: int) -> Response:
        """What was received, when, and how it was scored, signed by the server (409 until there is a score).

        Verify it with `python -m evaluation verify RECEIPT KEY`; the key is at `/receipts/key`.
        """
        return Response(receipt_of(self.get_object(), request.user, timezone.now()))

    @extend_schema(
        summary="Download the archive",
        responses={
            (200, "application/zip"): OpenApiTypes.BINARY,
            **problems(401, 404, StorageUnavailable, status=0),
        },
    )
    @action(detail=True, methods=["get"], renderer_classes=[Download])
    def archive(self, request: Request, pk: int) -> FileResponse:
        """The archive as it was uploaded; 404 if it is not kept. Its SHA-256 is the submission's `sha256`."""
        return archive_response(self.get_object())

    @extend_schema(
        summary="Scores per patch",
        responses={
            (200, "application/json"): PatchScoresSerializer,
            (200, "application/x-npz"): OpenApiTypes.BINARY,
            **problems(401, NotAllowed, 404, Conflict, status=0),
        },
    )
    @action(detail=True, methods=["get"], renderer_classes=[JSONRenderer, NPZ])
    def counts(self, request: Request, pk: int) -> Response:
        """F1 and, where the phase's `feedback` shows them to you, true positives, false positives and false negatives of
        each patch, in the order of the patches.

        With `Accept: application/x-npz` or `?format=npz` as compressed NumPy arrays of the same names, NaN where `f1` is
        not defined. 403 while the phase does not show them to you; 409 without a score.
        """
        submission = self.get_object()
        found = patch_scores(submission, self.viewpoint.view(submission.phase), self.viewpoint.now)
        if found is None:
            raise NotAllowed(f"{submission.phase.name} does not show you the scores of single patches.")
        if not found:
            raise Conflict("This submission has no score, so there are no counts.")
        if request.accepted_renderer.format == NPZ.format:
            name = f'attachment; filename="submission-{submission.pk}-counts.npz"'
            return Response(found.as_npz(), headers={"Content-Disposition": name})
        shown = PatchScoresSerializer({"submission": submission, "scores": found})
        return Response(shown.data)

    @extend_schema(summary="The team's note", responses=problems(401, NotAllowed, 404, ok=NoteSerializer))
    @action(detail=True, methods=["get"])
    def note(self, request: Request, pk: int) -> Response:
        """What the team wrote about the submission for itself: only members can read it. Empty without one."""
        return Response(NoteSerializer(notes.note_of(request.user, self.get_object())).data)

    @extend_schema(
        summary="Write the team's note",
        request=NoteSerializer,
        responses=problems(InvalidInput, 401, NotAllowed, 404, ok=NoteSerializer),
    )
    @note.mapping.put
    def write_note(self, request: Request, pk: int) -> Response:
        """Replaces text and tags. Empty text and no tags remove the note."""
        submission, asked = self.get_object(), self.body(NoteSerializer)
        notes.write_note(request.user, submission, asked["text"], asked["tag_list"])
        return Response(NoteSerializer(notes.note_of(request.user, submission)).data)

    @extend_schema(summary="Remove the team's note", responses=problems(401, NotAllowed, 404, status=204))
    @note.mapping.delete
    def remove_note(self, request: Request, pk: int) -> Response:
        """Text and tags; nothing happens without one."""
        notes.write_note(request.user, self.get_object(), "", ())
        return Response(status=204)
