"""The core that sync and async clients share: what to send, what an answer means, when to try again. No input or output.

An operation is a generator: it yields a `Request`, which the client sends, or a `Pause`, which the client sleeps, and gets
the `Answer`. A request without an answer is thrown into it as `ConnectionBroken`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar

from .errors import Answered, ConnectionBroken, TooManyRequests, Unreachable, kind_of

TRIES = 5
uniform = SystemRandom().uniform
LONGEST_PAUSE = 120.0  # seconds that a server may ask for; what takes longer is an answer, not a pause
Progress = Callable[[int, int], None]
"""Called with the bytes sent and the bytes in all."""


@dataclass(frozen=True)
class Slice:
    """`length` bytes of a file from `start`."""

    path: Path
    start: int
    length: int


@dataclass(frozen=True)
class Request:
    """What to send. `path` is relative to the API, or begins with / and is relative to the server."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None  # multipart/form-data
    archive: Path | None = None  # the form's file
    slice: Slice | None = None  # as the whole body
    save_to: Path | None = None  # where the body of a good answer goes
    progress: Progress | None = None


@dataclass(frozen=True)
class Pause:
    """`failure`: why the same request is sent again after it; None where nothing failed."""

    seconds: float
    failure: Exception | None = None


@dataclass(frozen=True)
class Answer:
    """`headers` have lower-case names; `content` is empty where the body was saved."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str

    def body(self, kind: type = dict) -> Any:
        """The JSON. Raises Unreachable where it is none, or of another kind: then this is not a leaderboard."""
        found = self._json()
        if not isinstance(found, kind):
            raise Unreachable(f"{self.url} answered, but not as a leaderboard does. Is the address right?")
        return found

    def problem(self) -> dict[str, Any]:
        found = self._json()
        return found if isinstance(found, dict) else {}

    def _json(self) -> Any:
        try:
            return json.loads(self.content)
        except ValueError:
            return None


T = TypeVar("T")
Steps = Generator[Request | Pause, Any, T]  # an Answer comes back for a Request, None for a Pause


def ask(request: Request, tries: int = TRIES) -> Steps[Answer]:
    """The answer to a request that may be repeated.

    Tries again, after pauses that grow and differ at random, where the connection breaks, the server fails (5xx) or asks
    for patience (429 with Retry-After). Any other error answer is final: raises the class of `errors` for it.
    """
    failure: Answered | ConnectionBroken
    for attempt in range(tries):
        try:
            answer = yield request
        except ConnectionBroken as broken:
            failure, pause = broken, backoff(attempt)
        else:
            if answer.status < 300 or answer.status == HTTPStatus.NOT_MODIFIED:
                return answer
            failure = error_of(answer)
            asked = failure.retry_after
            if not is_passing(failure):
                raise failure
            pause = backoff(attempt) if asked is None else asked * uniform(1, 1.1)
        if attempt + 1 < tries:
            yield Pause(pause, failure)
    if isinstance(failure, ConnectionBroken) and tries > 1:
        raise Unreachable(f"{failure} Tried {tries} times: check the address, or try again later.")
    raise failure


def is_passing(error: Answered) -> bool:
    """Can the same request succeed within `LONGEST_PAUSE` seconds?"""
    if (error.retry_after or 0) > LONGEST_PAUSE:
        return False
    if isinstance(error, TooManyRequests):
        return error.retry_after is not None
    return error.status >= 500


def backoff(attempt: int) -> float:
    """Seconds before the next try: doubled each time, at most 30, and less at random so that clients spread out."""
    return min(30.0, 2.0**attempt) * uniform(0.5, 1)


def error_of(answer: Answer) -> Answered:
    """The error that an answer stands for."""
    problem = answer.problem()
    kind = kind_of(answer.status, str(problem.get("code", "")))
    return kind(sentence_of(answer, problem), answer.status, problem, retry_after(answer))


def retry_after(answer: Answer) -> float | None:
    """Seconds, from either form of the header; None without one."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def sentence_of(answer: Answer, problem: Mapping[str, Any]) -> str:
    """An error answer as lines for people: title and status, the server's sentence, each point that it adds."""
    if target := answer.headers.get("location") if 300 <= answer.status < 400 else None:
        return f"{answer.url} sends on to {target}. Use that address as the server's."
    if not problem:
        doubt = " Is the server's address right?" if answer.status == 404 else ""
        return f"{answer.url} answered {answer.status} {reason(answer.status)}.{doubt}"
    detail = str(problem.get("detail") or "")
    lines = [f"{problem.get('title') or reason(answer.status)} ({answer.status})", *filter(None, [detail])]
    for name in ("errors", "problems"):
        lines += [point for point in points(problem.get(name)) if point.partition(": ")[2] not in detail]
    return "\n".join(lines)


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(unknown status)"


def points(errors: Any) -> list[str]:
    """Lines of a list of problems, or of messages by field."""
    if isinstance(errors, dict):
        return [f"  {field}: {text}" for field, texts in errors.items() for text in _listed(texts)]
    return [_point(error) for error in _listed(errors)]


def _point(error: Any) -> str:
    if not isinstance(error, dict):
        return f"  {error}"
    place = error.get("file") or error.get("field") or error.get("pointer") or error.get("code")
    if error.get("count", 1) > 1:
        named = [*error.get("files", [place])]
        more = " …" if error["count"] > len(named[:3]) else ""
        place = f"{error['count']:,} files ({', '.join(named[:3])}{more})"
    return f"  {place}: {error.get('message') or error.get('detail')}" if place else f"  {error}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
