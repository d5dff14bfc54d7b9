"""What a token may do: every operation of the API × every scope, one competition only, and what is kept of its use."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import connection, transaction
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from leaderboard.actions.accounts import create_token
from leaderboard.api.scopes import ACCOUNT, Need
from leaderboard.models import ALL_SCOPES, ApiToken, Competition, Scope, Upload
from leaderboard.models.accounts import USE_NOTED_EVERY
from tests.leaderboard.api import API, assert_problem
from tests.leaderboard.factories import Cast, make_competition, make_submission, make_team
from tests.leaderboard.permissions import Row, Stage, rows

METHODS = ("get", "post", "put", "patch", "delete", "head")
WITHOUT_OPERATIONS = {"unknown"}  # every other address: it only answers 404


def operations() -> Iterator[tuple[str, str, Need | None]]:
    """(name of the address, method, its declared need or None) of every operation under /api/."""
    yield from _walk(get_resolver("leaderboard.api.urls"))


def _walk(resolver: URLResolver) -> Iterator[tuple[str, str, Need | None]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from _walk(entry)
        elif isinstance(entry, URLPattern) and entry.name not in WITHOUT_OPERATIONS:
            view: Any = entry.callback
            cls = view.cls
            actions = getattr(view, "actions", None) or {m: m for m in METHODS if hasattr(cls, m)}
            for method, action in actions.items():
                yield str(entry.name), method.upper(), cls.needs.get(action)


def token_of(user: Any, *scopes: Scope, competition: Competition | None = None) -> Browser:
    text = create_token(user, "script", scopes or ALL_SCOPES, competition=competition)[1]
    return Browser(raise_request_exception=False, headers={"Authorization": f"Bearer {text}"})


def send(stage: Stage, row: Row, client: Browser) -> Any:
    """The row's request, complete; what it changed is taken back."""
    with transaction.atomic():
        body = stage.body(row.name) if row.method in ("POST", "PUT", "PATCH") else {}
        headers = stage.headers(row.name)
        answer = getattr(client, row.method.lower())(stage.address(row.name), headers=headers, **body)
        transaction.set_rollback(True)
    return answer


def lacks_scope(answer: Any) -> bool:
    return 'error="insufficient_scope"' in answer.get("WWW-Authenticate", "")


def api_rows() -> list[Row]:
    return [row for row in rows() if row.name.startswith("api:") and not row.hidden]


def test_every_operation_names_its_scope() -> None:
    found = list(operations())
    assert len(found) > 40
    unnamed = [f"{method} {name}" for name, method, need in found if need is None]
    assert not unnamed, f"Say in `needs` of its view which scope it needs: {unnamed}"


@pytest.mark.django_db
@pytest.mark.timeout(240)
def test_each_operation_is_refused_to_the_tokens_without_its_scope_and_only_to_them(
    cast: Cast, settings: Any
) -> None:
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    stage = Stage(cast)
    needs = {(f"api:{name}", method): need for name, method, need in operations()}
    clients = {scope: token_of(cast.owner, scope) for scope in Scope}
    whole, wrong = token_of(cast.owner), []
    for row in api_rows():
        need = needs.get((row.name, row.method))
        for scope, client in clients.items():
            answer = send(stage, row, client)
            allowed = need is None or not need.scopes or (not need.whole and scope in need.scopes)
            if row.name == "api:token-detail":  # of another token than its own
                allowed = False
            if lacks_scope(answer) is allowed:
                wrong.append(f"{row} with {scope}: {answer.status_code}")
            if lacks_scope(answer) and row.method != "HEAD":
                body = assert_problem(answer, 403, "insufficient_scope")
                wanted = ACCOUNT if row.name == "api:token-detail" else need
                assert wanted
                assert body["scopes"] == list(wanted.scopes)
                assert f'scope="{" ".join(wanted.scopes)}"' in answer["WWW-Authenticate"]
                assert all(each in body["detail"] for each in wanted.scopes)
        if lacks_scope(send(stage, row, whole)):
            wrong.append(f"{row} with all scopes")
    assert not wrong, "\n".join(wrong)


@pytest.mark.django_db
@pytest.mark.timeout(240)
def test_a_token_for_one_competition_touches_no_other(cast: Cast, settings: Any) -> None:
    """The owner's token works elsewhere only: nothing of the cast's competition is answered, changed or listed."""
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    stage = Stage(cast)
    elsewhere = Competition.objects.get(slug="elsewhere")
    make_team(elsewhere, "Away", owner=cast.owner)
    client = token_of(cast.owner, competition=elsewhere)
    general = {"api:root", "api:docs", "api:schema", "api:unknown", "api:team-history"}  # the last is public
    wrong = []
    for row in api_rows():
        answer = send(stage, row, client)
        told = "" if answer.streaming else answer.content.decode()
        if row.name in general or answer.status_code >= 400:
            continue
        if row.method != "GET" or cast.team.name in told or f'"{cast.competition.slug}"' in told:
            wrong.append(f"{row}: {answer.status_code} {told[:200]}")
    assert not wrong, "\n".join(wrong)
    own = token_of(cast.owner, competition=cast.competition)
    assert send(stage, Row("api:submission-list", "POST", False, ()), own).status_code == 202
    [only] = own.get(f"{API}/teams/mine/").json()
    assert only["name"] == cast.team.name
    answer = send(stage, Row("api:submission-list", "POST", False, ()), client)
    assert_problem(answer, 403, "insufficient_scope")
    assert "works only for" in answer.json()["detail"]


@pytest.mark.django_db
def test_a_token_to_submit_does_the_whole_job_and_reads_nothing_else(cast: Cast) -> None:
    client = token_of(cast.owner, Scope.SUBMIT)
    made = client.post(f"{API}/submissions/", Stage(cast).body("api:submission-list")["data"])
    assert made.status_code == 202
    own = made["Location"]
    assert client.get(own).status_code == 200
    assert client.get(f"{API}/phases/").status_code == 200
    for path in (
        "teams/mine/",
        "account/",
        "tokens/",
        "attempts/",
        f"submissions/{made.json()['id']}/archive/",
    ):
        assert lacks_scope(client.get(f"{API}/{path}")), path
    assert client.head(f"{API}/teams/mine/").status_code == 403
    assert client.options(f"{API}/teams/").status_code in (200, 204)
    assert client.put(f"{API}/teams/").status_code == 405


@pytest.mark.django_db
def test_without_the_scope_organise_an_organiser_sees_what_everybody_sees(cast: Cast) -> None:
    submission = make_submission(cast.team, cast.phase)
    address = f"{API}/submissions/{submission.pk}/"
    reader = token_of(cast.organiser, Scope.READ, Scope.SUBMIT)
    assert reader.get(address).status_code == 404
    assert token_of(cast.organiser, Scope.READ, Scope.ORGANISE).get(address).json()["counts"]
    Competition.objects.update(is_published=False)
    assert reader.get(f"{API}/competitions/").json() == []
    cast.organiser.is_superuser = True
    cast.organiser.save()
    assert token_of(cast.organiser, Scope.READ).get(address).status_code == 404
    assert token_of(cast.organiser, Scope.READ).get(f"{API}/competitions/").json() == []


@pytest.mark.django_db
def test_reference_entries_need_the_scope_organise(cast: Cast) -> None:
    stage = Stage(cast)
    archive = stage.body("api:submission-list")["data"]
    client = token_of(cast.organiser, Scope.SUBMIT)
    answer = client.post(f"{API}/submissions/", {**archive, "reference": True})
    assert assert_problem(answer, 403, "insufficient_scope")["scopes"] == ["organise"]
    begin = Row("api:uploads", "POST", False, ())
    assert assert_problem(send(stage, begin, client), 403, "insufficient_scope")["scopes"] == ["organise"]
    both = token_of(cast.organiser, Scope.SUBMIT, Scope.ORGANISE)
    assert send(stage, begin, both).status_code == 201
    assert Upload.objects.count() == 1


@pytest.mark.django_db
def test_a_token_revokes_itself_whatever_its_scope(cast: Cast) -> None:
    client = token_of(cast.owner, Scope.READ, competition=cast.competition)
    token = ApiToken.objects.get()
    assert client.delete(f"{API}/tokens/{token.token_key}/").status_code == 204
    assert not ApiToken.objects.exists()


@pytest.mark.django_db
def test_its_last_use_is_kept_and_costs_at_most_one_query_a_minute(cast: Cast) -> None:
    client = token_of(cast.owner, Scope.READ)

    def queries(address: str = "192.0.2.7") -> list[str]:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(f"{API}/teams/mine/", REMOTE_ADDR=address).status_code == 200
        return [query["sql"] for query in caught if query["sql"].startswith("UPDATE")]

    assert len(queries()) == 1
    token = ApiToken.objects.get()
    assert token.last_used_from == "192.0.2.7"
    assert queries("192.0.2.8") == []
    ApiToken.objects.update(last_used_at=timezone.now() - USE_NOTED_EVERY - timedelta(seconds=1))
    assert len(queries("192.0.2.8")) == 1
    token.refresh_from_db()
    assert token.last_used_from == "192.0.2.8"
    assert token.last_used_at is not None


@pytest.mark.django_db
def test_tokens_from_before_scopes_keep_their_power_and_say_so(cast: Cast) -> None:
    token, _ = ApiToken.objects.create(cast.owner, name="old")
    assert token.has_full_power
    browser = Browser()
    browser.force_login(cast.owner)
    assert "full power" in browser.get("/account/access/").content.decode()
    bound = make_competition("one")
    limited, _ = create_token(cast.owner, "all here", competition=bound)
    assert not limited.has_full_power


def test_the_schema_names_the_scopes_of_each_operation() -> None:
    paths = yaml.safe_load(Browser().get(f"{API}/schema/").content)["paths"]
    assert paths["/api/v1/submissions/"]["post"]["x-token-scopes"] == ["submit"]
    assert paths["/api/v1/submissions/"]["get"]["x-token-scopes"] == ["read", "submit"]
    assert paths["/api/v1/phases/"]["get"]["x-token-scopes"] == []
    for path, methods in paths.items():
        for method, operation in methods.items():
            scopes = operation["x-token-scopes"]
            assert "403" in operation["responses"] or not scopes, (method, path)
            assert "**Scope of the token**" in operation.get("description", "") or not scopes, (method, path)
