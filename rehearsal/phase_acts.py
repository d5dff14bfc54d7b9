"""Checks of every phase: its dates, its quotas, and what stays hidden until its end."""

import math
from datetime import datetime, timedelta
from fractions import Fraction

from leaderboard.actions.judging import reveal_labels
from leaderboard.actions.reports import publish_report, request_report
from leaderboard.reporting import reports

from .acts import Act, at
from .board_acts import after_freeze, compare_boards, competing, read_own_scores
from .rulebook import PhaseRules, utc_day
from .stage import API, QUOTAS, Stage

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
MOST = 400  # submissions per team: larger quotas are not rehearsed


def acts_of(stage: Stage, rules: PhaseRules) -> list[Act]:
    opens = rules.opens_at
    ends = rules.closes_at or opens + 400 * DAY
    beat = min(timedelta(hours=1), (ends - opens) / 50)
    acts = [
        at(opens - 2 * SECOND, commitment, stage, rules),
        at(opens - SECOND, before_opening, stage, rules),
        at(opens, stage.submit, "Scree", rules, Fraction(30, 100), by_page=True),
        *competing(stage, rules, beat),
        *filling(stage, rules, opens, ends),
        at(ends - beat, stage.look, f"{rules}: before the end", decisive=True),
        at(ends - SECOND, last_second, stage, rules),
        at(ends, ended if rules.closes_at else without_end, stage, rules),
    ]
    if rules.uploads_end_at is not None:
        acts.append(at(rules.uploads_end_at, final, stage, rules))
    if rules.freezes_at is not None:
        acts += [
            at(rules.freezes_at - SECOND, stage.submit, "Flow", rules, Fraction(40, 100)),
            at(rules.freezes_at, stage.submit, "Flow", rules, Fraction(66, 100)),
            at(rules.freezes_at + SECOND, after_freeze, stage, rules),
        ]
    return acts


# Opening and closing


def commitment(stage: Stage, rules: PhaseRules) -> None:
    labels = stage.competition.phases.get(slug=rules.get("slug")).labels
    page = stage.get(f"/c/{stage.competition.slug}/trust/").content.decode()
    held = labels.commitment in page
    stage.findings.check("The labels' commitment is public before the opening", rules.where("opens_at"), held)


def before_opening(stage: Stage, rules: PhaseRules) -> None:
    stage.submit("Talus", rules)
    stage.submit("Talus", rules, by_page=True)
    begun = stage.clock.now
    entry = stage.submit("Scree", rules, Fraction(28, 100), complete_at=rules.opens_at)
    rule = "An upload that begins before the opening and completes at it is accepted"
    stage.findings.check(rule, rules.where("opens_at"), entry is not None, f"begun {begun:%H:%M:%S}")


def last_second(stage: Stage, rules: PhaseRules) -> None:
    stage.submit("Talus", rules, Fraction(33, 100))
    if rules.closes_at is not None:
        entry = stage.submit("Talus", rules, complete_at=rules.uploads_end_at)
        rule = "An upload that begins before the end and completes when the grace is over is refused"
        stage.findings.check(rule, rules.where("grace_minutes"), entry is None)
        stage.clock.now = rules.closes_at - SECOND
        if rules.grace:
            last = rules.closes_at + rules.grace - SECOND
            entry = stage.submit("Talus", rules, Fraction(31, 100), complete_at=last)
            rule = "An upload that begins before the end and completes within the grace is accepted"
            stage.findings.check(rule, rules.where("grace_minutes"), entry is not None)
            stage.clock.now = rules.closes_at - SECOND
    stage.score()
    compare_boards(stage, rules)
    read_own_scores(stage, rules)
    reveal(stage, rules, allowed=False)
    if stage.thorough:
        report_too_early(stage, rules)


def ended(stage: Stage, rules: PhaseRules) -> None:
    stage.submit("Talus", rules)
    stage.submit("Talus", rules, by_page=True)
    mine = [entry for entry in stage.entries if entry.phase is rules and entry.stands]
    if mine and rules.get("allows_withdrawal"):
        held = not stage.withdraw(mine[0])
        stage.findings.check("No withdrawals after the end", rules.where("closes_at"), held)
    if mine and rules.get("counts") == "selected":
        held = not stage.select(mine[0], not mine[0].selected)
        stage.findings.check("The selection cannot change after the end", rules.where("closes_at"), held)
    reveal(stage, rules, allowed=not rules.grace)


def final(stage: Stage, rules: PhaseRules) -> None:
    """No upload that began in time can arrive any more."""
    compare_boards(stage, rules)
    read_own_scores(stage, rules)
    stage.look(f"{rules}: after the end", decisive=True)
    reveal(stage, rules, allowed=True)


def without_end(stage: Stage, rules: PhaseRules) -> None:
    entry = stage.submit("Talus", rules, Fraction(37, 100))
    stage.score()
    later = "400 days after the opening"
    stage.findings.check("The phase has no end", rules.where("closes_at"), entry is not None, later)
    compare_boards(stage, rules)
    stage.look(f"{rules}: {later}")


def report_too_early(stage: Stage, rules: PhaseRules) -> None:
    """Reports can be built at any time, but only organisers may read them before the end. If a phase without end shows its
    exact board, its report may be published, but must reveal nothing else."""
    phase = stage.competition.phases.get(slug=rules.get("slug"))
    report = request_report(stage.organiser, phase)
    reports.work()
    report.refresh_from_db()
    where, address = rules.where("closes_at"), f"/c/{stage.competition.slug}/report/{phase.slug}/"
    answers = [stage.get(address, user).status_code for user in (stage.organiser, None, stage.owner("Ridge"))]
    statuses = f"{answers} for an organiser, anonymous and a team"
    stage.findings.check(
        "Only organisers can read an unpublished report", where, answers == [200, 404, 404], statuses
    )
    exact = not (rules.get("hidden_until_close") or rules.has_ladder or rules.freezes_at)
    code = stage.refuses(lambda: publish_report(stage.organiser, report))
    if rules.closes_at is None and exact:
        stage.findings.check("The report of a phase without end can be published", where, code == "", code)
    else:
        stage.findings.check("A report cannot be published before the end", where, code == "conflict", code)


def reveal(stage: Stage, rules: PhaseRules, *, allowed: bool) -> None:
    """The salt of the commitment can be published after the end, but not before."""
    labels = stage.competition.phases.get(slug=rules.get("slug")).labels
    code = stage.refuses(lambda: reveal_labels(stage.organiser, labels, "the rehearsal"))
    rule = (
        "The salt of the labels can be published after the end"
        if allowed
        else "The salt cannot be published before the end"
    )
    stage.findings.check(rule, rules.where("closes_at"), (code == "") is allowed, code)
    if not code:
        stage.hidden.texts = {
            text: secret for text, secret in stage.hidden.texts.items() if text != labels.salt
        }


# Quotas


def filling(stage: Stage, rules: PhaseRules, opens: datetime, ends: datetime) -> list[Act]:
    """Team Brim uses up every quota, day by day, and tries one more each time."""
    total, per_day, on_board = (rules.get(f"quota_{name}") for name in ("total", "per_day", "on_board"))
    for key, limit in (("quota_total", total), ("quota_per_day", per_day), ("quota_on_board", on_board)):
        if limit is not None:
            why = f"more than {MOST} are not tried" if limit > MOST else "the phase ends too early"
            stage.findings.check(QUOTAS[key], rules.where(key), None, why)
    first = datetime.combine(utc_day(opens), datetime.min.time(), opens.tzinfo) + DAY
    if first + 2 * DAY >= ends:
        first = opens + (ends - opens) / 10
    most = max(limit or 0 for limit in (total, on_board, 1 if per_day else 12))
    days = min(60, math.ceil(most / per_day) + 1) if per_day else 1
    acts = [at(first + day * DAY, fill, stage, rules, day) for day in range(days) if first + day * DAY < ends]
    if per_day is not None and len(acts) > 1:
        acts.append(at(first + DAY - SECOND, stage.submit, "Brim", rules))
    return acts


def fill(stage: Stage, rules: PhaseRules, day: int) -> None:
    if day == 0:
        spoilt = stage.submit("Brim", rules, spoilt=True)
        stage.score()
        if spoilt is not None:
            answer = stage.get(f"{API}/submissions/{spoilt.pk}/", stage.owner("Brim")).json()
            held = answer["state"] == "invalid" and answer["attempt"]["state"] == "given_back"
            stage.findings.check("An invalid archive uses no quota", rules.where("slug"), held)
    limits = [rules.get(f"quota_{name}") for name in ("total", "per_day", "on_board")]
    most = MOST if any(limits) else 12
    for number in range(most):
        mine = [entry for entry in stage.entries if entry.phase is rules and entry.team == "Brim"]
        full = rules.refusal(mine, stage.clock.now, stage.clock.now)
        stage.submit("Brim", rules, Fraction(20 + (7 * number + 3 * day) % 14, 100))
        if full:
            break
    else:
        rule = "The number of submissions is unlimited"
        stage.findings.check(
            rule, rules.where("quota_total"), True if most == 12 else None, f"{most} were made"
        )
    stage.score()
    if day == 0:
        withdraw_one(stage, rules)


def withdraw_one(stage: Stage, rules: PhaseRules) -> None:
    """Check that a withdrawal frees a place on the board, but not in the total or daily quota."""
    mine = [
        entry for entry in stage.entries if entry.phase is rules and entry.team == "Brim" and entry.stands
    ]
    if not mine:
        return
    allowed = rules.get("allows_withdrawal", False)
    done = stage.withdraw(mine[-1])
    rule = "A submission can be withdrawn" if allowed else "No submission can be withdrawn"
    stage.findings.check(rule, rules.where("allows_withdrawal"), done is allowed)
    entry = stage.submit("Brim", rules, Fraction(22, 100))
    if allowed and rules.get("quota_on_board") is not None and rules.get("quota_per_day") is None:
        rule = "A withdrawal frees a place on the board"
        stage.findings.check(rule, rules.where("quota_on_board"), entry is not None)
        stage.submit("Brim", rules)
    elif allowed and (rules.get("quota_total") or rules.get("quota_per_day")):
        rule = "A withdrawal does not restore the total or daily quota"
        stage.findings.check(rule, rules.where("allows_withdrawal"), entry is None)
    stage.score()
