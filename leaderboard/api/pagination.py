"""Pages of long lists: a cursor, so that a page stays what it was while new rows arrive."""

import re
from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination

ID = re.compile(r"[0-9]{1,18}")


class NewestFirst(CursorPagination):
    """Newest first, by id."""

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Any) -> Any:
        cursor = super().decode_cursor(request)
        position = None if cursor is None else cursor.position
        if position is not None and not ID.fullmatch(str(position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor
