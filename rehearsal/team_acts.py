"""Checks of people and teams: one team per person, the lock, mergers, descriptions, awards."""

from datetime import timedelta
from urllib.parse import quote

from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile

from leaderboard.actions import awards, descriptions, rosters, teams
from leaderboard.models import JoinRequest
from leaderboard.notifications import mails

from .acts import Act, at
from .rulebook import by_team
from .stage import API, TEAMS, Stage

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
UNDESCRIBED = "Toe"  # all other teams hand in a description


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
        if again := book.competition.get("roster_reopens_at"):
            acts += [at(again - SECOND, before_reopening, stage), at(again, reopened, stage)]
    if due:
        acts += [at(due - HOUR, describe, stage), at(due + SECOND, too_late_to_describe, stage)]
    if book.final is not None and book.final.uploads_end_at is not None:
        acts.append(at(book.final.uploads_end_at + HOUR, award, stage))
    return acts


def found(stage: Stage) -> None:
    stage.found_teams()
    stage.look("before the first phase")


def one_team_each(stage: Stage) -> None:
    """A team member cannot join a second team by invitation, by request or by creating one."""
    where = "competition"
    second = stage.person("Ridge-second")
    teams.invite(stage.owner("Ridge"), stage.team("Ridge"), second.email)
    mails.deliver()
    link = (
        next((word for word in mail.outbox[-1].body.split() if "?invitation=" in word), "")
        if mail.outbox
        else ""
    )
    token = link.partition("?invitation=")[2]
    stage.findings.check("An invitation arrives by mail", where, bool(token))
    code = stage.refuses(lambda: teams.accept_invitation(second, token))
    stage.findings.check("An invitation lets a person join", where, not code, code)
    _, token = teams.invite(stage.owner("Scarp"), stage.team("Scarp"))
    member, tries = stage.owner("Ridge"), {}
    tries["invitation"] = stage.refuses(lambda: teams.accept_invitation(member, token))
    tries["request"] = stage.refuses(lambda: rosters.ask_to_join(member, stage.team("Scarp")))
    tries["founding"] = stage.refuses(lambda: teams.create_team(member, stage.competition, "Second"))
    held = set(tries.values()) == {"already_in_team"}
    stage.findings.check("A person can be in only one team of the competition", where, held, str(tries))
    code = stage.refuses(lambda: teams.create_team(stage.organiser, stage.competition, "Judges"))
    stage.findings.check("Organisers do not compete", "organisers", code != "", "an organiser made a team")
    fill_up(stage)


def fill_up(stage: Stage) -> None:
    limit = stage.rulebook.competition.get("max_team_size")
    if limit is None or limit > 50:
        return
    codes = [join(stage, f"Brim-{number}", "Brim") for number in range(2, limit + 2)]
    held = not any(codes[:-1]) and codes[-1] == "team_full"
    stage.findings.check(
        "The limit of people per team", stage.rulebook.where("max_team_size"), held, str(codes)
    )


def join(stage: Stage, name: str, team: str) -> str:
    """Ask to join and be accepted; returns the code of the refusal, if any."""

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
    rule = "People can join until the lock"
    stage.findings.check(rule, stage.rulebook.where("roster_locks_at"), not code, code)
    rosters.ask_to_join(stage.person("late"), stage.team("Flow"))


def locked(stage: Stage) -> None:
    """Try every change of a roster at the second of the lock."""
    flow, owner, competition = stage.team("Flow"), stage.owner("Flow"), stage.competition
    second, late = stage.person("Flow-second"), stage.person("late")
    waiting = JoinRequest.objects.get(user=late)
    ways = {
        "create": lambda: teams.create_team(stage.person("later"), competition, "Late"),
        "invite": lambda: teams.invite(owner, flow),
        "ask": lambda: rosters.ask_to_join(stage.person("later"), flow),
        "accept": lambda: rosters.decide_request(owner, waiting, accept=True),
        "leave": lambda: teams.leave(second, flow),
        "remove": lambda: teams.remove_member(owner, flow, second),
    }
    where = stage.rulebook.where("roster_locks_at")
    for way, act in ways.items():
        code = stage.refuses(act)
        stage.findings.check(
            f"Rosters cannot change after the lock: {way}", where, code == "roster_locked", code
        )


def before_reopening(stage: Stage) -> None:
    code = stage.refuses(lambda: teams.create_team(stage.person("newcomer"), stage.competition, "Newcomers"))
    rule = "No new teams before the roster reopens"
    stage.findings.check(rule, stage.rulebook.where("roster_reopens_at"), code == "roster_locked", code)


def reopened(stage: Stage) -> None:
    """New teams can form; existing teams stay locked."""
    where = stage.rulebook.where("roster_reopens_at")
    code = stage.refuses(lambda: teams.create_team(stage.person("newcomer"), stage.competition, "Newcomers"))
    stage.findings.check("New teams can form once the roster reopens", where, not code, code)
    code = stage.refuses(lambda: teams.leave(stage.person("Flow-second"), stage.team("Flow")))
    stage.findings.check("Existing teams stay locked", where, code == "roster_locked", code)


# Mergers


def use_attempts(stage: Stage) -> None:
    """Both teams submit in every phase that is open."""
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
    stage.findings.check("Teams can merge until the deadline", where, not code, code)
    if code:
        return
    for entry in stage.entries:
        entry.team = "Fan" if entry.team == "Apron" else entry.team
    mine = next(team for team in stage.get(f"{API}/teams/mine/", stage.owner("Apron")).json())
    totals = {quota["name"]: quota["total"] for quota in mine["quotas"]}
    wanted = {str(rules): number for rules, number in used.items()}
    held = totals == wanted if any(wanted.values()) else None
    detail = f"{totals} instead of {wanted}" if any(wanted.values()) else "no phase was open before"
    stage.findings.check("A merged team has the sum of the used attempts", where, held, detail)


def too_late_to_merge(stage: Stage) -> None:
    code = stage.refuses(
        lambda: rosters.propose_merger(stage.owner("Scree"), stage.team("Scree"), stage.team("Talus"))
    )
    rule = "Teams cannot merge after the deadline"
    stage.findings.check(rule, stage.rulebook.where("mergers_until"), code == "roster_locked", code)


# Descriptions and awards


def hand_in(stage: Stage, team: str) -> str:
    file = SimpleUploadedFile("method.pdf", b"%PDF-1.7 made up", "application/pdf")
    return stage.refuses(lambda: descriptions.hand_in_description(stage.owner(team), stage.team(team), file))


def describe(stage: Stage) -> None:
    existing = [name for name in TEAMS if not stage.team(name).merged_into and name != UNDESCRIBED]
    codes = {name: hand_in(stage, name) for name in existing}
    rule = "Descriptions are accepted until the due date"
    stage.findings.check(
        rule, stage.rulebook.where("descriptions_due_at"), not any(codes.values()), str(codes)
    )


def too_late_to_describe(stage: Stage) -> None:
    code = hand_in(stage, UNDESCRIBED)
    rule = "No descriptions are accepted after the due date"
    stage.findings.check(rule, stage.rulebook.where("descriptions_due_at"), code == "roster_locked", code)


def award(stage: Stage) -> None:
    """Awards by rank go to the best eligible teams, one more by the committee; pages and certificates show them."""
    book, where = stage.rulebook, stage.rulebook.where("descriptions_due_at")
    asked = book.competition.get("descriptions_due_at") is not None
    by_rank, shared = winners(stage, UNDESCRIBED if asked else "")
    code = stage.refuses(lambda: awards.give_ranked_awards(stage.organiser, stage.competition))
    expected = "conflict" if shared or not by_rank else ""
    stage.findings.check(
        "Awards by rank are given, unless teams share the rank", "awards", code == expected, code
    )
    wanted = {} if expected else by_rank
    prize = next((table["title"] for table in book.awards if "rank" not in table), "A prize")
    code = give(stage, "Brim", prize)
    stage.findings.check("The committee can give a prize to any eligible team", "awards", not code, code)
    given = {award.title: award.team.name for award in stage.competition.awards.select_related("team")}
    held = given == {**wanted, prize: "Brim"}
    stage.findings.check("The best eligible teams have the awards by rank", where, held, f"{given}")
    if asked:
        code = give(stage, UNDESCRIBED, "No prize")
        stage.findings.check(
            "Teams without a description in time are not eligible", where, code == "not_allowed", code
        )
    page = stage.get(f"/c/{stage.competition.slug}/winners/").content.decode()
    held = all(title in page and team in page for title, team in given.items())
    stage.findings.check("The winners' page shows every award", "awards", held)
    certificate = stage.get(
        f"/c/{stage.competition.slug}/winners/certificate/{quote(prize)}/"
    ).content.decode()
    held = "Brim" in certificate and stage.owner("Brim").username in certificate
    stage.findings.check("A certificate names the team and its members", "awards", held)
    stage.look("after the awards")


def winners(stage: Stage, without: str) -> tuple[dict[str, str], bool]:
    """Title and team of each award by rank, and whether teams share such a rank. Only eligible teams are ranked."""
    found, shared = {}, False
    for table in stage.rulebook.awards:
        rules = next(
            (rules for rules in stage.rulebook.phases if rules.get("slug") == table.get("phase")), None
        )
        if rules is None:
            continue
        lines = [line for line in rules.exact_board(stage.entries) if line.team != without]
        ranks = [1 + sum(other.f1 > line.f1 for other in lines) for line in lines]
        at_rank = [line.team for line, rank in zip(lines, ranks, strict=True) if rank == table["rank"]]
        shared = shared or len(at_rank) > 1
        if at_rank:
            found[table["title"]] = at_rank[0]
    return found, shared


def give(stage: Stage, team: str, title: str) -> str:
    return stage.refuses(
        lambda: awards.give_award(stage.organiser, stage.competition, stage.team(team), title, "as rehearsed")
    )
