"""Submitting an archive to a leaderboard through its REST API, as any other script would."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx

FINAL = ("scored", "invalid", "failed")
ATTEMPTS = (
    4  # of an upload, where the network or the server fails; the idempotency key keeps it one submission
)
PATIENCE = 120  # seconds that a server may ask us to wait; what would take longer is a refusal


class SubmissionRefused(ValueError):
    """The server's answer is no; the message is the server's own, point by point, `code` its word for the reason."""

    def __init__(self, message: str, code: str = ""):
        super().__init__(message)
        self.code = code


class ServerUnreachable(OSError):
    """No usable answer from the server."""


def connect(server: str, token: str, **options: Any) -> httpx.Client:
    """A client of the leaderboard at `server`, such as http://127.0.0.1:8000."""
    if not server.startswith(("http://", "https://")):
        raise ValueError(f"The server's address {server!r} must begin with http:// or https://.")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    base = server.rstrip("/") + "/api/v1/"
    return httpx.Client(base_url=base, headers=headers, timeout=httpx.Timeout(60, write=600), **options)


def find_phase(client: httpx.Client, name: str) -> dict[str, Any]:
    """The phase called "competition/phase", "phase" where only one competition has it, or by its number."""
    phases = answer(lambda: client.get("phases/"), client, list)
    matches = [
        phase
        for phase in phases
        if name in (str(phase["id"]), phase["slug"], f"{phase['competition']}/{phase['slug']}")
    ]
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(f"{phase['competition']}/{phase['slug']}" for phase in phases) or "none"
    problem = "is the name of several phases" if matches else "is no phase of this server"
    raise SubmissionRefused(f"{name!r} {problem}. Its phases are: {known}. Name one with --phase.")


def submit(
    client: httpx.Client,
    phase: int,
    archive: Path,
    method: str,
    description: str,
    reference: bool = False,
) -> dict[str, Any]:
    """Upload an archive to the phase of that number; returns the server's submission.

    Sent again after a failure, it stays one submission. `reference`: marked as the organisers' own, for which the token must be an
    organiser's. Raises SubmissionRefused with the server's reasons, ServerUnreachable after four attempts.
    """
    content = archive.read_bytes()
    fields = {"phase": str(phase), "method": method, "description": description}
    fields |= {"reference": "true"} if reference else {}
    key = hashlib.sha256(content + repr(sorted(fields.items())).encode()).hexdigest()
    file = {"archive": (archive.name, content, "application/zip")}
    headers = {"Idempotency-Key": key}
    return answer(lambda: client.post("submissions/", data=fields, files=file, headers=headers), client)


def wait(
    client: httpx.Client,
    submission: dict[str, Any],
    timeout: float = 3600,
    show: Callable[[dict[str, Any]], None] = lambda submission: None,
) -> dict[str, Any]:
    """Ask until the submission is scored, invalid or failed, for at most `timeout` seconds; `show` is told of each answer."""
    deadline, pause = monotonic() + timeout, 0.5
    address = f"submissions/{submission['id']}/"
    while submission["state"] not in FINAL:
        if monotonic() > deadline:
            raise ServerUnreachable(
                f"Submission {submission['id']} is still {submission['state']} after {timeout:.0f} s. The server keeps it: the same "
                "command waits on, and uploads nothing twice."
            )
        sleep(pause)
        pause = min(2 * pause, 10)
        submission = answer(lambda: client.get(address), client)
        show(submission)
    return submission


def describe(submission: dict[str, Any]) -> str:
    """A submission as a line for people; below it, what is wrong with it."""
    line = f"Submission {submission['id']}: {submission['state']}"
    if queue := submission.get("queue"):
        line += f", place {queue['place']} of the queue, about {queue['expected_seconds']:.0f} s"
    scores = [(name, submission.get(name.lower())) for name in ("precision", "recall", "F1")]
    line += "".join(f", {name} {100 * value:.2f} %" for name, value in scores if value is not None)
    if incident := submission.get("incident"):
        line += f"; the fault is the server's, tell the organisers the number {incident}"
    return "\n".join([line, *_points(submission.get("problems"))])


def answer(request: Callable[[], httpx.Response], client: httpx.Client, kind: type = dict) -> Any:
    """The JSON of the answer; asks again where the connection or the server fails, or asks for patience."""
    failure = ""
    for attempt in range(ATTEMPTS):
        pause = float(2**attempt)
        try:
            response = request()
        except httpx.TransportError as error:
            failure = f"{client.base_url.host} cannot be reached ({type(error).__name__}: {error})."
        else:
            if response.status_code < 400:
                return _json(response, kind)
            asked = _seconds(response.headers.get("Retry-After", ""))
            final = response.status_code < 500 and response.status_code != 429
            if final or asked > PATIENCE or _code(response) == "quota_used_up":
                raise SubmissionRefused(explain(response), _code(response))
            failure = explain(response)
            pause = asked or pause
        if attempt + 1 < ATTEMPTS:
            sleep(pause)
    raise ServerUnreachable(
        f"No success at {client.base_url} in {ATTEMPTS} attempts. {failure} Check the address, or repeat the command later."
    )


def _json(response: httpx.Response, kind: type) -> Any:
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, kind):
        raise ServerUnreachable(
            f"{response.url} answered, but not as a leaderboard does. Is the address right?"
        )
    return content


def _seconds(text: str) -> float:
    """A Retry-After header: 0 where there is none, infinite where it is a date, which stands for an hour and more."""
    if text.isdigit():
        return float(text)
    return float("inf") if text else 0.0


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return problem if isinstance(problem, dict) else {}


def _code(response: httpx.Response) -> str:
    return str(_problem(response).get("code", ""))


def explain(response: httpx.Response) -> str:
    """An error answer (application/problem+json, RFC 9457) as lines for people."""
    problem = _problem(response)
    if not problem:
        doubt = " Is the server's address right?" if response.status_code == 404 else ""
        return f"{response.url} answered {response.status_code} {response.reason_phrase}.{doubt}"
    lines = [f"{problem.get('title') or response.reason_phrase} ({response.status_code})"]
    if detail := problem.get("detail"):
        lines.append(str(detail))
    for name in ("errors", "problems"):
        lines += [
            point for point in _points(problem.get(name)) if point.partition(": ")[2] not in str(detail)
        ]
    return "\n".join(lines)


def _points(errors: Any) -> list[str]:
    """Lines of a list of problems, or of messages by field."""
    if isinstance(errors, dict):
        return [f"  {field}: {text}" for field, texts in errors.items() for text in _list(texts)]
    lines = []
    for error in _list(errors):
        if isinstance(error, dict):
            place = error.get("file") or error.get("field") or error.get("pointer") or error.get("code") or ""
            if (count := error.get("count", 1)) > 1:
                place = f"{count} files ({', '.join(error.get('files', [place])[:3])} …)"
            lines.append(
                f"  {place}: {error.get('message') or error.get('detail')}" if place else f"  {error}"
            )
        else:
            lines.append(f"  {error}")
    return lines


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
