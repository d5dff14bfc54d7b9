"""The API answers as its schema says, whatever it is sent: requests made up by schemathesis from the schema itself."""

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection

from leaderboard.actions import questions, rosters, teams
from leaderboard.actions.accounts import create_token
from leaderboard.models import Invitation, JoinRequest, Merger, Phase, Question
from tests.leaderboard.factories import Cast, make_submission
from tests.leaderboard.test_api_schema import PLAIN, read_schema, without_made_up_names

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]


def drawing(examples: int, *, limits: bool) -> schemathesis.BaseSchema:
    """``examples``: drawn for each operation; ``limits``: also those at the limits of each parameter."""
    generation = {"max-examples": examples, "deterministic": True}
    return read_schema(generation=generation, phases={"coverage": {"enabled": limits}})


anything = drawing(6, limits=True)
aimed = drawing(10, limits=False).include(path_regex="{id}|submissions/$")


@pytest.fixture
def one_connection():
    """Requests leave the test's own connection open, in whose transaction the test runs."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(cast: Cast, settings, one_connection: None) -> str:
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    Phase.objects.filter(pk=cast.phase.pk).update(allows_withdrawal=True, counts="selected")
    make_submission(cast.team, cast.phase)
    rosters.ask_to_join(cast.stranger, cast.team)
    rosters.propose_merger(cast.rival, cast.other_team, cast.team)
    teams.invite(cast.owner, cast.team)
    questions.ask(cast.owner, cast.competition, "Which bands?", "All of them?")
    return create_token(cast.owner, "contract")[1]


@anything.parametrize()
@hypothesis_settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_every_operation_answers_as_the_schema_says(case, token: str) -> None:
    without_made_up_names(case)
    case.call_and_validate(headers={"Authorization": f"Bearer {token}", **PLAIN})


@aimed.parametrize()
@hypothesis_settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_the_same_on_rows_that_exist(case, cast: Cast, token: str) -> None:
    rows = {
        "phases": cast.phase,
        "submissions": cast.team.submissions.first(),
        "teams": cast.team,
        "join-requests": JoinRequest.objects.last(),
        "invitations": Invitation.objects.last(),
        "mergers": Merger.objects.last(),
        "questions": Question.objects.last(),
    }
    without_made_up_names(case)
    made_good = set()  # what was invalid in the request may be so no more
    if "id" in case.path_parameters:
        case.path_parameters["id"] = rows[case.operation.path.split("/")[3]].pk
        made_good.add(ParameterLocation.PATH)
    if isinstance(case.body, dict):
        chosen = {"phase": cast.phase.pk, "team": cast.team.pk, "other": cast.other_team.pk}
        if found := {name: pk for name, pk in chosen.items() if name in case.body}:
            case.body |= found
            made_good.add(ParameterLocation.BODY)
    is_good = any(case.meta.is_negative_at(each) for each in made_good)
    case.call_and_validate(
        headers={"Authorization": f"Bearer {token}", **PLAIN},
        excluded_checks=[negative_data_rejection] if is_good else [],
    )
