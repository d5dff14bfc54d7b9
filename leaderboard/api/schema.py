"""Words for the OpenAPI schema: errors, headers, and what every operation has."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter

from .errors import MEDIA_TYPE
from .serializers import Problem

ETAG = OpenApiParameter(
    "If-None-Match", location="header", description="The ETag of the board that you have."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location="header",
    description="1 to 200 visible ASCII characters, new for each archive. A retry with the same key and file is "
    "answered with the first submission (200) and takes nothing more from the quota.",
)


def problems(*statuses: int, ok: Any = None, status: int = 200) -> dict[Any, Any]:
    """The responses of an operation: ``ok`` under ``status``, and a problem under each of ``statuses``."""
    return {status: ok, **{(status, MEDIA_TYPE): Problem for status in statuses}}


def answer_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Postprocessing hook: whatever an operation does not name is a problem too."""
    problem = {
        "description": "Any other answer is a problem.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = problem
    return result
