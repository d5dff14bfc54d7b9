"""Submitting an archive to a leaderboard through its REST API, as any other script would."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

FINAL = ("scored", "invalid", "failed")
ATTEMPTS = (
    4  # of an upload, where the network or the server fails; the idempotency key keeps it one submission
)


class SubmissionRefused(ValueError):
    """The server's answer is no; the message is the server's own, point by point."""


class ServerUnreachable(OSError):
    """No usable answer from the server."""


def connect(server: str, token: str, **options: Any) -> httpx.Client:
    """A client of the leaderboard at `server`, such as http://127.0.0.1:8000."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    base = server.rstrip("/") + "/api/v1/"
    return httpx.Client(base_url=base, headers=headers, timeout=httpx.Timeout(60, write=600), **options)


def submit(client: httpx.Client, phase: str, archive: Path, method: str, description: str) -> dict[str, Any]:
    """Upload an archive; returns the server's submission. Sent again after a failure, it stays one submission.

    Raises SubmissionRefused with the server's reasons, ServerUnreachable after four attempts.
    """
    content = archive.read_bytes()
    fields = {"phase": phase, "method": method, "description": description}
    key = hashlib.sha256(content + repr(sorted(fields.items())).encode()).hexdigest()
    file = {"archive": (archive.name, content, "application/zip")}
    return _answer(
        lambda: client.post("submissions/", data=fields, files=file, headers={"Idempotency-Key": key}), client
    )


def wait(
    client: httpx.Client,
    submission: dict[str, Any],
    timeout: float = 3600,
    show: Callable[[dict[str, Any]], None] = lambda submission: None,
) -> dict[str, Any]:
    """Ask until the submission is scored, invalid or failed, for at most `timeout` seconds; `show` is told of each answer."""
    deadline, pause = time.monotonic() + timeout, 0.5
    address = f"submissions/{submission['id']}/"
    while submission["state"] not in FINAL:
        if time.monotonic() > deadline:
            raise ServerUnreachable(
                f"Submission {submission['id']} is still {submission['state']} after {timeout:.0f} s; look for it on the server."
            )
        time.sleep(pause)
        pause = min(2 * pause, 10)
        submission = _answer(lambda: client.get(address), client)
        show(submission)
    return submission


def _answer(request: Callable[[], httpx.Response], client: httpx.Client) -> dict[str, Any]:
    """The JSON of the answer; asks again where the connection or the server fails, or asks for patience."""
    failure = ""
    for attempt in range(ATTEMPTS):
        pause = float(2**attempt)
        try:
            response = request()
        except httpx.TransportError as error:
            failure = f"{type(error).__name__}: {error}"
        else:
            if response.status_code < 400:
                return _json(response)
            if response.status_code < 500 and response.status_code != 429:
                raise SubmissionRefused(explain(response))
            failure = explain(response)
            pause = _seconds(response.headers.get("Retry-After", ""), pause)
        if attempt + 1 < ATTEMPTS:
            time.sleep(pause)
    raise ServerUnreachable(f"No answer from {client.base_url} after {ATTEMPTS} attempts. {failure}")


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ServerUnreachable(
            f"{response.url} answered, but not as a leaderboard does. Is the address right?"
        )
    return content


def _seconds(text: str, otherwise: float) -> float:
    return min(float(text), 120.0) if text.isdigit() else otherwise


def explain(response: httpx.Response) -> str:
    """An error answer (application/problem+json, RFC 9457) as lines for people."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return f"The server answered {response.status_code} {response.reason_phrase}."
    lines = [f"{problem.get('title') or response.reason_phrase} ({response.status_code})"]
    if detail := problem.get("detail"):
        lines.append(str(detail))
    for name in ("errors", "problems"):
        lines += _points(problem.get(name))
    return "\n".join(lines)


def _points(errors: Any) -> list[str]:
    """Lines of a list of problems, or of messages by field."""
    if isinstance(errors, dict):
        return [f"  {field}: {text}" for field, texts in errors.items() for text in _list(texts)]
    lines = []
    for error in _list(errors):
        if isinstance(error, dict):
            place = error.get("file") or error.get("field") or error.get("pointer") or error.get("code") or ""
            lines.append(
                f"  {place}: {error.get('message') or error.get('detail')}" if place else f"  {error}"
            )
        else:
            lines.append(f"  {error}")
    return lines


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
