"""What can go wrong between a script and a leaderboard. Every error names its exit code of the command `l4s`."""

from __future__ import annotations

from typing import Any

EXIT_CODES = {
    0: "done; a submission that was waited for is scored",
    1: "the archive has problems, or the receipt, the labels or the log are not genuine",
    2: "wrong use: an unknown option, phase or file, no server named, a package that is not installed",
    3: "refused by the server, and waiting does not help",
    4: "no token, one that is unknown, expired or revoked, or one without the scope that is needed",
    5: "refused for now: a quota of the day or a rate limit is used up, or the phase opens later",
    6: "no usable answer from the server, after several tries",
    7: "waited long enough: the submission has no score yet; the same command waits on",
    8: "the server failed to score the submission; the attempt is given back",
    130: "interrupted",
}


class L4SError(RuntimeError):
    """Everything that the client raises on purpose."""

    exit_code = 6
    code = "error"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"code": self.code, "message": str(self), "exit_code": self.exit_code}


class WrongUse(L4SError):
    """A name, an address or a file that cannot be right."""

    exit_code, code = 2, "wrong_use"


class NotInstalled(WrongUse):
    """A package that the call needs is missing."""

    code = "not_installed"


class Unreachable(L4SError):
    """No usable answer: the connection failed, or the server did, each time it was tried."""

    exit_code, code = 6, "unreachable"


class ConnectionBroken(Unreachable):
    """One request that got no answer. `retries` may hide it."""


class StillWaiting(L4SError):
    """The time to wait is over; `submission` is as it was last seen."""

    exit_code, code = 7, "still_waiting"

    def __init__(self, message: str, submission: dict[str, Any]) -> None:
        super().__init__(message)
        self.submission = submission


class ReceiptForged(L4SError):
    """The server's key did not sign this receipt."""

    exit_code, code = 1, "receipt_invalid"


class Damaged(L4SError):
    """A download whose SHA-256 is not the one that the server names."""

    exit_code, code = 6, "damaged"


class Answered(L4SError):
    """The server answered with an error: `application/problem+json`.

    `status` is HTTP's, `code` the server's word for the reason, `detail` its sentence; `problem` has all of it, with
    `errors` by field. `next_at`: when the same can succeed, `retry_after`: the same in seconds; None where the server
    says nothing.
    """

    def __init__(
        self, message: str, status: int, problem: dict[str, Any], retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.problem, self.retry_after = status, problem, retry_after
        self.code = str(problem.get("code", "error"))
        self.detail = str(problem.get("detail", ""))
        self.next_at: str | None = problem.get("next_at")
        if self.next_at:
            self.exit_code = 5

    def as_dict(self) -> dict[str, Any]:
        return {**self.problem, **super().as_dict(), "status": self.status}


class Refused(Answered):
    """The answer is no, and stays no."""

    exit_code = 3


class Unauthorized(Refused):
    """401: no token, or not a valid one."""

    exit_code = 4


class InsufficientScope(Refused):
    """403: the token is valid, but not for this. `scopes`: one of these is needed (all, where `detail` says so)."""

    exit_code = 4

    @property
    def scopes(self) -> list[str]:
        return [str(scope) for scope in self.problem.get("scopes") or ()]


class NotFound(Refused):
    """404: there is no such thing, or it is not yours."""


class Conflict(Refused):
    """409: it contradicts what is there."""


class QuotaUsedUp(Refused):
    """`next_at` says when the next submission is accepted; None: not by waiting."""


class TooManyRequests(Answered):
    """429: wait as long as `retry_after` says. Raised only where that is longer than the client waits by itself."""

    exit_code = 5


class ServerFailed(Answered, Unreachable):
    """5xx, each time it was tried."""

    exit_code = 6


QUOTA = ("quota_used_up", "total_used_up", "board_full", "day_used_up")
BY_STATUS: dict[int, type[Answered]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def kind_of(status: int, code: str) -> type[Answered]:
    """The class of an error answer."""
    if code in QUOTA:
        return QuotaUsedUp
    if code == "insufficient_scope":
        return InsufficientScope
    if code == "too_many":  # a limit of the day, named by the server: no rate limit
        return TooManyRequests
    return ServerFailed if status >= 500 else BY_STATUS.get(status, Refused)
