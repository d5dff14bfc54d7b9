"""How an operation's schema is read from its view, beyond what drf-spectacular does."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.openapi import AutoSchema

from .errors import MEDIA_TYPE, problem
from .scopes import InsufficientScope, Need, need_of


class OperationSchema(AutoSchema):
    """The parameters of a view's ``queries`` belong to its schema, and the scope that a token needs: in words, as
    `x-token-scopes`, and as an answer."""

    def get_override_parameters(self) -> list[Any]:
        found = getattr(self.view, "queries", {}).get(getattr(self.view, "action", None))
        return [found] if found else []

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        need = need_of(self.view, self.method)
        operation["x-token-scopes"] = [str(scope) for scope in need.scopes]
        if need.scopes:
            said = f"{operation.get('description', '')}\n\n**Scope of the token**: {need.words}."
            operation["description"] = said.strip()
            add_insufficient_scope(operation["responses"], need)
        return operation


def add_insufficient_scope(responses: dict[str, Any], need: Need) -> None:
    answer = responses.setdefault("403", {"description": HTTPStatus.FORBIDDEN.phrase, "content": {}})
    content = answer["content"].setdefault(
        MEDIA_TYPE, {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
    )
    detail = f"This needs a token with the scope {need.words.replace('`', '')}; yours (laptop) has fewer."
    value = problem(403, {"code": InsufficientScope.default_code, "detail": detail, "scopes": [*need.scopes]})
    content.setdefault("examples", {})["InsufficientScope"] = {"value": value, "summary": value["code"]}
