"""Pictures for the pages of a competition, which its organisers upload."""

from django.db import models
from django.utils import timezone

from .competitions import Competition

MOST_BYTES = 2 * 2**20
MEDIA_TYPES = {  # by the bytes with which such a file begins
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF",
    "image/gif": b"GIF8",
}


class Picture(models.Model):
    """A picture under a name of its own, to be used in Markdown or as the competition's logo."""

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="pictures")
    name = models.CharField(max_length=80, help_text="File name, such as study-area.png.")
    media_type = models.CharField(max_length=20, editable=False)
    content = models.BinaryField(editable=False)
    sha256 = models.CharField("SHA-256", max_length=64, editable=False)
    uploaded_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["competition", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["competition", "name"],
                name="one_picture_of_a_name",
                violation_error_message="There is a picture of this name already. Choose another name.",
            )
        ]

    def __str__(self) -> str:
        return self.name


def media_type_of(content: bytes) -> str | None:
    """The kind of picture by its first bytes; None: none that pages show."""
    found = next((kind for kind, start in MEDIA_TYPES.items() if content.startswith(start)), None)
    return None if found == "image/webp" and content[8:12] != b"WEBP" else found
