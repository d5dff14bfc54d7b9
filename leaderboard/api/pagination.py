"""Cursor pagination for long lists: a page stays the same while new rows arrive."""

import re
from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.serializers import IntegerField

ID = re.compile(r"[0-9]{1,18}")


class NewestFirst(CursorPagination):
    """Newest first, by id."""

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def get_page_size(self, request: Any) -> int:
        asked = request.query_params.get("page_size", self.page_size)
        try:
            return IntegerField(min_value=1, max_value=self.max_page_size).run_validation(asked)
        except ValidationError as error:
            raise ValidationError({"page_size": error.detail}) from error

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        cursor, size = super().get_schema_operation_parameters(view)
        limits = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [cursor, {**size, "schema": limits}]

    def decode_cursor(self, request: Any) -> Any:
        cursor = super().decode_cursor(request)
        position = None if cursor is None else cursor.position
        if position is not None and not ID.fullmatch(str(position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor
