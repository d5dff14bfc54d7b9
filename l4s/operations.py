"""What a script does on a leaderboard, as generators over `exchange`: the clients run them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import Any

from evaluation.task import TASK, MaskSpec
from evaluation.trust import receipts

from . import tus
from .errors import Damaged, Refused, StillWaiting, WrongUse
from .exchange import Answer, Pause, Progress, Request, Steps, ask

Json = dict[str, Any]
FINAL = ("scored", "invalid", "failed")
RESUMABLE_FROM = 2**20  # bytes; what is smaller is quicker sent again than asked for
HOLD = 30  # seconds for which a server may hold an answer until the state changes
FIRST_POLL, LONGEST_POLL = 0.3, 5.0  # seconds between questions, where the server does not hold them
RAREST_POLL = 20.0  # seconds, where the server expects a long wait
PAGE = 200


@dataclass
class Session:
    """What the operations of one client have in common."""

    uploads: MutableMapping[str, str] = field(default_factory=dict)  # addresses by idempotency key
    offers_tus: bool | None = None


def phases(session: Session) -> Steps[list[Json]]:
    """All phases: window, quotas, number and size of the masks."""
    return (yield from ask(Request("GET", "phases/"))).body(list)


def phase(session: Session, name: str | int | None = None) -> Steps[Json]:
    """One phase, by "competition/phase", "phase" where one competition has it, or number; None: the only open one.

    Raises WrongUse, with the names that there are, where none or several fit.
    """
    every = yield from phases(session)
    if name is None:
        matches = [each for each in every if each["is_open"]]
        problem = f"{len(matches)} phases are open" if matches else "No phase is open"
    else:
        matches = [each for each in every if str(name) in names_of(each)]
        problem = (
            f"{name!r} {'is the name of several phases' if matches else 'is not a phase of this server'}"
        )
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(f"{each['competition']}/{each['slug']}" for each in every) or "none"
    raise WrongUse(f"{problem}. Its phases are: {known}. Name one with --phase.")


def names_of(phase: Json) -> tuple[str, ...]:
    return str(phase["id"]), phase["slug"], f"{phase['competition']}/{phase['slug']}"


def spec_of(phase: Json) -> MaskSpec:
    """Number and size of the masks that an archive for the phase holds.

    Raises WrongUse where the phase has none yet, or asks for another format than this version checks.
    """
    if phase.get("patches") is None:
        raise WrongUse(f"{phase['name']} has no labels yet, so the number of its masks is not known.")
    spec = MaskSpec(phase["patches"], phase["patch_height"], phase["patch_width"])
    known = TASK.archive_format(spec)
    asked = {name: value for name, value in (phase.get("format") or {}).items() if name in known}
    if different := [name for name, value in asked.items() if value != known[name]]:
        said = ", ".join(f"{name} {asked[name]!r} instead of {known[name]!r}" for name in different)
        raise WrongUse(
            f"{phase['name']} asks for archives that this version of l4s cannot check ({said}). Update it: "
            "pip install --upgrade 'landslide4sense[client]'"
        )
    return spec


def submit(
    session: Session,
    archive: Path | str,
    *,
    phase: str | int | None = None,
    method: str,
    description: str = "",
    link: str = "",
    reference: bool = False,
    attempt: str = "",
    progress: Progress | None = None,
) -> Steps[Json]:
    """Upload an archive; returns the submission as the server has it, scored or not.

    The same archive, phase and texts are one submission, however often they are sent: the Idempotency-Key is their
    digest. `attempt` is part of it: another word makes another submission of the same bytes. `reference` marks the
    organisers' own. Raises the classes of `l4s.errors`.
    """
    path = Path(archive)
    chosen = yield from _found_phase(session, phase)
    fields = {"phase": str(chosen["id"]), "method": method, "description": description, "link": link}
    fields |= {"reference": "true"} if reference else {}
    fields |= {"allow_duplicate": "true"} if attempt else {}  # or a server may refuse the same bytes
    fields = {name: text for name, text in fields.items() if text}
    digest, size = sha256_of(path), path.stat().st_size
    key = key_of(digest, fields, attempt)
    if size >= RESUMABLE_FROM and session.offers_tus is None:
        session.offers_tus = yield from tus.is_offered()
    headers = {"Idempotency-Key": key}
    if size < RESUMABLE_FROM or not session.offers_tus:
        form = Request("POST", "submissions/", headers=headers, form=fields, archive=path, progress=progress)
        return (yield from ask(form)).body()
    metadata = {"filename": path.name, "phase": fields["phase"], "sha256": digest}
    location = yield from tus.upload(path, size, metadata, key, session.uploads, progress)
    form = Request("POST", "submissions/", headers=headers, form={**fields, "upload": location})
    return (yield from ask(form)).body()


def _found_phase(session: Session, name: str | int | None) -> Steps[Json]:
    """No question where a number says it all."""
    if isinstance(name, int):
        return {"id": name}
    return (yield from phase(session, name))


def key_of(digest: str, fields: Mapping[str, str], attempt: str = "") -> str:
    """The Idempotency-Key of an archive in a phase under these texts."""
    return hashlib.sha256(repr((digest, sorted(fields.items()), attempt)).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wait(
    session: Session,
    submission: Json | int,
    timeout: float = 3600,
    on_change: Callable[[Json], None] = lambda submission: None,
) -> Steps[Json]:
    """The submission once it is scored, invalid or failed; `on_change` is called with each new state or place.

    A server that knows `Prefer: wait` holds the answer until something changes; another one is asked again and again.
    Raises StillWaiting after `timeout` seconds.
    """
    number = submission if isinstance(submission, int) else submission["id"]
    seen = (yield from show(session, number)) if isinstance(submission, int) else submission
    deadline, pause, etag = monotonic() + timeout, FIRST_POLL, ""
    while seen["state"] not in FINAL:
        left = deadline - monotonic()
        if left <= 0:
            raise StillWaiting(
                f"Submission {number} is still {seen['state']} after {timeout:.0f} s. The server keeps it: the same command "
                "waits on, and uploads nothing twice.",
                seen,
            )
        headers = {"Prefer": f"wait={max(1, min(HOLD, int(left)))}"}
        headers |= {"If-None-Match": etag} if etag else {}
        answer = yield from ask(Request("GET", f"submissions/{number}/", headers=headers))
        etag = answer.headers.get("etag", "")
        if answer.status != HTTPStatus.NOT_MODIFIED:
            latest = answer.body()
            if (latest["state"], latest.get("queue")) != (seen["state"], seen.get("queue")):
                on_change(latest)
            seen = latest
        if seen["state"] not in FINAL and "wait" not in answer.headers.get("preference-applied", ""):
            expected = (seen.get("queue") or {}).get("expected_seconds")
            if expected is not None:  # the nearer its turn, the sooner
                pause = min(max(FIRST_POLL, expected / 3), RAREST_POLL)
            yield Pause(max(0.0, min(pause, deadline - monotonic())))
            pause = min(1.5 * pause, LONGEST_POLL)
    return seen


def submissions(
    session: Session,
    *,
    phase: str | int | None = None,
    state: str | None = None,
    limit: int | None = 50,
) -> Steps[list[Json]]:
    """Your teams' submissions, newest first; `limit` None: all of them."""
    params = {"page_size": str(min(limit or PAGE, PAGE))}
    if phase is not None:
        params["phase"] = str((yield from _found_phase(session, phase))["id"])
    if state is not None:
        params["state"] = state
    rows: list[Json] = []
    request: Request | None = Request("GET", "submissions/", params=params)
    while request is not None and (limit is None or len(rows) < limit):
        page = (yield from ask(request)).body()
        rows += page["results"]
        request = Request("GET", page["next"]) if page["next"] else None
    return rows[:limit]


def show(session: Session, submission: int) -> Steps[Json]:
    """One submission: state, scores as far as the phase shows them, problems."""
    return (yield from ask(Request("GET", f"submissions/{submission}/"))).body()


def withdraw(session: Session, submission: int) -> Steps[Json]:
    """Take a submission off the board, where the phase allows it."""
    return (yield from ask(Request("POST", f"submissions/{submission}/withdraw/"))).body()


def select(session: Session, submission: int, selected: bool = True) -> Steps[Json]:
    """Say whether a submission is one of those that count, where the phase lets teams choose."""
    body = {"selected": selected}
    return (yield from ask(Request("POST", f"submissions/{submission}/select/", json=body))).body()


def download(
    session: Session, submission: int, to: Path | str | None = None, progress: Progress | None = None
) -> Steps[Path]:
    """Save a submission's archive as `to` (submission-N.zip), whole or not at all; its SHA-256 is checked."""
    expected = (yield from show(session, submission))["sha256"]
    path = Path(to or f"submission-{submission}.zip")
    partial = path.with_name(f"{path.name}.partial")
    request = Request("GET", f"submissions/{submission}/archive/", save_to=partial, progress=progress)
    try:
        yield from ask(request)
        found = sha256_of(partial)
        if found != expected:
            raise Damaged(f"What came for submission {submission} has SHA-256 {found}, not {expected}.")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def receipt(session: Session, submission: int) -> Steps[Json]:
    """The signed statement of what was received, when, and how it was scored."""
    return (yield from ask(Request("GET", f"submissions/{submission}/receipt/"))).body()


def receipt_key(session: Session) -> Steps[str]:
    """The server's public key, as PEM."""
    return (yield from ask(Request("GET", "/receipts/key"))).content.decode()


def verify(session: Session, submission: int) -> Steps[Json]:
    """A receipt that this server's key signed. Raises evaluation's ReceiptInvalid for another."""
    found = yield from receipt(session, submission)
    receipts.verify(found, (yield from receipt_key(session)))
    return found


def board(session: Session, phase: str | int | None = None) -> Steps[Json]:
    """The whole board of a phase: ranked `rows`, `reference` and `published` entries, and what it says of itself."""
    answer = yield from _board(session, phase, "")
    return (yield from _whole(answer))[0]


def board_if_changed(
    session: Session, phase: str | int | None = None, etag: str = ""
) -> Steps[tuple[Json | None, str]]:
    """The board and its ETag; None instead of the board where it is the one with that ETag still."""
    answer = yield from _board(session, phase, etag)
    if answer.status == HTTPStatus.NOT_MODIFIED:
        return None, etag
    return (yield from _whole(answer))


def board_csv_if_changed(
    session: Session, phase: str | int | None = None, etag: str = ""
) -> Steps[tuple[str | None, str]]:
    """The whole board as the server's CSV, and its ETag; None instead where it is the one with that ETag still."""
    answer = yield from _board(session, phase, etag, "leaderboard.csv")
    if answer.status == HTTPStatus.NOT_MODIFIED:
        return None, etag
    return answer.content.decode(), answer.headers.get("etag", "")


def _board(
    session: Session, phase: str | int | None, etag: str, name: str = "leaderboard/?limit=500"
) -> Steps[Answer]:
    number = (yield from _found_phase(session, phase))["id"]
    headers = {"If-None-Match": etag} if etag else {}
    return (yield from ask(Request("GET", f"phases/{number}/{name}", headers=headers)))


def _whole(answer: Answer) -> Steps[tuple[Json, str]]:
    """A board with the rows of the pages that follow."""
    whole = answer.body()
    following = whole["next"]
    while following:
        page = (yield from ask(Request("GET", following))).body()
        whole["rows"] += page["rows"]
        following = page["next"]
    return {**whole, "next": None}, answer.headers.get("etag", "")


def teams(session: Session) -> Steps[list[Json]]:
    """Your teams: members, what each phase's quotas leave, whether an upload would be accepted now."""
    return (yield from ask(Request("GET", "teams/mine/"))).body(list)


def check_token(session: Session) -> Steps[None]:
    """Raises Unauthorized unless the server knows the token."""
    try:
        yield from ask(Request("GET", "teams/mine/"))
    except Refused as refused:
        if refused.status != HTTPStatus.FORBIDDEN:  # a valid token that may not read teams
            raise
