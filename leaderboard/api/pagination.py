"""Cursor pagination for long lists: a page stays the same while new rows arrive."""

import re
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as InvalidValue
from django.db import models
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.serializers import IntegerField
from rest_framework.utils.urls import remove_query_param

from .links import with_links

NUMBER = re.compile(r"[0-9]{1,18}")


class Pages(CursorPagination):
    """In an order of the view's ``orderings``, by default the first one reversed; equal rows by id."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    offset_cutoff = 1_000_000  # rows that are equal in the chosen order are counted off
    parameters = ("cursor", "page_size", "ordering")

    def get_page_size(self, request: Any) -> int:
        asked = request.query_params.get("page_size", self.page_size)
        try:
            return IntegerField(min_value=1, max_value=self.max_page_size).run_validation(asked)
        except ValidationError as error:
            raise ValidationError({"page_size": error.detail}) from error

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        asked = request.query_params.get("ordering", words_of(view)[0])
        if asked not in words_of(view):
            raise ValidationError({"ordering": [f"Choose one of {', '.join(words_of(view))}."]})
        self.queryset = queryset
        sign = "-" if asked.startswith("-") else ""
        column = view.orderings[asked.removeprefix("-")]
        return tuple(dict.fromkeys((f"{sign}{column}", f"{sign}pk")))

    def decode_cursor(self, request: Any) -> Any:
        try:
            cursor = super().decode_cursor(request)
        except NotFound as error:
            raise wrong_cursor() from error
        if cursor is not None and cursor.position is not None:
            self._check(str(cursor.position))
        return cursor

    def _check(self, position: str) -> None:
        """Refuse what the column of the order cannot hold: a cursor made up, or one of another order."""
        column = self.ordering[0].removeprefix("-")
        meta = self.queryset.model._meta
        try:
            field = meta.pk if column == "pk" else meta.get_field(column)
        except FieldDoesNotExist:  # an annotation
            field = models.FloatField()
        try:
            if isinstance(field, models.IntegerField) and not NUMBER.fullmatch(position):
                raise wrong_cursor()
            field.to_python(position)
        except InvalidValue as error:
            raise wrong_cursor() from error
        if "\0" in position:
            raise wrong_cursor()

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        return with_links(
            response,
            first=remove_query_param(str(self.base_url), self.cursor_query_param),
            prev=response.data["previous"],
            next=response.data["next"],
        )

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        cursor, size = super().get_schema_operation_parameters(view)
        limits = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        cursor["description"] = (
            "Where the page begins, as in `next` and `previous`; it holds for the order in which it was given."
        )
        size["description"] = "Rows per page."
        ordering = {
            "name": "ordering",
            "in": "query",
            "required": False,
            "description": "In which order; `-` before a word reverses it. Equal rows are ordered by id.",
            "schema": {"type": "string", "enum": words_of(view), "default": words_of(view)[0]},
        }
        return [cursor, {**size, "schema": limits}, ordering]


def words_of(view: Any) -> list[str]:
    return [f"{sign}{word}" for word in view.orderings for sign in ("-", "")]


def wrong_cursor() -> ValidationError:
    return ValidationError(
        {"cursor": ["This cursor is none of this list, or of another order. Follow `next` and `previous`."]}
    )
