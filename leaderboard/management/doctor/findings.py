"""What an examination says."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAULT = "FAULT"


@dataclass(frozen=True)
class Finding:
    """One examined thing: what was found and, if it is not well, what to do."""

    level: Level
    subject: str
    found: str
    fix: str = ""


def ok(subject: str, found: str) -> Finding:
    return Finding(Level.OK, subject, found)


def warning(subject: str, found: str, fix: str) -> Finding:
    return Finding(Level.WARNING, subject, found, fix)


def fault(subject: str, found: str, fix: str) -> Finding:
    return Finding(Level.FAULT, subject, found, fix)
