"""What holds for the whole API: errors in one shape, tokens, limits, teams, the schema and its page."""

import logging
import re
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from leaderboard.actions.accounts import create_token
from leaderboard.models import ALL_SCOPES, ApiToken, Phase
from tests.leaderboard.api import API, Client, assert_problem, client_of
from tests.leaderboard.factories import PASSWORD, Cast, make_submission, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v1",
        "v1/nothing/",
        "v1/phases/x/",
        "v1/phases/-1/",
        "v1/competitions/a%00b/",
        "v1/competitions/%E2%80%AE/",
        "v2/phases/",
        "v1/phases/%0A/",
        f"v1/submissions/{'9' * 5000}/",
        "v1/tokens/%00/",
        "%FF/",
    ],
)
def test_unknown_addresses_are_problems(path: str) -> None:
    for method in ("get", "post", "put", "delete"):
        assert_problem(getattr(client_of(), method)(f"/api/{path}"), 404, "not_found")


def test_ids_of_any_size_are_only_unknown(cast: Cast) -> None:
    client = client_of(cast.owner)
    for number in (0, 2**31, 2**63, 10**30):
        for room in ("phases", "submissions"):
            assert_problem(client.get(f"{API}/{room}/{number}/"), 404, "not_found")
        assert client.get(f"{API}/submissions/?phase={number}").status_code in (200, 400)


def test_a_forgotten_slash_is_named() -> None:
    assert "slash" in assert_problem(client_of().get(f"{API}/phases"), 404, "not_found")["detail"]
    for path in ("/api/v1/nonsense/", "/api/v1/nonsense", "/api/v2/phases/", "/api/v1/phases/abc/", "/api/"):
        assert "slash" not in assert_problem(client_of().get(path), 404, "not_found")["detail"], path


def test_no_method_and_no_media_type_escapes_the_shape(cast: Cast) -> None:
    client = client_of(cast.owner)
    for path in ("", "phases/", "submissions/", "schema/", "docs/"):
        response = client.put(f"{API}/{path}", {})
        assert_problem(response, 405, "method_not_allowed")
        assert "GET" in response["Allow"]
    assert_problem(client.get(f"{API}/phases/", HTTP_ACCEPT="image/png"), 406, "not_acceptable")
    options = client.options(f"{API}/phases/")
    assert (options.status_code, options["Allow"]) == (204, "GET, HEAD, OPTIONS")
    select = f"{API}/submissions/{make_submission(cast.team, cast.phase).pk}/select/"
    assert_problem(client.post(select, b"{", content_type="application/json"), 400, "parse_error")
    assert_problem(client.post(select, b"[" * 60_000, content_type="application/json"), 400, "parse_error")
    assert_problem(client.post(select, b"[1]", content_type="application/json"), 400, "invalid")
    assert_problem(client.post(select, b" " * 70_000, content_type="application/json"), 413, "too_large")
    assert_problem(client.post(select, b"a=b", content_type="text/plain"), 415, "unsupported_media_type")


def test_every_answer_has_the_id_of_its_request_and_says_who_may_keep_it(cast: Cast) -> None:
    seen = client_of(cast.owner).get(f"{API}/teams/mine/")
    assert seen["Cache-Control"] == "private, no-store"
    assert seen["X-Request-ID"]
    assert client_of().get(f"{API}/nothing/")["X-Request-ID"]
    assert "X-Request-ID" not in client_of().get("/healthz")


def test_scripts_of_other_sites_read_what_is_public_and_nothing_else(cast: Cast) -> None:
    board = f"{API}/phases/{cast.phase.pk}/leaderboard/"
    origin = {"HTTP_ORIGIN": "https://notebook.example"}
    public = client_of().get(board, **origin)
    assert public["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in public
    asked = client_of().options(board, HTTP_ACCESS_CONTROL_REQUEST_METHOD="GET", **origin)
    assert (asked.status_code, asked["Access-Control-Allow-Headers"]) == (204, "Accept, If-None-Match")
    for answer in (
        client_of(cast.owner).get(f"{API}/teams/mine/", **origin),
        client_of().get(f"{API}/teams/mine/", **origin),
        client_of().post(f"{API}/teams/", {}, **origin),
    ):
        assert "Access-Control-Allow-Origin" not in answer


def test_an_unforeseen_error_has_a_number_and_no_cause(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    secret = RuntimeError("the cause with a hidden score 0.123")
    with patch("leaderboard.api.phases.board_of", side_effect=secret):
        response = client_of().get(f"{API}/phases/{cast.phase.pk}/leaderboard/")
    body = assert_problem(response, 500, "internal_error")
    assert re.fullmatch(r"[0-9a-f]{12}", body["incident"])
    assert "cause" not in response.content.decode()
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert any(body["incident"] in str(record.msg) for record in told)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x",
        "Bearer a b",
        f"Bearer l4s_{'0' * 60}",
        f"Bearer l4s_\x00{'0' * 60}",
        f"Bearer {'ü' * 40}",
        f"Bearer {'a' * 5000}",
    ],
)
def test_a_wrong_token_is_401(header: str) -> None:
    response = Client(raise_request_exception=False).get(f"{API}/phases/", HTTP_AUTHORIZATION=header)
    assert_problem(response, 401, "authentication_failed")
    assert response["WWW-Authenticate"] == (
        'Bearer realm="api", error="invalid_token", error_description="This token is unknown, expired or revoked. '
        'Check it, or create a new one on the site, under your account."'
    )
    assert client_of().get(f"{API}/teams/mine/")["WWW-Authenticate"] == 'Bearer realm="api"'


def test_errors_name_the_problem_and_the_fix(cast: Cast) -> None:
    def detail(user: Any, path: str, fields: dict[str, Any], kind: str = "json") -> str:
        return client_of(user).post(f"{API}/{path}/", fields, format=kind).json()["detail"]

    phase = {"method": "U-Net", "phase": cast.phase.pk}
    assert "Authorization: Bearer TOKEN" in detail(None, "teams", {})
    assert "phase: The id 999 does not exist" in detail(
        cast.owner, "submissions", {"phase": 999}, "multipart"
    )
    assert "phase: An id must be a number." in detail(
        cast.owner, "submissions", {"phase": "test"}, "multipart"
    )
    assert detail(cast.owner, "submissions", {**phase, "archive": "masks.zip"}, "multipart") == (
        "archive: This is text, not a file. With curl, send a file as `-F archive=@FILE`."
    )
    assert detail(cast.owner, "submissions", phase, "multipart") == "archive: The file is missing."
    assert "competition: “nowhere” does not exist" in detail(
        cast.owner, "teams", {"competition": "nowhere", "name": "A"}
    )
    description = f"teams/{cast.team.pk}/description"
    assert "-F file=@FILE" in detail(cast.owner, description, {"file": "method.pdf"}, "multipart")


def test_a_token_ends(cast: Cast) -> None:
    for spoil in (
        lambda token: ApiToken.objects.filter(pk=token.pk).update(
            expiry=timezone.now() - timedelta(seconds=1)
        ),
        lambda token: token.delete(),
        lambda token: type(cast.owner).objects.filter(pk=cast.owner.pk).update(is_active=False),
    ):
        token, text = create_token(cast.owner, "laptop")
        client = Client()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        assert client.get(f"{API}/teams/mine/").status_code == 200
        spoil(token)
        assert_problem(client.get(f"{API}/teams/mine/"), 401, "authentication_failed")


def test_tokens_are_made_in_a_session_shown_once_and_revoked(cast: Cast) -> None:
    session = Client(enforce_csrf_checks=True)
    assert session.login(username="owner", password=PASSWORD)
    assert_problem(
        session.post(f"{API}/tokens/", {"name": "laptop", "scopes": ["submit"]}), 403, "permission_denied"
    )
    session = Client()
    session.login(username="owner", password=PASSWORD)
    made = session.post(f"{API}/tokens/", {"name": "laptop", "days": 7, "scopes": list(ALL_SCOPES)})
    assert made.status_code == 201
    body = made.json()
    token = ApiToken.objects.get(user=cast.owner)
    assert timedelta(days=6) < token.expiry - timezone.now() <= timedelta(days=7)
    assert body["token"] not in (token.digest, token.token_key)
    client = Client()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {body['token']}")
    listed = client.get(f"{API}/tokens/").json()
    assert [(row["name"], row["prefix"]) for row in listed] == [("laptop", token.token_key)]
    assert "token" not in listed[0]
    assert token.digest not in client.get(f"{API}/tokens/").content.decode()
    assert_problem(client.post(f"{API}/tokens/", {"name": "more"}), 403, "not_allowed")
    address = f"{API}/tokens/{body['prefix']}/"
    assert_problem(client_of(cast.rival).delete(address), 404, "not_found")
    assert client.delete(address).status_code == 204
    assert_problem(client.get(f"{API}/tokens/"), 401, "authentication_failed")
    scopes = {"scopes": ["read"]}
    for odd in ({"name": ""}, {"name": "a\x00"}, {"name": "x" * 61}, {"name": "x", "days": 0}, {}):
        assert_problem(session.post(f"{API}/tokens/", {**scopes, **odd}), 400, "invalid")
    for odd in (
        {},
        {"scopes": []},
        {"scopes": ["all"]},
        {**scopes, "days": 3000},
        {**scopes, "competition": "x"},
    ):
        assert_problem(session.post(f"{API}/tokens/", {"name": "x", **odd}), 400, "invalid")


def test_a_new_token_removes_those_that_have_expired(cast: Cast) -> None:
    old, _ = create_token(cast.owner, "laptop")
    ApiToken.objects.filter(pk=old.pk).update(expiry=timezone.now())
    create_token(cast.owner, "desk")
    assert [token.name for token in cast.owner.auth_token_set.all()] == ["desk"]


def test_a_person_has_at_most_twenty_tokens() -> None:
    user = make_user()
    for _ in range(20):
        create_token(user, "one")
    session = Client()
    session.force_login(user)
    assert_problem(session.post(f"{API}/tokens/", {"name": "more", "scopes": ["read"]}), 409, "conflict")


def test_my_teams_say_when_a_phase_opens(cast: Cast) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(opens_at="2040-01-01T00:00Z")
    [quota] = client_of(cast.owner).get(f"{API}/teams/mine/").json()[0]["quotas"]
    assert (quota["refusal_code"], quota["next_at"]) == ("phase_not_open", "2040-01-01T00:00:00Z")
    assert "\N{NO-BREAK SPACE}" not in quota["refusal"]
    Phase.objects.filter(pk=cast.phase.pk).update(opens_at="2020-01-01T00:00Z", closes_at="2021-01-01T00:00Z")
    [quota] = client_of(cast.owner).get(f"{API}/teams/mine/").json()[0]["quotas"]
    assert (quota["refusal_code"], quota["next_at"]) == ("phase_ended", None)


def test_my_teams_with_members_and_quotas(cast: Cast) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_per_day=1)
    cast.phase.refresh_from_db()
    make_submission(cast.team, cast.phase)
    [team] = client_of(cast.teammate).get(f"{API}/teams/mine/").json()
    assert (team["id"], team["name"], team["competition"]) == (cast.team.pk, "Alpine", "landslides")
    assert [(m["username"], m["role"]) for m in team["members"]] == [
        ("owner", "owner"),
        ("teammate", "member"),
    ]
    [quota] = team["quotas"]
    assert (quota["phase"], quota["today"], quota["remaining"], quota["may_submit"]) == (
        cast.phase.pk,
        1,
        0,
        False,
    )
    assert quota["next_at"].endswith("T00:00:00Z")
    assert "today" in quota["refusal"]
    assert quota["refusal_code"] == "quota_used_up"
    [quota] = client_of(cast.rival).get(f"{API}/teams/mine/").json()[0]["quotas"]
    assert (quota["remaining"], quota["may_submit"], quota["refusal"], quota["next_at"]) == (
        1,
        True,
        None,
        None,
    )
    assert client_of(cast.stranger).get(f"{API}/teams/mine/").json() == []
    assert "example.org" not in client_of(cast.owner).get(f"{API}/teams/mine/").content.decode()


@override_settings(API_RATES={"person": 3, "address": 2, "upload": 1, "password": 5})
def test_rates_are_limited_for_each_person_and_address(cast: Cast) -> None:
    for client, limit in ((client_of(cast.owner), 3), (client_of(cast.rival), 3), (client_of(), 2)):
        for _ in range(limit):
            assert client.get(f"{API}/phases/").status_code == 200
        response = client.get(f"{API}/phases/")
        assert assert_problem(response, 429, "throttled")["next_at"]
        assert 1 <= int(response["Retry-After"]) <= 60


def test_the_entrance_and_the_documentation(client) -> None:
    for address in client.get(f"{API}/").json().values():
        assert client.get(address).status_code in (200, 401), address
    page = client.get(f"{API}/docs/")
    assert page["Content-Type"].startswith("text/html")
    html = page.content.decode()
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", html)
    assert 'href="/accounts/login/' in html  # the site's frame
    for source in {
        path for path in re.findall(r'(?:src|href)="(/[^"#]+)', html) if path.startswith("/static")
    }:
        assert client.get(source).status_code == 200, source
    anchors = set(re.findall(r'id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= anchors


def test_the_documentation_has_every_operation_field_and_code(client) -> None:
    schema = yaml.safe_load(client.get(f"{API}/schema/").content)
    html = client.get(f"{API}/docs/").content.decode()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert f'id="{operation["operationId"]}"' in html, (path, method)
    assert html.count("<details") == len(schema["components"]["schemas"]) + sum(
        map(len, schema["paths"].values())
    )
    for part in schema["components"]["schemas"].values():
        for name in part.get("properties", {}):
            assert f"<code>{name}</code>" in html, name
    for code in ("quota_used_up", "idempotency_key_reused", "not_authenticated"):
        assert f"<code>{code}</code>" in html


def test_the_schema_is_valid_and_complete(tmp_path, client) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))
    schema = yaml.safe_load(client.get(f"{API}/schema/").content)
    assert {f"{API}/submissions/", f"{API}/submissions/{{id}}/withdraw/"} <= set(schema["paths"])
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            assert "application/problem+json" in operation["responses"]["default"]["content"]
