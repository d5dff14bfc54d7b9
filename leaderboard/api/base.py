"""The base of every API view."""

from typing import Any

from django.db.models import Model
from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from leaderboard.models.visibility import Viewpoint

from .scopes import Need, check_within, within
from .strict import check_types


class View(APIView):
    """Answers OPTIONS, and refuses query parameters that mean nothing."""

    needs: dict[str, Need] = {}
    """The scope that a token needs for each operation."""

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """The methods of the address; the schema says the rest."""
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "OPTIONS" or request.method not in self.allowed_methods:
            return  # a browser asks OPTIONS of the address that it wants to read; any other method is a 405
        known = {"format", *self.known_parameters()}
        if unknown := sorted(set(request.query_params) - known):
            sentence = f"Unknown parameter. Known are {', '.join(sorted(known))}."
            raise ValidationError({name: [sentence] for name in unknown})

    def known_parameters(self) -> set[str]:
        """The names that may stand in the query string, beside `format`."""
        return set()


class ViewSet(View, GenericViewSet):
    """Passes the viewer's point of view to the serializers.

    ``queries``: the serializer of the query string of each action that reads one. ``orderings``: by which words a list can
    be ordered, and the column that each stands for.
    """

    pagination_class: Any = None
    queries: dict[str, Any] = {}
    orderings: dict[str, str] = {"id": "pk"}

    def filter_queryset(self, queryset: Any) -> Any:
        """Also within the competition of the token, if it has one."""
        return within(super().filter_queryset(queryset), self.request.auth)

    @cached_property
    def viewpoint(self) -> Viewpoint:
        return Viewpoint(self.request.user, timezone.now())

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "viewpoint": self.viewpoint}

    def known_parameters(self) -> set[str]:
        known = set(self.queries[self.action]().fields) if self.action in self.queries else set()
        if self.action == "list" and self.pagination_class is not None:
            known |= set(self.pagination_class.parameters)
        return known

    def query(self) -> dict[str, Any]:
        """The validated query string of the action."""
        serializer = self.queries[self.action](data=self.request.query_params.dict())
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def body(self, serializer_class: Any) -> dict[str, Any]:
        """The validated body."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        check_types(serializer, self.request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        check_within(self.request.auth, *(value for value in asked.values() if isinstance(value, Model)))
        return asked
