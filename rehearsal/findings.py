"""What a rehearsal found: which rule held, where the file states it, which hidden number was seen by whom."""

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

WORDS = {True: "held", False: "BROKEN", None: "not rehearsed"}


@dataclass
class Rule:
    """``held`` is None where the calendar gave no occasion to try the rule; ``detail`` says why, or what happened."""

    rule: str
    where: str
    held: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Leak:
    """A hidden number that someone could read who may not know it at this moment."""

    what: str
    seen_by: str
    at: str
    where: str
    written: str

    def __str__(self) -> str:
        return f"{self.what}: {self.seen_by} reads {self.written!r} in {self.where} ({self.at})"


@dataclass
class Findings:
    rules: list[Rule] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    answers_read: int = 0
    not_looked_for: list[str] = field(default_factory=list)

    def check(self, rule: str, where: str, held: bool | None, detail: str = "") -> None:
        """Keep how a rule did. One that is tried several times has held when it held every time."""
        for known in self.rules:
            if (known.rule, known.where) == (rule, where):
                if held is False or known.held is None:
                    known.held, known.detail = held, detail
                return
        self.rules.append(Rule(rule, where, held, detail))

    def leak(self, leak: Leak) -> None:
        """Keep a leak; of one that lasts, the first moment."""
        known = {(each.what, each.seen_by, each.where) for each in self.leaks}
        if (leak.what, leak.seen_by, leak.where) not in known:
            self.leaks.append(leak)

    @property
    def all_held(self) -> bool:
        return not self.leaks and all(rule.held is not False for rule in self.rules)

    def as_dict(self) -> dict[str, Any]:
        return {"all_held": self.all_held, **asdict(self)}

    def as_text(self, width: int = 110) -> str:
        """A table for a terminal, what is broken last, where it is read first."""
        order = {True: 0, None: 1, False: 2}
        lines = []
        for rule in sorted(self.rules, key=lambda rule: order[rule.held]):
            lines.append(f"{WORDS[rule.held]:14}{rule.rule}  [{rule.where}]")
            shown = rule.detail if rule.held is not True else ""
            lines += textwrap.wrap(shown, width, initial_indent=" " * 16, subsequent_indent=" " * 16)
        lines += ["", f"{self.answers_read} answers, mails and log lines were searched for hidden numbers."]
        lines += textwrap.wrap(f"Not looked for: {'; '.join(self.not_looked_for)}.", width)
        lines += [f"LEAK  {leak}" for leak in self.leaks] or [
            "No hidden number was found where it may not be read."
        ]
        broken = sum(rule.held is False for rule in self.rules)
        held = sum(rule.held is True for rule in self.rules)
        lines += ["", f"{held} rules held, {broken} did not; {len(self.leaks)} leaks."]
        return "\n".join(lines)
