"""What is tried with people and teams: one team a person, the lock, mergers, descriptions, awards."""

from datetime import timedelta
from typing import Any

from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile

from leaderboard.actions import rosters, teams
from leaderboard.models import JoinRequest

from .acts import Act, at
from .rulebook import PhaseRules, by_team
from .stage import API, TEAMS, Stage

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
UNDESCRIBED = "Toe"  # every other team hands its description in


def acts_of(stage: Stage) -> list[Act]:
    book = stage.rulebook
    start = book.begins_at
    acts = [at(start, found, stage), at(start + HOUR, one_team_each, stage)]
    locks, due = book.competition.get("roster_locks_at"), book.competition.get("descriptions_due_at")
    mergers = book.mergers_end()
    merged_at = mergers - SECOND if mergers else book.phases[0].opens_at + 3 * HOUR
    acts += [at(merged_at - HOUR, use_attempts, stage), at(merged_at, merge, stage)]
    if mergers:
        acts.append(at(mergers, too_late_to_merge, stage))
    if locks:
        acts += [at(locks - SECOND, last_to_join, stage), at(locks, locked, stage)]
    if due:
        acts += [at(due - HOUR, describe, stage), at(due + SECOND, too_late_to_describe, stage)]
    if book.final is not None and book.final.closes_at is not None:
        acts.append(at(book.final.closes_at + HOUR, award, stage, book.final))
    return acts


def found(stage: Stage) -> None:
    stage.found_teams()
    stage.look("before the first phase")


def one_team_each(stage: Stage) -> None:
    """By mail, by request, by founding another: who is in a team gets into no second one."""
    where = "competition"
    second = stage.person("Ridge-second")
    teams.invite(stage.owner("Ridge"), stage.team("Ridge"), second.email)
    link = (
        next((word for word in mail.outbox[-1].body.split() if "?invitation=" in word), "")
        if mail.outbox
        else ""
    )
    token = link.partition("?invitation=")[2]
    stage.findings.check("An invitation comes by mail", where, bool(token))
    code = stage.refuses(lambda: teams.accept_invitation(second, token))
    stage.findings.check("An invitation lets a person join", where, not code, code)
    _, token = teams.invite(stage.owner("Scarp"), stage.team("Scarp"))
    member, tries = stage.owner("Ridge"), {}
    tries["invitation"] = stage.refuses(lambda: teams.accept_invitation(member, token))
    tries["request"] = stage.refuses(lambda: rosters.ask_to_join(member, stage.team("Scarp")))
    tries["founding"] = stage.refuses(lambda: teams.create_team(member, stage.competition, "Second"))
    held = set(tries.values()) == {"already_in_team"}
    stage.findings.check("A person is in one team of the competition", where, held, str(tries))
    fill_up(stage)


def fill_up(stage: Stage) -> None:
    limit = stage.rulebook.competition.get("max_team_size")
    if limit is None or limit > 50:
        return
    codes = [join(stage, f"Brim-{number}", "Brim") for number in range(2, limit + 2)]
    held = not any(codes[:-1]) and codes[-1] == "team_full"
    stage.findings.check(
        "So many people in a team, no more", stage.rulebook.where("max_team_size"), held, str(codes)
    )


def join(stage: Stage, name: str, team: str) -> str:
    """Ask to join and be taken in; the code of the refusal, if any."""

    def act() -> None:
        person = stage.person(name)
        waiting = JoinRequest.objects.filter(user=person, decided_at=None).first()
        rosters.decide_request(
            stage.owner(team), waiting or rosters.ask_to_join(person, stage.team(team)), accept=True
        )

    return stage.refuses(act)


# The lock


def last_to_join(stage: Stage) -> None:
    code = join(stage, "Flow-second", "Flow")
    rule = "Until the lock people join"
    stage.findings.check(rule, stage.rulebook.where("roster_locks_at"), not code, code)
    rosters.ask_to_join(stage.person("late"), stage.team("Flow"))


def locked(stage: Stage) -> None:
    """Each way to change a roster, tried in the second of the lock."""
    flow, owner, competition = stage.team("Flow"), stage.owner("Flow"), stage.competition
    second, late = stage.person("Flow-second"), stage.person("late")
    waiting = JoinRequest.objects.get(user=late)
    ways = {
        "create": lambda: teams.create_team(stage.person("later"), competition, "Late"),
        "invite": lambda: teams.invite(owner, flow),
        "ask": lambda: rosters.ask_to_join(stage.person("later"), flow),
        "take in": lambda: rosters.decide_request(owner, waiting, accept=True),
        "leave": lambda: teams.leave(second, flow),
        "remove": lambda: teams.remove_member(owner, flow, second),
    }
    where = stage.rulebook.where("roster_locks_at")
    for way, act in ways.items():
        code = stage.refuses(act)
        stage.findings.check(
            f"From the lock on the roster is fixed: {way}", where, code == "roster_locked", code
        )


# Mergers


def use_attempts(stage: Stage) -> None:
    """Both teams submit in whatever phase is open then."""
    for rules in stage.rulebook.phases:
        if rules.is_open(stage.clock.now):
            for team in ("Fan", "Apron", "Apron"):
                stage.clock.tick()
                stage.submit(team, rules)
    stage.score()


def merge(stage: Stage) -> None:
    where = stage.rulebook.where("mergers_until")
    used = {rules: sum(len(by_team(rules, stage.entries).get(team, [])) for team in ("Fan", "Apron"))
            for rules in stage.rulebook.phases}  # fmt: skip

    def act() -> None:
        offered = rosters.propose_merger(stage.owner("Fan"), stage.team("Fan"), stage.team("Apron"))
        rosters.decide_merger(stage.owner("Apron"), offered, accept=True)

    code = stage.refuses(act)
    stage.findings.check("Two teams merge before the last moment", where, not code, code)
    if code:
        return
    for entry in stage.entries:
        entry.team = "Fan" if entry.team == "Apron" else entry.team
    mine = next(team for team in stage.get(f"{API}/teams/mine/", stage.owner("Apron")).json())
    totals = {quota["name"]: quota["total"] for quota in mine["quotas"]}
    wanted = {str(rules): number for rules, number in used.items()}
    held = totals == wanted if any(wanted.values()) else None
    told = f"{totals} instead of {wanted}" if any(wanted.values()) else "no phase was open before"
    stage.findings.check("A merged team carries the sum of used attempts", where, held, told)


def too_late_to_merge(stage: Stage) -> None:
    code = stage.refuses(
        lambda: rosters.propose_merger(stage.owner("Scree"), stage.team("Scree"), stage.team("Talus"))
    )
    rule = "Nobody merges from the last moment on"
    stage.findings.check(rule, stage.rulebook.where("mergers_until"), code == "roster_locked", code)


# Descriptions and awards


def hand_in(stage: Stage, team: str) -> str:
    file = SimpleUploadedFile("method.pdf", b"%PDF-1.7 made up", "application/pdf")
    return stage.refuses(lambda: rosters.hand_in_description(stage.owner(team), stage.team(team), file))


def describe(stage: Stage) -> None:
    existing = [name for name in TEAMS if not stage.team(name).merged_into and name != UNDESCRIBED]
    codes = {name: hand_in(stage, name) for name in existing}
    rule = "Descriptions are taken until they are due"
    stage.findings.check(
        rule, stage.rulebook.where("descriptions_due_at"), not any(codes.values()), str(codes)
    )


def too_late_to_describe(stage: Stage) -> None:
    code = hand_in(stage, UNDESCRIBED)
    rule = "No description is taken afterwards"
    stage.findings.check(rule, stage.rulebook.where("descriptions_due_at"), code == "roster_locked", code)


def award(stage: Stage, final: PhaseRules) -> None:
    """The three best eligible teams, and the committee's prize; pages and certificates say so."""
    due = stage.rulebook.where("descriptions_due_at")
    asked = stage.rulebook.competition.get("descriptions_due_at") is not None
    lines = final.exact_board(stage.entries)
    eligible = [line.team for line in lines if not (asked and line.team == UNDESCRIBED)]
    won = dict(zip(("1st", "2nd", "3rd"), eligible, strict=False)) | {"Special prize": eligible[-1]}
    codes = {title: give(stage, team, title) for title, team in won.items()}
    stage.findings.check(
        "The best eligible teams are awarded, and a special prize", due, not any(codes.values()), str(codes)
    )
    code = give(stage, UNDESCRIBED, "No prize")
    if asked:
        rule = "A team without a description in time is not eligible"
        stage.findings.check(rule, due, code == "not_allowed", code)
    page = stage.get(f"/c/{stage.competition.slug}/winners/").content.decode()
    certificate = stage.get(f"/c/{stage.competition.slug}/winners/certificate/1st/").content.decode()
    held = all(title in page and team in page for title, team in won.items())
    stage.findings.check("The winners' page shows every award", due, held)
    owner = stage.owner(eligible[0]).username
    stage.findings.check(
        "A certificate names the team and its members",
        due,
        eligible[0] in certificate and owner in certificate,
    )
    stage.look("after the awards")


def give(stage: Stage, team: str, title: str) -> str:
    def act() -> Any:
        rosters.give_award(stage.organiser, stage.competition, stage.team(team), title)

    return stage.refuses(act)
