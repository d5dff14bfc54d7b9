"""Slugs that competitions and phases had before, so that old links still lead somewhere."""

from django.db import models


class FormerSlug(models.Model):
    """A slug that is no longer in use: of a phase of the competition, or (``phase`` is None) of the competition."""

    competition = models.ForeignKey("leaderboard.Competition", models.CASCADE, related_name="former_slugs")
    phase = models.ForeignKey("leaderboard.Phase", models.CASCADE, null=True, related_name="former_slugs")
    slug = models.SlugField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["slug"], condition=models.Q(phase=None), name="one_competition_had_the_slug"
            ),
            models.UniqueConstraint(
                fields=["competition", "slug"],
                condition=models.Q(phase__isnull=False),
                name="one_phase_had_the_slug",
            ),
        ]

    def __str__(self) -> str:
        return self.slug
