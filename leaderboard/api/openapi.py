"""How an operation's schema is read from its view, beyond what drf-spectacular does."""

from typing import Any

from drf_spectacular.openapi import AutoSchema


class OperationSchema(AutoSchema):
    """The parameters of a view's ``queries`` belong to its schema."""

    def get_override_parameters(self) -> list[Any]:
        found = getattr(self.view, "queries", {}).get(getattr(self.view, "action", None))
        return [found] if found else []
