"""Fields shared by the serializers."""

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


class SearchText(serializers.RegexField):
    """A text to look for: not only spaces, and without the null character, which every text field refuses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[^\x00]*[^\x00\s][^\x00]*$", **options)


class ChosenById(serializers.PrimaryKeyRelatedField):
    """A row that the caller chooses by its id."""

    default_error_messages = {
        "does_not_exist": "The id {pk_value} does not exist or is not available to you.",
        "incorrect_type": "An id must be a number.",
    }


class ChosenBySlug(serializers.SlugRelatedField):
    """A row that the caller chooses by its slug."""

    default_error_messages = {"does_not_exist": "“{value}” does not exist or is not available to you."}


class Upload(serializers.FileField):
    """A file in a multipart form; the action reports an empty one."""

    default_error_messages = {
        "required": "The file is missing.",
        "invalid": "This is text, not a file. With curl, send a file as `-F {field_name}=@FILE`.",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_empty_file=True, **options)

    def fail(self, key: str, **facts: Any) -> None:  # type: ignore[override]
        super().fail(key, **{"field_name": self.field_name, **facts})


class FromRequest(serializers.Serializer):
    """Fields that choose a row; the choices depend on the caller."""

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        request = self.context.get("request")
        if request and request.user.is_authenticated:
            for name, rows in self.choices(request.user).items():
                fields[name].queryset = rows  # type: ignore[attr-defined]
        return fields

    def choices(self, user: Any) -> dict[str, Any]:
        raise NotImplementedError
