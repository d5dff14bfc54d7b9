"""Words for the tests of the REST API."""

import re
from functools import cache
from typing import Any

import yaml
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
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {create_token(user, 'test', announce=False)[1]}")
    return client


def post(client: APIClient, phase: Any, archive: SimpleUploadedFile | None = None, **more: Any) -> Any:
    """Submit; ``more``: further fields, and headers as HTTP_…"""
    headers = {name: more.pop(name) for name in list(more) if name.startswith("HTTP_")}
    fields = {"phase": getattr(phase, "pk", phase), "archive": archive or upload(), "method": "U-Net", **more}
    return client.post(f"{API}/submissions/", fields, format="multipart", **headers)


@cache
def documented_codes() -> dict[tuple[str, str], dict[int, set[str]]]:
    """From the schema: the codes of each status of each operation, as (method, path without the names in braces)."""
    schema = yaml.safe_load(Client().get(f"{API}/schema/").content)
    found = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            found[method, re.sub("{[^}]*}", "{}", path)] = {
                int(status): codes_of(answer)
                for status, answer in operation["responses"].items()
                if status != "default"
            }
    return found


def codes_of(answer: dict[str, Any]) -> set[str]:
    examples = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
    return {example["value"]["code"] for example in examples.values()}


def assert_told(response: Any, status: int, code: str) -> dict[str, Any]:
    """A problem that the schema names for this operation, with its status and its code; returns the body."""
    body = assert_problem(response, status, code)
    request = response.wsgi_request
    path = "/" + re.sub("<[^>]*>", "{}", request.resolver_match.route)
    told = documented_codes()[request.method.lower(), path]
    assert code in told.get(status, ()), f"{request.method} {path} does not name {status} {code}: {told}"
    return body


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
