"""JSON has types: a number is refused where the schema says string, and so on. Forms have only texts."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

KINDS: list[tuple[type[serializers.Field], tuple[type, ...], str]] = [
    (serializers.BooleanField, (bool,), "true or false"),
    (serializers.PrimaryKeyRelatedField, (int,), "an id, as a number"),
    (serializers.IntegerField, (int,), "a whole number"),
    (serializers.FloatField, (int, float), "a number"),
    (serializers.CharField, (str,), "a string"),
    (serializers.MultipleChoiceField, (list,), "a list"),
    (serializers.ChoiceField, (str,), "a string"),
    (serializers.SlugRelatedField, (str,), "a string"),
    (serializers.DateTimeField, (str,), "a time as a string"),
    (serializers.UUIDField, (str,), "a string"),
    (serializers.ListField, (list,), "a list"),
]


def check_types(serializer: serializers.Serializer, data: Any) -> None:
    """Raise ValidationError, field by field, for JSON values of another type than the field's.

    REST framework would turn 0 into "0", "yes" into true and 3.0 into 3.
    """
    if isinstance(data, QueryDict) or not isinstance(data, Mapping):
        return
    wrong = {
        name: [sentence]
        for name, field in serializer.fields.items()
        if not field.read_only and name in data and (sentence := _wrong(field, data[name]))
    }
    if wrong:
        raise ValidationError(wrong)


def _wrong(field: serializers.Field, value: Any) -> str:
    """What is wrong with the type of a value; empty: nothing. The field itself decides about null."""
    if value is None:
        return ""
    found = next((kind for kind in KINDS if isinstance(field, kind[0])), None)
    if found is None:
        return ""
    types: Any = found[1]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return f"Send {found[2]}, not {_name_of(value)}."
    if isinstance(field, serializers.ListField):
        return next(filter(None, (_wrong(field.child, each) for each in value)), "")
    return ""


def _name_of(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")
