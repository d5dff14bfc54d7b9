"""The base of every API view."""

from typing import Any

from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from leaderboard.models.visibility import Viewpoint

ALWAYS_KNOWN = {"format"}


class ViewSet(GenericViewSet):
    """Passes the viewer's point of view to the serializers, and refuses query parameters that mean nothing."""

    pagination_class: Any = None

    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        """The methods of the address; the schema says the rest."""
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    @cached_property
    def viewpoint(self) -> Viewpoint:
        return Viewpoint(self.request.user, timezone.now())

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "viewpoint": self.viewpoint}

    def query(self, serializer_class: Any) -> dict[str, Any]:
        """The validated query string."""
        serializer = serializer_class(data=self.request.query_params.dict())
        known = ALWAYS_KNOWN | set(serializer.fields)
        if self.action == "list" and self.pagination_class is not None:
            known |= {self.pagination_class.cursor_query_param, self.pagination_class.page_size_query_param}
        if unknown := set(self.request.query_params) - known:
            raise ValidationError(
                {
                    name: [f"Unknown parameter. Known are {', '.join(sorted(known))}."]
                    for name in sorted(unknown)
                }
            )
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def body(self, serializer_class: Any) -> dict[str, Any]:
        """The validated body."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data
