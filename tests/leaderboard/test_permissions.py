"""Every address × every role, against one table; and no answer tells a role what is not meant for it."""

import pytest

from tests.leaderboard.factories import Cast
from tests.leaderboard.permissions import (
    DESCRIPTION,
    HIDDEN_METRICS,
    ROLES,
    Row,
    Stage,
    leaks,
    names_of_all_addresses,
    of_a_competition,
    rows,
    unprotected,
    word_for,
)


def test_the_table_names_every_address_once() -> None:
    named = [(row.name, row.method, row.hidden) for row in rows()]
    assert len(named) == len(set(named))
    missing = names_of_all_addresses() - {row.name for row in rows()}
    assert not missing, f"Say in permissions.txt who may do what at: {sorted(missing)}"
    gone = {row.name for row in rows()} - names_of_all_addresses()
    assert not gone, f"permissions.txt has addresses that do not exist: {sorted(gone)}"
    assert all(len(row.cells) == len(ROLES) for row in rows())


def test_a_draft_is_tried_at_every_address_that_everybody_may_open() -> None:
    """What shows a competition to visitors has a line @hidden, too, which shows nothing to them."""
    named = list(rows())
    hidden = {row.name for row in named if row.hidden}
    public = {
        row.name
        for row in named
        if row.method == "GET" and not row.hidden and row.cells[0] == "200" and row.name in of_a_competition()
    }
    assert public - hidden == set()
    told = {str(row) for row in named if row.hidden and row.method == "GET" and row.cells[0] == "200"}
    assert told == {f"GET {name}@hidden" for name in LISTS}, "lists leave it out; see the tests of each"


LISTS = {"api:competition-list", "api:phase-list", "api:question-list"}


@pytest.mark.django_db
@pytest.mark.timeout(300)
@pytest.mark.parametrize("admin", [False, True], ids=["site", "admin"])
def test_each_role_is_answered_as_the_table_says_and_reads_no_secret(
    cast: Cast, settings, admin: bool
) -> None:
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    stage = Stage(cast)
    wrong, leaked, lacking = [], [], []
    for row in rows():
        if row.name.startswith("admin") is not admin:
            continue
        answers = {role: stage.ask(row, role) for role in ROLES}
        cells = tuple(word_for(answer) for answer in answers.values())
        if cells != row.cells:
            wrong.append(f"{row}: {' '.join(cells)} instead of {' '.join(row.cells)}")
        framed = row.name == "pages:board-embed" and not row.hidden
        lacking += [
            f"{row} as {role}: {lack}"
            for role in ROLES
            for lack in unprotected(answers[role], may_be_framed=framed)
        ]
        leaked += [f"{row} tells {role} {told}" for role in ROLES if (told := leaks(answers[role], role))]
    assert not wrong, "\n".join(wrong)
    assert not leaked, "\n".join(leaked)
    assert not lacking, "\n".join(lacking)


@pytest.mark.django_db
def test_the_search_for_secrets_finds_them_where_they_may_be_read(cast: Cast) -> None:
    """Otherwise the test above could not fail."""
    stage = Stage(cast)
    page = Row("pages:submission", "GET", False, ())
    api = Row("api:submission-detail", "GET", False, ())
    assert DESCRIPTION in stage.ask(page, "teammate").text_told
    assert leaks(stage.ask(page, "organiser"), "rival") == [DESCRIPTION, "86.80", "73.05"]
    assert leaks(stage.ask(api, "organiser"), "rival") == [DESCRIPTION, "0.8679", "0.7305"]
    assert set(leaks(stage.ask(page, "organiser"), "owner")) <= set(HIDDEN_METRICS)
