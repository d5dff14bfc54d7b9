"""What the API promises about HTTP: parameters, orders, types, links, limits, digests."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import yaml
from django.test import override_settings
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.utils import timezone

from leaderboard.models import Phase, Question, Submission
from tests.leaderboard.api import API, Client, assert_problem, assert_told, client_of, post
from tests.leaderboard.factories import Cast, make_phase, make_submission, make_team, make_user, upload

pytestmark = pytest.mark.django_db


def readable_addresses(cast: Cast) -> list[str]:
    """Every address of the schema that has a GET, with the cast's own rows in it."""
    submission = make_submission(cast.team, cast.phase)
    rows = {"submissions": submission.pk, "phases": cast.phase.pk, "teams": cast.team.pk}
    schema = yaml.safe_load(Client().get(f"{API}/schema/").content)
    found = []
    for path, methods in schema["paths"].items():
        if "get" in methods:
            room = path.split("/")[3]
            known = {"id": rows.get(room, 1), "slug": cast.competition.slug, "name": "x"}
            found.append(path.format(**known))
    return [*found, f"{API}/"]


def test_an_unknown_parameter_is_refused_at_every_address(cast: Cast) -> None:
    client = client_of(cast.owner)
    addresses = readable_addresses(cast)
    assert len(addresses) > 15
    for address in addresses:
        body = assert_problem(client.get(address, {"colour": "red"}), 400, "invalid")
        assert "Unknown parameter" in body["errors"]["colour"][0], address
    assert client.options(f"{API}/phases/?colour=red").status_code == 204
    assert client.get(f"{API}/submissions/?page_size=3&format=json").status_code == 200
    assert client.options(f"{API}/").status_code == 204


def all_pages(client: Any, address: str) -> Iterator[dict[str, Any]]:
    while address:
        answer = client.get(address)
        assert answer.status_code == 200, answer.content
        yield from answer.json()["results"]
        address = answer.json()["next"]


@pytest.fixture
def eleven(cast: Cast) -> list[Submission]:
    """Submissions with equal and different scores, methods and sizes, some without score."""
    rows = []
    for number in range(11):
        state = "invalid" if number in (3, 7) else "scored"
        made = make_submission(
            cast.team,
            cast.phase,
            (50 + 10 * (number % 3), 20, 20),
            state=state,
            method=f"Method {number % 4}",
            content=b"x" * (number % 5 + 1),
        )
        rows.append(made)
    return rows


@pytest.mark.parametrize("word", ["id", "received_at", "method", "size", "f1", "precision", "recall"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_submissions_come_in_any_order_each_of_them_once(
    cast: Cast, eleven: list[Submission], word: str, sign: str
) -> None:
    client = client_of(cast.owner)
    rows = list(all_pages(client, f"{API}/submissions/?ordering={sign}{word}&page_size=2"))
    assert sorted(row["id"] for row in rows) == sorted(row.pk for row in eleven)
    keys = [((-1 if row[word] is None else row[word]), row["id"]) for row in rows]
    assert keys == sorted(keys, reverse=bool(sign))
    last = list(all_pages(client, f"{API}/submissions/?ordering={sign}{word}&page_size=4"))[-1]
    assert last == rows[-1]


def test_no_order_tells_a_hidden_score(cast: Cast) -> None:
    low = make_submission(cast.team, cast.phase, (10, 90, 90))
    high = make_submission(cast.team, cast.phase, (90, 10, 10))
    low2 = make_submission(cast.team, cast.phase, (10, 90, 90))

    def order(who: Any, ordering: str) -> list[int]:
        answer = client_of(who).get(f"{API}/submissions/?ordering={ordering}").json()
        return [row["id"] for row in answer["results"]]

    assert order(cast.owner, "-f1") == [high.pk, low2.pk, low.pk]
    Phase.objects.filter(pk=cast.phase.pk).update(visible_metrics="f1")
    assert order(cast.owner, "-precision") == [low2.pk, high.pk, low.pk]  # by id
    assert order(cast.owner, "-f1") == [high.pk, low2.pk, low.pk]
    later = timezone.now() + timezone.timedelta(days=1)
    Phase.objects.filter(pk=cast.phase.pk).update(hidden_until_close=True, closes_at=later)
    assert order(cast.owner, "-f1") == order(cast.owner, "-recall") == [low2.pk, high.pk, low.pk]


def test_an_unknown_order_and_a_cursor_of_another_one_are_refused(
    cast: Cast, eleven: list[Submission]
) -> None:
    client = client_of(cast.owner)
    errors = assert_told(client.get(f"{API}/submissions/?ordering=password"), 400, "invalid")["errors"]
    assert "-received_at" in errors["ordering"][0]
    page = client.get(f"{API}/submissions/?ordering=method&page_size=5").json()["next"]
    assert_problem(client.get(page.replace("ordering=method", "ordering=id")), 400, "invalid")
    assert_problem(client.get(page.replace("ordering=method", "ordering=received_at")), 400, "invalid")
    assert_problem(client.get(page.replace("ordering=method", "ordering=f1")), 400, "invalid")


def test_teams_and_attempts_have_orders_too(cast: Cast) -> None:
    for name in ("Zebra", "Aardvark"):
        make_team(cast.competition, name)
    client = client_of(cast.owner)
    names = [row["name"] for row in all_pages(client, f"{API}/teams/?ordering=name&page_size=1")]
    assert names == ["Aardvark", "Alpine", "Rivals", "Zebra"]
    for _ in range(3):
        make_submission(cast.team, cast.phase)
    times = [row["reserved_at"] for row in all_pages(client, f"{API}/attempts/?ordering=reserved_at")]
    assert len(times) == 3
    assert all(earlier <= later for earlier, later in pairwise(times))


def links_of(answer: Any) -> dict[str, str]:
    return {relation: address for address, relation in re.findall(r'<([^>]*)>; rel="(\w+)"', answer["Link"])}


def test_lists_and_boards_link_their_pages(cast: Cast) -> None:
    for name in ("A", "B", "C"):
        make_submission(make_team(cast.competition, name), cast.phase)
        make_submission(cast.team, cast.phase)
    client = client_of(cast.owner)
    first = client.get(f"{API}/submissions/?page_size=1")
    assert links_of(first).keys() == {"first", "next"}
    assert links_of(first)["next"] == first.json()["next"]
    second = client.get(links_of(first)["next"])
    assert links_of(second).keys() == {"first", "prev", "next"}
    assert client.get(links_of(second)["prev"]).json()["results"] == first.json()["results"]
    assert client.get(links_of(second)["first"]).json()["results"] == first.json()["results"]
    address = f"{API}/phases/{cast.phase.pk}/leaderboard/"
    board = client_of().get(f"{address}?limit=3")
    assert links_of(board).keys() == {"first", "next", "last"}
    assert links_of(board)["next"] == links_of(board)["last"] == board.json()["next"]
    last = client_of().get(links_of(board)["last"])
    assert len(last.json()["rows"]) == 1
    assert links_of(last).keys() == {"first", "prev", "last"}
    assert client_of().get(links_of(last)["prev"]).json()["rows"] == board.json()["rows"]


@override_settings(API_RATES={"person": 3, "address": 2, "upload": 1, "password": 5})
def test_rate_limits_stand_in_headers(cast: Cast) -> None:
    client = client_of(cast.owner)
    for left in (2, 1, 0, 0):
        answer = client.get(f"{API}/phases/")
        assert answer["RateLimit-Policy"] == '"person";q=3;w=60'
        assert re.fullmatch(rf'"person";r={left};t=([1-9]|[1-5][0-9]|60)', answer["RateLimit"])
    assert answer.status_code == 429
    assert client_of().get(f"{API}/phases/")["RateLimit-Policy"] == '"address";q=2;w=60'


def test_what_the_phase_leaves_stands_there_too(cast: Cast) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_per_day=2, quota_total=9)
    client = client_of(cast.owner)
    for left in (1, 0):
        answer = post(client, cast.phase)
        assert answer.status_code == 202
        assert '"phase-day";q=2;w=86400, "phase-total";q=9' in answer["RateLimit-Policy"]
        assert re.search(rf'"phase-day";r={left};t=\d+, "phase-total";r={7 + left}$', answer["RateLimit"])
    answer = post(client, cast.phase)
    assert_told(answer, 429, "quota_used_up")
    assert re.search(r'"phase-day";r=0;t=\d+', answer["RateLimit"])
    assert "phase-day" not in client.get(f"{API}/submissions/")["RateLimit"]


def digest_of(content: bytes, name: str = "sha256") -> str:
    label = {"sha256": "sha-256", "sha512": "sha-512"}[name]
    return f"{label}=:{base64.b64encode(hashlib.new(name, content).digest()).decode()}:"


def test_a_body_is_compared_with_its_digest(cast: Cast) -> None:
    client = client_of(cast.owner)
    address = f"{API}/submissions/"

    def send(digest: Any) -> Any:
        body = encode_multipart(BOUNDARY, {"phase": cast.phase.pk, "method": "U-Net", "archive": upload()})
        header = digest(body) if callable(digest) else digest
        return client.generic("POST", address, body, MULTIPART_CONTENT, HTTP_CONTENT_DIGEST=header)

    for wrong in (digest_of(b"other"), digest_of(b"other", "sha512"), f"md5=:AAAA:, {digest_of(b'other')}"):
        body = assert_told(send(wrong), 400, "digest_mismatch")
        assert "Content-Digest" in body["errors"]
        assert "sha-" in body["detail"]
    for malformed in ("sha-256=abc", "sha-256", "sha-256=:=:", "sha-256=:abc"):
        assert "Content-Digest" in assert_problem(send(malformed), 400, "invalid")["errors"], malformed
    assert not Submission.objects.exists()
    for right in (
        digest_of,
        lambda body: digest_of(body, "sha512"),
        lambda body: f"{digest_of(body)}, {digest_of(body, 'sha512')}",
        "md5=:AAAA:",  # of an algorithm that is not known: ignored, as RFC 9530 says
    ):
        assert send(right).status_code == 202, right
    assert Submission.objects.count() == 4


def test_json_is_compared_with_its_digest(cast: Cast) -> None:
    client = client_of(cast.owner)
    address, body = f"{API}/teams/{cast.team.pk}/", json.dumps({"affiliation": "Bern"}).encode()
    send = {"path": address, "data": body, "content_type": "application/json"}
    assert_told(client.patch(**send, HTTP_CONTENT_DIGEST=digest_of(b"x")), 400, "digest_mismatch")
    cast.team.refresh_from_db()
    assert cast.team.affiliation == ""
    assert client.patch(**send, HTTP_CONTENT_DIGEST=digest_of(body)).status_code == 200


def test_json_of_another_type_is_refused_for_every_writable_field(cast: Cast) -> None:
    """Each field of each JSON body in the schema is sent values of every other type."""
    schema = yaml.safe_load(Client().get(f"{API}/schema/").content)
    samples = {
        "string": "words",
        "integer": 3,
        "boolean": True,
        "number": 2.5,
        "array": [1],
        "object": {"a": 1},
    }
    submission = make_submission(cast.team, cast.phase)
    question = Question.objects.create(competition=cast.competition, asked_by=cast.owner, title="?", body="?")
    rows = {"submissions": submission.pk, "teams": cast.team.pk, "questions": question.pk}
    client = client_of(cast.owner)
    asked = 0
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None or path.endswith("/tokens/"):  # tokens are made in a session
                continue
            part = schema["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
            for name, field in part["properties"].items():
                kind = field.get("type")
                if kind is None or field.get("readOnly") or field.get("format") == "binary":
                    continue
                for other, value in samples.items():
                    if other == kind or (kind, other) == ("number", "integer"):
                        continue
                    room = path.split("/")[3]
                    address = path.format(id=rows.get(room, 1), slug=cast.competition.slug)
                    body = assert_problem(getattr(client, method)(address, {name: value}), 400, "invalid")
                    assert name in body["errors"], (method, path, name, value)
                    assert "Send " in body["errors"][name][0], (method, path, name, value, body)
                    asked += 1
    assert asked > 50
    cast.team.refresh_from_db()
    assert (cast.team.name, cast.team.affiliation) == ("Alpine", "")


def test_forms_have_texts_alone(cast: Cast) -> None:
    make_phase(cast.competition, "later")
    answer = post(client_of(cast.owner), str(cast.phase.pk), allow_duplicate="true")
    assert answer.status_code == 202
    session = Client()
    session.force_login(make_user("session"))
    good = {"name": "x", "days": 7, "scopes": ["read"]}
    for odd in ({"name": 3}, {"days": "7"}, {"scopes": "read"}):
        assert_told(session.post(f"{API}/tokens/", {**good, **odd}), 400, "invalid")
    assert session.post(f"{API}/tokens/", good).status_code == 201
