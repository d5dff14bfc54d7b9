"""Texts for the OpenAPI schema: introduction, headers, and the responses of each operation."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from leaderboard.actions.refusals import Refusal

from .errors import MEDIA_TYPE
from .examples import example_of
from .serializers.problems import Problem

DESCRIPTION = """
Everything that a team can do on the site, for scripts. Times are UTC; scores are fractions of 1, and null where the
phase hides them from you.

**Tokens.** Create one under your account and send `Authorization: Bearer TOKEN`. Competitions, phases and leaderboards
need no token. A token has scopes: `read` (what you may see), `submit` (submit, upload, withdraw and select; it sees your own
submissions too), `team` (see and manage your teams), `organise` (see and do what organisers may; without it, your token
is treated as a participant's). It may work for one competition only. Each operation says which scope it needs; a token
without it gets 403 with `error="insufficient_scope"` and the scope in `WWW-Authenticate`, and as `scopes` in the body.

**Errors** all have one shape: `application/problem+json` with `status`, `code` (for programs), `detail` (for people)
and, where they apply, `errors` (by field) and `next_at`, the moment from which the same request can succeed. 401: no valid token. 403: not allowed, or not now. 404: it does
not exist, or it is not yours. 409: it conflicts with the current state. 413: too large. 429: wait until `next_at` or for
the time in `Retry-After`; the quota of the day has the code `quota_used_up`, a rate limit `throttled`. A total that is used up
(403, `total_used_up`) and a full board (409, `board_full`) do not get better by waiting. 500: our mistake; please report the
`incident`.

**Retries.** Send an `Idempotency-Key` with each upload. If the response is lost, send the same request with the same key
again: it remains one submission. Keys belong to the team and to this address, and never expire. A key that comes back with
another phase, archive or text is refused with 409 and the code `idempotency_key_reused`; `submission` is the earlier
submission, `errors` has the fields that differ. A refused request does not use up its key.

**Resumable uploads.** `uploads/` (scope `submit`) speaks tus 1.0 (https://tus.io/protocols/resumable-upload) with creation, checksum,
expiration and termination, so any tus client can send a large archive and continue after a cut. Send `phase` (its id)
and `filename` as `Upload-Metadata`, and `sha256` if you want it compared. Send parts of a few megabytes: what a cut
loses is at most the part on its way. Then POST the `Location` as `upload` to `submissions/`. An upload counts as
received when it began; once the phase has ended, it may finish until `uploads_end_at`.

**Checksums.** With `Content-Digest: sha-256=:…:` or `sha-512` (RFC 9530) the body is compared as it arrives, the whole form
where you send one; another body is refused (400, `digest_mismatch`). Parts of a resumable upload have `Upload-Checksum`.

**Formats.** `format` of a phase says what an archive must hold, enough to write one.

**Limits** stand in `RateLimit` and `RateLimit-Policy`: requests a minute and, in the answer to a submission, what the
phase's quotas leave (`phase-day`, `phase-total`).

**Polling** is welcome: by default a person may send 3,000 requests a minute, an address without a token 1,200. Wait for a
submission with `Prefer: wait=30`, and poll a leaderboard every five seconds with `If-None-Match`.

**Lists** that can grow are paginated: follow `next`, or the header `Link`, until there is none. Short ones are plain arrays.
`ordering` chooses their order. Unknown parameters are refused (400), and so is JSON of another type than the schema's.

**Changes.** Within `/api/v1/`, fields, codes, parameters and addresses may be added at any time: ignore what you do not know.
Nothing is removed or changes its meaning without notice: its answers carry `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a
`Link` to the replacement for at least six months and never end during a phase that is open; the changelog names it. Nothing is
deprecated now. What cannot keep this promise gets a new address, `/api/v2/`, beside the old one.
"""
ETAG = OpenApiParameter(
    "If-None-Match", location="header", description="The ETag of the answer that you already have."
)
PREFER_WAIT = OpenApiParameter(
    "Prefer",
    location="header",
    description="`wait=30`: hold the answer until the state changes, at most 30 seconds.",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location="header",
    type={"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    description="Names one submission of your team; 1 to 200 visible ASCII characters. The same request with the same key "
    "returns the first submission (200) and uses no more of the quota. With another phase, archive, text or `reference` it "
    "is refused (409, `idempotency_key_reused`). A key holds as long as its submission exists, also after that was "
    "withdrawn: use a new key to submit the same archive again.",
)


def problems(*answers: int | type[Refusal], ok: Any = None, status: int = 200) -> dict[Any, Any]:
    """The responses of an operation: ``ok`` under ``status``, and a problem for each of ``answers``.

    A refusal is listed under its status with an example of its code; a bare status gets the general example.
    """
    found: dict[int, list[OpenApiExample]] = {}
    for answer in answers:
        code, example = example_of(answer)
        found.setdefault(code, []).append(example)
    described = {
        (code, MEDIA_TYPE): OpenApiResponse(Problem, description=HTTPStatus(code).phrase, examples=examples)
        for code, examples in found.items()
    }
    return {**({status: ok} if status else {}), **described}
