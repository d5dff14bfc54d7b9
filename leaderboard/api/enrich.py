"""The last touch on the OpenAPI schema: what holds for every operation, said at each of them."""

from http import HTTPStatus
from typing import Any

from .errors import MEDIA_TYPE
from .examples import problem_example
from .schema import DESCRIPTION

Schema = dict[str, Any]
PROBLEM = {"$ref": "#/components/schemas/Problem"}
EVERYWHERE = {"invalid": 400, "authentication_failed": 401, "throttled": 429}
WITH_BODY = {
    "digest_mismatch": 400,
    "parse_error": 400,
    "too_large": 413,
    "unsupported_media_type": 415,
}


def enrich(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Postprocessing hook of drf-spectacular."""
    result["info"]["description"] = DESCRIPTION
    for operations in result["paths"].values():
        for operation in operations.values():
            codes = {**EVERYWHERE, **(WITH_BODY if "requestBody" in operation else {})}
            for code, status in codes.items():
                add_problem(operation["responses"], status, code)
            operation["responses"]["default"] = {
                "description": "Any other response is a problem.",
                "content": {MEDIA_TYPE: {"schema": PROBLEM}},
            }
    return result


def add_problem(responses: Schema, status: int, code: str) -> None:
    """Name a code among the answers of an operation, unless it is there."""
    answer = responses.setdefault(str(status), {"description": HTTPStatus(status).phrase})
    content = answer.setdefault("content", {}).setdefault(MEDIA_TYPE, {"schema": PROBLEM})
    examples = content.setdefault("examples", {})
    if not any(example["value"]["code"] == code for example in examples.values()):
        examples[code] = {"value": problem_example(status, code), "summary": code}
