"""The base of every API view."""

from typing import Any

from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework.viewsets import GenericViewSet

from leaderboard.models.visibility import Viewpoint


class ViewSet(GenericViewSet):
    """Passes the viewer's point of view to the serializers."""

    pagination_class: Any = None

    @cached_property
    def viewpoint(self) -> Viewpoint:
        return Viewpoint(self.request.user, timezone.now())

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "viewpoint": self.viewpoint}

    def query(self, serializer_class: Any) -> dict[str, Any]:
        """The validated query string."""
        serializer = serializer_class(data=self.request.query_params.dict())
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def body(self, serializer_class: Any) -> dict[str, Any]:
        """The validated body."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data
