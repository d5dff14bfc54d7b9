"""Words for the tests of the REST API."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from leaderboard.actions.accounts import create_token
from leaderboard.models import User
from tests.leaderboard.factories import upload

API = "/api/v1"


class Client(APIClient):
    default_format = "json"


def client_of(user: User | None = None) -> APIClient:
    """A client with a token of ``user``; it does not raise what the server would answer with 500."""
    client = Client(raise_request_exception=False)
    if user is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {create_token(user, 'test')[1]}")
    return client


def post(client: APIClient, phase: Any, archive: SimpleUploadedFile | None = None, **more: Any) -> Any:
    """Submit; ``more``: further fields, and headers as HTTP_…"""
    headers = {name: more.pop(name) for name in list(more) if name.startswith("HTTP_")}
    fields = {"phase": getattr(phase, "pk", phase), "archive": archive or upload(), "method": "U-Net", **more}
    return client.post(f"{API}/submissions/", fields, format="multipart", **headers)


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The one error shape; returns the body."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code, body
    assert body["title"]
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return body
