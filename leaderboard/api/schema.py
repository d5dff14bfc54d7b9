"""Words for the OpenAPI schema: errors, headers, and what every operation has."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from leaderboard.actions.refusals import Refusal

from .errors import MEDIA_TYPE
from .examples import example_of
from .serializers.problems import Problem

DESCRIPTION = """
Everything that a team does on the site, for scripts. Times are UTC; scores are fractions of 1, and null where the phase
hides them from you.

**Tokens.** Make one under your account and send `Authorization: Bearer TOKEN`. Competitions, phases and leaderboards
need none.

**Errors** are all alike: `application/problem+json` with `status`, `code` (for programs), `detail` (for people), and
where it fits `errors` (by field) and `next_at`. 401: no valid token. 403: not for you, or not now. 404: there is no such
thing, or it is not yours. 409: it contradicts what is there. 413: too large. 429: wait until `next_at` or as long as
`Retry-After` says; a quota has the code `quota_used_up`, a rate limit `throttled`. 500: our mistake; tell us the
`incident`.

**Retries.** Send an `Idempotency-Key` with each upload: if the answer is lost, send the same again with the same key,
and it stays one submission.

**Polling** is welcome: a person may ask some thousand times a minute, an address without token a thousand. A submission
is worth asking for once a second, a leaderboard once in five, with `If-None-Match`.

**Lists** that can grow come in pages: follow `next` until it is null. Short ones are plain arrays.
"""
ETAG = OpenApiParameter(
    "If-None-Match", location="header", description="The ETag of the board that you have."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location="header",
    description="1 to 200 visible ASCII characters, new for each archive. A retry with the same key and file is "
    "answered with the first submission (200) and takes nothing more from the quota.",
)


def problems(*answers: int | type[Refusal], ok: Any = None, status: int = 200) -> dict[Any, Any]:
    """The responses of an operation: ``ok`` under ``status``, and a problem for each of ``answers``.

    A refusal stands under its own status with an example of its code; a status alone has the general one.
    """
    found: dict[int, list[OpenApiExample]] = {}
    for answer in answers:
        code, example = example_of(answer)
        found.setdefault(code, []).append(example)
    told = {
        (code, MEDIA_TYPE): OpenApiResponse(Problem, description=HTTPStatus(code).phrase, examples=examples)
        for code, examples in found.items()
    }
    return {**({status: ok} if status else {}), **told}


def answer_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Postprocessing hook: the introduction, and that whatever an operation does not name is a problem too."""
    result["info"]["description"] = DESCRIPTION
    problem = {
        "description": "Any other answer is a problem.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = problem
    return result
