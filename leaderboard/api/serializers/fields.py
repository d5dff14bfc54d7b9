"""Numbers as the API writes them."""

from typing import Any

from rest_framework import serializers

from leaderboard.models.visibility import Ratio

LARGEST_ID = 2**63 - 1


class Fraction(serializers.FloatField):
    """A metric as a fraction of 1; null where it is hidden."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, allow_null=True, **options)

    def to_representation(self, ratio: Ratio) -> float:  # type: ignore[override]
        return ratio.value


class Percent(serializers.FloatField):
    """A published percentage as a fraction of 1."""

    def to_representation(self, percent: Any) -> float:  # type: ignore[override]
        return round(float(percent) / 100, 6)
