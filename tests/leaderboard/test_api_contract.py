"""The API answers as its schema says, whatever it is sent: requests made up by schemathesis from the schema itself.

Left out: that schema-valid requests are accepted. A made-up phase does not exist, a made-up archive is none.
"""

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis.specs.openapi.checks import negative_data_rejection

from leaderboard.actions import questions, rosters, teams
from leaderboard.actions.accounts import create_token
from leaderboard.models import Invitation, JoinRequest, Merger, Phase, Question
from leaderboard.wsgi import application
from tests.leaderboard.factories import Cast, make_submission

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]


PLAIN = {"Accept-Encoding": "identity"}  # over WSGI, schemathesis does not decompress


def read_schema(examples: int, *, limits: bool) -> schemathesis.BaseSchema:
    """``examples``: drawn for each operation; ``limits``: also those at the limits of each parameter."""
    config = {
        "generation": {"max-examples": examples, "deterministic": True},
        "phases": {"coverage": {"enabled": limits}},
        "checks": {"positive_data_acceptance": {"enabled": False}},
    }
    return schemathesis.openapi.from_wsgi(
        "/api/v1/schema/?format=json",
        application,
        config=schemathesis.Config.from_dict(config),
        headers={"Host": "localhost", **PLAIN},
    )


anything = read_schema(6, limits=True)
aimed = read_schema(10, limits=False).include(path_regex="{id}|submissions/$")


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
    if "id" in case.path_parameters:
        case.path_parameters["id"] = rows[case.operation.path.split("/")[3]].pk
    if isinstance(case.body, dict):
        chosen = {"phase": cast.phase.pk, "team": cast.team.pk, "other": cast.other_team.pk}
        case.body |= {name: pk for name, pk in chosen.items() if name in case.body}
    case.call_and_validate(
        headers={"Authorization": f"Bearer {token}", **PLAIN},
        excluded_checks=[negative_data_rejection],
    )
