"""The findings of a rehearsal: which rules held, where the file states them, who saw which hidden number."""

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

WORDS = {True: "held", False: "BROKEN", None: "not rehearsed"}


@dataclass
class Rule:
    """``held`` is None if the calendar gave no occasion to try the rule; ``detail`` says why, or what happened."""

    rule: str
    where: str
    held: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Leak:
    """A hidden number that a viewer could read but may not know at this time."""

    what: str
    seen_by: str
    at: str
    where: str
    written: str

    def __str__(self) -> str:
        return f"{self.what}: {self.seen_by} could read {self.written!r} in {self.where} ({self.at})"


@dataclass
class Findings:
    rules: list[Rule] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    answers_read: int = 0
    not_looked_for: list[str] = field(default_factory=list)

    def check(self, rule: str, where: str, held: bool | None, detail: str = "") -> None:
        """Record the result of a rule. A rule tried several times holds only if it held every time."""
        for known in self.rules:
            if (known.rule, known.where) == (rule, where):
                if held is False or known.held is None:
                    known.held, known.detail = held, detail
                return
        self.rules.append(Rule(rule, where, held, detail))

    def leak(self, leak: Leak) -> None:
        """Record a leak; if it persists, only its first occurrence."""
        known = {(each.what, each.seen_by, each.where) for each in self.leaks}
        if (leak.what, leak.seen_by, leak.where) not in known:
            self.leaks.append(leak)

    @property
    def all_held(self) -> bool:
        return not self.leaks and all(rule.held is not False for rule in self.rules)

    def as_dict(self) -> dict[str, Any]:
        return {"all_held": self.all_held, **asdict(self)}

    def as_text(self, width: int = 110) -> str:
        """A table for the terminal, with broken rules last, where they are seen first."""
        order = {True: 0, None: 1, False: 2}
        lines = []
        for rule in sorted(self.rules, key=lambda rule: order[rule.held]):
            lines.append(f"{WORDS[rule.held]:14}{rule.rule}  [{rule.where}]")
            shown = rule.detail if rule.held is not True else ""
            lines += textwrap.wrap(shown, width, initial_indent=" " * 16, subsequent_indent=" " * 16)
        lines += ["", f"{self.answers_read} responses, mails and log lines were searched for hidden numbers."]
        lines += textwrap.wrap(f"Not searched for: {'; '.join(self.not_looked_for)}.", width)
        lines += [f"LEAK  {leak}" for leak in self.leaks] or ["No leaks of hidden numbers were found."]
        broken = sum(rule.held is False for rule in self.rules)
        held = sum(rule.held is True for rule in self.rules)
        lines += ["", f"{held} rules held, {broken} did not; {len(self.leaks)} leaks."]
        return "\n".join(lines)
