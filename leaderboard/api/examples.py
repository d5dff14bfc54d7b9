"""An example of each refusal for the OpenAPI schema, by status and code."""

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated

from leaderboard.actions.refusals import Refusal

from .errors import MEDIA_TYPE, UNAUTHENTICATED, problem

GENERAL = {
    400: "invalid",
    401: "not_authenticated",
    403: "not_allowed",
    404: "not_found",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "throttled",
}
DIGEST = "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"
SENTENCES = {
    "already_in_team": "You are already in team Alpine. A person can be in only one team per competition.",
    "board_full": "Your team has 2 results standing in the test phase; at most 2 may stand at a time. Withdraw one to make "
    "room.",
    "checksum_mismatch": "The bytes of this part do not have the checksum that was sent with them. Send the part again.",
    "conflict": "This request has already been decided.",
    "authentication_failed": UNAUTHENTICATED[AuthenticationFailed],
    "digest_mismatch": f"The body that arrived has the digest {DIGEST}, not the one in Content-Digest. Send it again.",
    "empty_file": "The file is empty.",
    "idempotency_key_reused": "This Idempotency-Key was used for submission 12, with another phase. Use a new key for each "
    "new submission.",
    "invalid": "name: This field may not be blank.",
    "invitation_unknown": "This invitation is unknown, used or older than 14 days. Ask the owner of the team for a new "
    "link.",
    "link_unknown": "This link is unknown, used or too old. Ask for a new one.",
    "name_taken": "A team named Alpine already exists. Please choose another name.",
    "no_team": "You are not in a team of Example Cup yet. Create or join one first.",
    "not_allowed": "Only an owner of Alpine can do that.",
    "not_authenticated": UNAUTHENTICATED[NotAuthenticated],
    "not_found": "Not found.",
    "not_withdrawable": "Submissions of the test phase cannot be withdrawn.",
    "organisers_do_not_compete": "ada organises Example Cup and sees hidden results, so cannot be in a competing "
    "team.",
    "no_labels": "The test phase has no labels yet, so nothing can be scored. Please write to the organisers.",
    "parse_error": "JSON parse error - Expecting value: line 1 column 1 (char 0)",
    "phase_ended": "The test phase ended on 15 June 2022, 00:00 UTC.",
    "phase_not_open": "The test phase opens on 2 April 2022, 09:30 UTC.",
    "questions_closed": "Example Cup takes no more questions. The answered ones remain readable.",
    "quota_used_up": "Your team has used all 10 submissions for today (UTC) in the test phase. The next one is accepted from "
    "2 April 2022, 09:30 UTC.",
    "refused": "This is not possible.",
    "roster_locked": "The teams of Example Cup have been locked since 13 June 2022, 00:00 UTC.",
    "same_archive": "This archive has the same bytes as submission 12 (F1 71.58), so its result would be the same. "
    "Confirm that you want to submit it again. In a script, send `allow_duplicate=true`; with `l4s submit`, add `--attempt 2`.",
    "storage_unavailable": "The server cannot store files at the moment. Nothing was counted; please try again later.",
    "team_full": "Alpine already has 5 members, the maximum for a team.",
    "team_not_approved": "Alpine waits for the organisers’ approval. Its owners get a mail once it is decided.",
    "terms_not_accepted": "Accept the terms of Example Cup (version 2) before you submit: "
    "https://example.org/c/example-cup/terms/",
    "throttled": "Too many requests. Please wait for the time given in Retry-After.",
    "too_large": "The file has 120,000,000 bytes; the limit is 100,000,000.",
    "total_used_up": "Your team has used all 10 submissions of the test phase.",
    "too_many": "The limit is 30 requests to join a day. Try again from 2 April 2022, 09:30 UTC.",
    "upload_gone": "This upload does not exist, has expired or is not yours. Please upload the archive again.",
    "upload_incomplete": "1048576 of 9000000 bytes have arrived. Upload the rest first.",
    "unsupported_media_type": 'Unsupported media type "text/plain" in request.',
    "wrong_offset": "This upload has 1048576 bytes, not 0. Continue from there.",
}
WITH_NEXT_AT = {"phase_not_open", "quota_used_up", "throttled", "too_many"}


def example_of(answer: int | type[Refusal]) -> tuple[int, OpenApiExample]:
    """The status and the example of a refusal class, or of a bare status."""
    status, code = (answer, GENERAL[answer]) if isinstance(answer, int) else (answer.status, answer.code)
    body = problem_example(status, code)
    return status, OpenApiExample(code, value=body, media_type=MEDIA_TYPE, response_only=True)


def problem_example(status: int, code: str) -> dict[str, Any]:
    """A problem as it is answered."""
    body: dict[str, Any] = problem(status, {"code": code, "detail": SENTENCES[code]})
    if code == "invalid":
        body["errors"] = {"name": ["This field may not be blank."]}
    if code == "digest_mismatch":
        body["errors"] = {"Content-Digest": [f"The body that arrived has {DIGEST}."]}
    if code == "idempotency_key_reused":
        body |= {"errors": {"phase": ["Not the same as in submission 12."]}, "submission": 12}
    if code == "same_archive":
        body["submission"] = 12
    if code == "terms_not_accepted":
        body["address"] = "https://example.org/c/example-cup/terms/"
    if code in WITH_NEXT_AT:
        body["next_at"] = "2022-04-02T09:30:00Z"
    return body
