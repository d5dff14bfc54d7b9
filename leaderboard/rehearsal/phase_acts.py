"""What is tried in every phase: its window, its quotas, its board, what it shows, which submission counts."""

import math
from datetime import datetime, timedelta
from fractions import Fraction

from evaluation.metrics import percent
from leaderboard.actions.judging import reveal_labels

from .acts import Act, at
from .rulebook import PhaseRules, by_team, utc_day
from .stage import API, Stage

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
MOST = 400  # submissions of one team: a larger quota is not rehearsed
SCORES = [Fraction(n, 100) for n in (35, 62, 48, 55)]


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
        at(ends - beat, stage.look, f"{rules}: before the end"),
        at(ends - SECOND, last_second, stage, rules),
        at(ends, ended if rules.closes_at else without_end, stage, rules),
    ]
    if rules.freezes_at is not None:
        acts += [
            at(rules.freezes_at - SECOND, stage.submit, "Flow", rules, Fraction(40, 100)),
            at(rules.freezes_at, stage.submit, "Flow", rules, Fraction(66, 100)),
            at(rules.freezes_at + SECOND, after_freeze, stage, rules),
        ]
    return acts


# The window


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
    rule = "The last byte decides: begun before the opening, complete at it, is accepted"
    stage.findings.check(rule, rules.where("opens_at"), entry is not None, f"begun {begun:%H:%M:%S}")


def last_second(stage: Stage, rules: PhaseRules) -> None:
    stage.submit("Talus", rules, Fraction(33, 100))
    if rules.closes_at is not None:
        entry = stage.submit("Talus", rules, complete_at=rules.closes_at)
        rule = "The last byte decides: begun before the end, complete at it, is refused"
        stage.findings.check(rule, rules.where("closes_at"), entry is None)
        stage.clock.now = rules.closes_at - SECOND
    stage.score()
    compare_boards(stage, rules)
    read_own_scores(stage, rules)
    reveal(stage, rules, allowed=False)


def ended(stage: Stage, rules: PhaseRules) -> None:
    stage.submit("Talus", rules)
    stage.submit("Talus", rules, by_page=True)
    compare_boards(stage, rules)
    read_own_scores(stage, rules)
    mine = [entry for entry in stage.entries if entry.phase is rules and entry.stands]
    if mine and rules.get("allows_withdrawal"):
        held = not stage.withdraw(mine[0])
        stage.findings.check("Nothing is withdrawn after the end", rules.where("closes_at"), held)
    if mine and rules.get("counts") == "selected":
        held = not stage.select(mine[0], not mine[0].selected)
        stage.findings.check("The selection stays as it is after the end", rules.where("closes_at"), held)
    stage.look(f"{rules}: after the end")
    reveal(stage, rules, allowed=True)


def without_end(stage: Stage, rules: PhaseRules) -> None:
    entry = stage.submit("Talus", rules, Fraction(37, 100))
    stage.score()
    told = "400 days after the opening"
    stage.findings.check("The phase has no end", rules.where("closes_at"), entry is not None, told)
    compare_boards(stage, rules)
    stage.look(f"{rules}: {told}")


def reveal(stage: Stage, rules: PhaseRules, *, allowed: bool) -> None:
    """The salt of the commitment is public after the end and not before."""
    labels = stage.competition.phases.get(slug=rules.get("slug")).labels
    code = stage.refuses(lambda: reveal_labels(stage.organiser, labels, "the rehearsal"))
    rule = (
        "The salt of the labels can be shown after the end"
        if allowed
        else "The salt cannot be shown before the end"
    )
    stage.findings.check(rule, rules.where("closes_at"), (code == "") is allowed, code)
    if not code:
        stage.hidden.texts = {
            text: secret for text, secret in stage.hidden.texts.items() if text != labels.salt
        }


# Quotas


def filling(stage: Stage, rules: PhaseRules, opens: datetime, ends: datetime) -> list[Act]:
    """The team Brim uses up every quota, day by day, and tries one more each time."""
    total, per_day, on_board = (rules.get(f"quota_{name}") for name in ("total", "per_day", "on_board"))
    for key, limit in (("quota_total", total), ("quota_per_day", per_day), ("quota_on_board", on_board)):
        if limit is None:
            stage.findings.check("No limit of this kind", rules.where(key), None, "no occasion")
        elif limit > MOST:
            stage.findings.check(
                "So many and no more", rules.where(key), None, f"more than {MOST} are not made up"
            )
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
            stage.findings.check("An archive that cannot be scored costs nothing", rules.where("slug"), held)
    limits = [rules.get(f"quota_{name}") for name in ("total", "per_day", "on_board")]
    most = MOST if any(limits) else 12
    for number in range(most):
        f1 = Fraction(20 + (7 * number + 3 * day) % 14, 100)
        if stage.submit("Brim", rules, f1) is None:
            break
    else:
        for name in ("total", "per_day", "on_board"):
            stage.findings.check("No limit of this kind", rules.where(f"quota_{name}"), True)
    stage.score()
    if day == 0:
        withdraw_one(stage, rules)


def withdraw_one(stage: Stage, rules: PhaseRules) -> None:
    """What a withdrawal frees: its place on the board, nothing of the total and the day."""
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
        rule = "A withdrawal gives nothing of the total or the day back"
        stage.findings.check(rule, rules.where("allows_withdrawal"), entry is None)
    stage.score()


# The board


def competing(stage: Stage, rules: PhaseRules, beat: timedelta) -> list[Act]:
    """Ridge sends worse and better ones, Scarp and Toe the same; then everyone looks."""
    apart = DAY if 0 < (rules.get("quota_per_day") or 0) < 4 else beat
    scores = SCORES
    if rules.has_ladder:
        steps = (Fraction(-4), Fraction(3, 10), Fraction(14, 10), Fraction(19, 10), Fraction(32, 10))
        scores = [rules.start + step * rules.step for step in steps]
    begin = rules.opens_at + beat
    acts = [at(begin + n * apart, stage.submit, "Ridge", rules, f1) for n, f1 in enumerate(scores)]
    acts += [at(begin + len(scores) * apart, tie, stage, rules)]
    acts += [at(begin + len(scores) * apart + beat, judged, stage, rules)]
    return acts


def tie(stage: Stage, rules: PhaseRules) -> None:
    f1 = rules.start + Fraction(23, 10) * rules.step if rules.has_ladder else Fraction(57, 100)
    first = stage.submit("Scarp", rules, f1)
    stage.clock.tick(5)
    if first is not None:
        stage.submit("Toe", rules, counts=first.counts)
    stage.score()


def judged(stage: Stage, rules: PhaseRules) -> None:
    compare_boards(stage, rules)
    read_own_scores(stage, rules)
    published_apart(stage, rules)
    if rules.get("counts") == "selected":
        select_some(stage, rules)
    elif mine := by_team(rules, stage.entries).get("Ridge"):
        refused = not stage.select(mine[0], True)
        stage.findings.check("Nothing is selected", rules.where("counts"), refused)
    stage.look(f"{rules}: open")


def select_some(stage: Stage, rules: PhaseRules) -> None:
    """The worst ones are selected, so that the board shows whether the selection counts; one more is refused."""
    limit = rules.get("selected_limit", 2)
    mine = sorted(by_team(rules, stage.entries).get("Ridge", []), key=lambda entry: entry.f1)
    done = [stage.select(entry, True) for entry in mine[: limit + 1]]
    where = rules.where("selected_limit")
    stage.findings.check("So many may be selected", where, all(done[:limit]))
    if len(mine) > limit:
        stage.findings.check("No more than so many may be selected", where, not done[limit])
    compare_boards(stage, rules)


def after_freeze(stage: Stage, rules: PhaseRules) -> None:
    stage.score()
    compare_boards(stage, rules)
    stage.look(f"{rules}: frozen")


def compare_boards(stage: Stage, rules: PhaseRules) -> None:
    """The board of everyone and that of the organisers against what the rulebook works out."""
    public = rules.public_board(stage.entries, stage.clock.now)
    phase = stage.phases[rules.get("slug")]
    state = "after the end" if rules.has_closed(stage.clock.now) else "before the end"
    key = "hidden_until_close" if public is None else "ladder_step" if rules.has_ladder else "freezes_at"
    key = "counts" if state == "after the end" or (key == "freezes_at" and rules.freezes_at is None) else key
    for who, user, lines in (
        ("The board of everyone", None, public),
        ("The organisers' exact board", stage.organiser, rules.exact_board(stage.entries)),
    ):
        answer = stage.get(f"{API}/phases/{phase.pk}/leaderboard/", user).json()
        shown = [(row["rank"], row["team"], row["f1"]) for row in answer["rows"]]
        wanted = [(line.rank, line.team, float(line.f1)) for line in lines or []]
        held = answer["hidden"] is (lines is None) and len(shown) == len(wanted)
        held = held and all(
            a[:2] == b[:2] and abs(a[2] - b[2]) < 1e-9 for a, b in zip(shown, wanted, strict=True)
        )
        stage.findings.check(
            f"{who} is as it must be {state}", rules.where(key), held, f"{shown} instead of {wanted}"
        )
    page = stage.get(f"/c/{stage.competition.slug}/board/{phase.slug}/").content.decode()
    missing = [
        line.team for line in public or [] if percent(line.f1.numerator, line.f1.denominator) not in page
    ]
    stage.findings.check("The page shows the same board", rules.where(key), not missing, f"without {missing}")


def read_own_scores(stage: Stage, rules: PhaseRules) -> None:
    """Which metrics a team reads of its own submission, and that organisers read all."""
    mine = [entry for entry in by_team(rules, stage.entries).get("Ridge", []) if not entry.given_back]
    if not mine:
        return
    for who, user, wanted in (
        ("A team", stage.owner("Ridge"), rules.metrics(stage.clock.now)),
        ("An organiser", stage.organiser, {"f1", "precision", "recall", "counts"}),
    ):
        answer = stage.get(f"{API}/submissions/{mine[0].pk}/", user).json()
        shown = {name for name in ("f1", "precision", "recall", "counts") if answer[name] is not None}
        state = "after the end" if rules.has_closed(stage.clock.now) else "before the end"
        key = "hidden_until_close" if not wanted else "visible_metrics"
        told = f"{sorted(shown)} instead of {sorted(wanted)}"
        stage.findings.check(
            f"{who} reads what the phase shows {state}", rules.where(key), shown == wanted, told
        )


def published_apart(stage: Stage, rules: PhaseRules) -> None:
    """Results from papers stand on the board without a rank and say that they were not scored here."""
    published = rules.get("published", [])
    if not published:
        return
    phase = stage.phases[rules.get("slug")]
    answer = stage.get(f"{API}/phases/{phase.pk}/leaderboard/").json()
    page = stage.get(f"/c/{stage.competition.slug}/board/{phase.slug}/").content.decode()
    apart = {entry["name"] for entry in answer["published"]} == {entry["name"] for entry in published}
    ranked = {row["team"] for row in answer["rows"]} & {entry["name"] for entry in published}
    held = apart and not ranked and "not scored here" in page.lower()
    stage.findings.check(
        "Published results are shown, unranked, as not scored here", rules.where("slug"), held
    )
