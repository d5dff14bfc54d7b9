"""Checks of every board: the order, what it shows to whom, and which submission counts."""

from datetime import timedelta
from fractions import Fraction

from evaluation.scoring.metrics import percent

from .acts import Act, at
from .rulebook import PhaseRules, by_team
from .stage import API, Stage

DAY = timedelta(days=1)
SCORES = [Fraction(n, 100) for n in (35, 62, 48, 55)]


def competing(stage: Stage, rules: PhaseRules, beat: timedelta) -> list[Act]:
    """Ridge submits worse and better results, Scarp and Toe equal ones; then everybody looks."""
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
        stage.findings.check("Submissions cannot be selected", rules.where("counts"), refused)
    stage.look(f"{rules}: open")


def select_some(stage: Stage, rules: PhaseRules) -> None:
    """Select the worst ones, so that the board shows whether the selection counts; one more must be refused."""
    limit = rules.get("selected_limit", 2)
    mine = sorted(by_team(rules, stage.entries).get("Ridge", []), key=lambda entry: entry.f1)
    done = [stage.select(entry, True) for entry in mine[: limit + 1]]
    where = rules.where("selected_limit")
    stage.findings.check("Submissions can be selected up to the limit", where, all(done[:limit]))
    if len(mine) > limit:
        stage.findings.check("No selection beyond the limit", where, not done[limit])
    compare_boards(stage, rules)


def after_freeze(stage: Stage, rules: PhaseRules) -> None:
    stage.score()
    compare_boards(stage, rules)
    stage.look(f"{rules}: frozen")


def compare_boards(stage: Stage, rules: PhaseRules) -> None:
    """Compare the public board and the organisers' board with those of the rulebook."""
    public = rules.public_board(stage.entries, stage.clock.now)
    phase = stage.phases[rules.get("slug")]
    state = "after the end" if rules.has_closed(stage.clock.now) else "before the end"
    key = "hidden_until_close" if public is None else "ladder_step" if rules.has_ladder else "freezes_at"
    key = "counts" if state == "after the end" or (key == "freezes_at" and rules.freezes_at is None) else key
    for who, user, lines in (
        ("The public board", None, public),
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
            f"{who} is correct {state}", rules.where(key), held, f"{shown} instead of {wanted}"
        )
    page = stage.get(f"/c/{stage.competition.slug}/board/{phase.slug}/").content.decode()
    missing = [
        line.team for line in public or [] if percent(line.f1.numerator, line.f1.denominator) not in page
    ]
    stage.findings.check("The page shows the same board", rules.where(key), not missing, f"no {missing}")


def read_own_scores(stage: Stage, rules: PhaseRules) -> None:
    """Check which metrics a team sees of its own submission, and that organisers see all."""
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
        seen = f"{sorted(shown)} instead of {sorted(wanted)}"
        stage.findings.check(
            f"{who} sees what the phase shows {state}", rules.where(key), shown == wanted, seen
        )


def published_apart(stage: Stage, rules: PhaseRules) -> None:
    """Check that published results are on the board without a rank, marked as not scored here."""
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
        "Published results are shown unranked, as not scored here", rules.where("slug"), held
    )
