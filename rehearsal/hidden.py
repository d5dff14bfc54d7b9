"""Every number that a phase hides, in all forms in which it could be printed, and who may know it when."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from .masks import counts_near
from .rulebook import PhaseRules, SubmissionRecord

RATIOS = ("f1", "precision", "recall")
NOT_LOOKED_FOR = (
    "numbers rounded to fewer than two decimals of a percentage",
    "counts of single patches",
    "times and sizes in /metrics",
    "positions in charts (the table next to each chart is searched)",
    "anything that can be deduced from the order or changes of ranks",
)
NUMBER = re.compile(r"(?<!\w)(?<!\d[.,'])(?:\d{1,3}(?: \d{3})+(?!\w)|\d[\d.,'\u00a0\u2009\u202f]*(?!\w))")
DECIMAL = re.compile(r"(\d{1,3})[.,](\d{2,})")
WHOLE = re.compile(r"\d{5,}|\d{1,3}(?:[.,' \u00a0\u2009\u202f]\d{3})+")
GEOMETRY = re.compile(
    r"\s(?:d|points|x|y|x1|y1|x2|y2|cx|cy|r|rx|width|height|transform|viewBox|style)=\"[^\"]*\""
)


@dataclass
class Viewer:
    """A viewer. ``team`` is None for people without a team; organisers of this competition may know everything."""

    name: str
    user: Any = None
    team: str | None = None
    is_organiser: bool = False


@dataclass(frozen=True, eq=False)
class Secret:
    """A number, or the salt of a phase's labels; ``kind`` is f1, precision, recall, count or salt."""

    kind: str
    name: str
    phase: PhaseRules
    entry: SubmissionRecord | None = None
    number: int | Fraction = 0

    def is_written(self, text: str) -> bool:
        """Whether the text matches this number. Long decimals are compared in full."""
        decimal = DECIMAL.fullmatch(text)
        if isinstance(self.number, int) or decimal is None:
            return True
        value = Fraction(f"{decimal[1]}.{decimal[2]}") / (1 if decimal[1] == "0" else 100)
        digits = len(decimal[2]) + (0 if decimal[1] == "0" else 2)
        return abs(value - self.number) <= max(Fraction(1, 10**digits), Fraction(1, 10**12))

    def __str__(self) -> str:
        whose = f"of submission {self.entry.pk} ({self.entry.team})" if self.entry else "of the labels"
        return f"{self.name} {whose} in {self.phase}"


@dataclass
class Hidden:
    """The secrets, indexed by the forms in which they can be printed."""

    by_form: dict[str, list[Secret]] = field(default_factory=dict)
    ordinary: set[str] = field(default_factory=set)  # forms that occur in the competition's own texts
    texts: dict[str, Secret] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)  # submissions whose score a public board has shown

    def draw(self, positives: int, f1: Fraction) -> tuple[int, int, int]:
        """Counts with about this F1, without round numbers, and with forms unlike all others."""
        for shift in range(1, 2000):
            counts = counts_near(positives, f1, shift)
            if any(is_round(number) for _, _, number in numbers(counts)):
                continue
            forms = [form for _, _, number in numbers(counts) for form in forms_of(number)]
            if not self.ordinary.intersection(forms) and not self.by_form.keys() & set(forms):
                return counts
        raise AssertionError(f"no distinctive numbers near {float(f1):.2f}")

    def add(self, entry: SubmissionRecord) -> None:
        for kind, name, number in numbers(entry.counts):
            for form in forms_of(number):
                self.by_form.setdefault(form, []).append(Secret(kind, name, entry.phase, entry, number))

    def add_labels(self, phase: PhaseRules, positives: int, texts: dict[str, str]) -> None:
        for form in forms_of(positives):
            self.by_form.setdefault(form, []).append(Secret("count", "number of positive pixels", phase))
        for name, text in texts.items():
            self.texts[text] = Secret("salt", name, phase)

    def show(self, phase: PhaseRules, entries: Iterable[SubmissionRecord], now: datetime) -> None:
        """Remember what the public board shows now: from now on it is known."""
        self.shown.update(entry.pk for entry in phase.revealed(entries, now))

    def may_know(self, secret: Secret, viewer: Viewer, now: datetime) -> bool:
        if viewer.is_organiser:
            return True
        entry = secret.entry
        if entry is None:
            return secret.kind == "count" and secret.phase.get("labels_public_since") is not None
        if secret.kind == "count":
            return False
        if secret.kind not in secret.phase.metrics(now):
            return False
        return entry.pk in self.shown or viewer.team == entry.team

    def found_in(self, text: str) -> Iterator[tuple[str, list[Secret]]]:
        """Every form of a secret in a text, with the secrets that it may represent."""
        text = GEOMETRY.sub(" ", html.unescape(text))
        for match in NUMBER.finditer(text):
            for written in readings(match[0]):
                for form in forms_read(written):
                    if meant := [one for one in self.by_form.get(form, ()) if one.is_written(written)]:
                        around = text[max(0, match.start() - 30) : match.end() + 10]
                        yield " ".join(around.split()), meant
        yield from ((form, [secret]) for form, secret in self.texts.items() if form in text)

    def leaks(self, text: str, viewer: Viewer, now: datetime) -> list[tuple[Secret, str]]:
        """The leaks in this text for this viewer: the secret, and how it was written."""
        return [
            (secrets[0], written)
            for written, secrets in self.found_in(text)
            if not any(self.may_know(secret, viewer, now) for secret in secrets)
        ]


def numbers(counts: tuple[int, int, int]) -> list[tuple[str, str, int | Fraction]]:
    """(kind, name, number) of every count of a submission."""
    tp, fp, fn = counts
    return [
        ("f1", "F1", Fraction(2 * tp, 2 * tp + fp + fn)),
        ("precision", "precision", Fraction(tp, tp + fp)),
        ("recall", "recall", Fraction(tp, tp + fn)),
        ("count", "TP", tp),
        ("count", "FP", fp),
        ("count", "FN", fn),
    ]


def is_round(number: int | Fraction) -> bool:
    """Whether the fraction could be written with fewer than four digits, such as 0.62 or 0.625."""
    return isinstance(number, Fraction) and any(
        (1000 * Fraction(round(10**n * number), 10**n)).denominator == 1 for n in (4, 6)
    )


def forms_of(number: int | Fraction) -> list[str]:
    """The forms of a number: whole, or the first four digits of its fraction, truncated or rounded.

    Recall's denominator is the number of positives, so a ratio is never whole.
    """
    if isinstance(number, int):
        return [f"whole {number}"]
    cut, rounded = int(10**4 * number), int(10**4 * number + Fraction(1, 2))
    return sorted({f"ratio {cut:04}", f"ratio {rounded:04}"})


def readings(written: str) -> set[str]:
    """Read digits, points and commas as one number, and as a list: 12,345 or 0.62,0.64."""
    return {written.strip(".,'"), *(part.strip(".'") for part in written.split(","))}


def forms_read(written: str) -> Iterator[str]:
    """The forms that match a written number: 74.54, 0.7454, 0.745390, 12345, 12,345."""
    if WHOLE.fullmatch(written):
        yield "whole " + re.sub(r"\D", "", written)
    if decimal := DECIMAL.fullmatch(written):
        before, after = decimal.groups()
        if len(before) < 3 and before != "0":
            yield f"ratio {before:0>2}{after[:2]}"
        if before == "0" and len(after) >= 4:
            yield f"ratio {after[:4]}"
