"""The API root, the documentation, and the 404 for every other address under /api/."""

from typing import Any

from django.conf import settings
from django.urls import Resolver404, resolve
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from .base import View
from .docs import reference
from .scopes import NOTHING

ENTRANCES = {
    "competitions": "competition-list",
    "phases": "phase-list",
    "submissions": "submission-list",
    "uploads": "uploads",
    "attempts": "attempt-list",
    "teams": "team-list",
    "my_teams": "team-mine",
    "join_requests": "join-request-list",
    "invitations": "invitation-list",
    "mergers": "merger-list",
    "tokens": "token-list",
    "account": "account-list",
    "notifications": "account-notifications",
    "schema": "schema",
    "docs": "docs",
}


class RootView(View):
    """Links to everything in the API."""

    needs = {"get": NOTHING}
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response({name: reverse(f"api:{view}", request=request) for name, view in ENTRANCES.items()})


class SchemaView(View, SpectacularAPIView):
    """This description of the API: OpenAPI 3, as YAML or JSON (`?format=json`)."""

    needs = {"get": NOTHING}

    def known_parameters(self) -> set[str]:
        return {"lang"}


class DocsView(View):
    """The schema as a page in the site's frame."""

    needs = {"get": NOTHING}
    permission_classes = [AllowAny]
    renderer_classes = [TemplateHTMLRenderer]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response({"reference": reference(settings.SITE_URL)}, template_name="api/docs.html")


class UnknownView(View):
    """Any other address: a problem document, like every other error."""

    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(f"There is nothing at this address.{self.hint(request)}")

    def known_parameters(self) -> set[str]:
        return set(self.request.GET)

    def hint(self, request: Request) -> str:
        try:
            with_slash = resolve(f"{request.path_info}/")
        except Resolver404:
            return ""
        return "" if with_slash.url_name == "unknown" else " Did you forget the slash at the end?"
