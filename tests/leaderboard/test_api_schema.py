"""The schema is the truth: everything in it is described, its examples fit, and real answers are as it says."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from schemathesis.core.failures import FailureGroup

from leaderboard.wsgi import application
from tests.leaderboard.api import API, Client
from tests.leaderboard.api_seeds import Seed, World
from tests.leaderboard.factories import Cast
from tests.leaderboard.permissions import Stage

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
METHODS = ("get", "post", "put", "patch", "delete")
SOMETIMES = {"Preference-Applied"}
PLAIN = {"Host": "localhost", "Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return json.loads(Client().get(f"{API}/schema/?format=json").content)


def operations_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in schema["paths"].items():
        for method in METHODS:
            if method in operations:
                yield f"{method.upper()} {path}", operations[method]


def undescribed(schema: dict[str, Any]) -> list[str]:
    """Everything in the schema that lacks a description, or an example where one belongs."""
    lacking = []

    def need(where: str, part: dict[str, Any], *words: str) -> None:
        lacking.extend(f"{where}: {word}" for word in words if not part.get(word))

    for name, component in schema["components"]["schemas"].items():
        for field, part in component.get("properties", {}).items():
            need(f"{name}.{field}", part, "description")
        if component.get("type") == "object":
            if set(component.get("example", {})) != set(component["properties"]):
                lacking.append(f"{name}: example of each field")
            lacking.extend(
                f"{name}: example of {key}"
                for key, value in component["example"].items()
                if "…" in (value, *([value] if not isinstance(value, list) else value))
            )
    for name, header in schema["components"]["headers"].items():
        need(f"header {name}", header, "description", "example")
    for where, operation in operations_of(schema):
        need(where, operation, "summary", "description", "operationId")
        for parameter in operation.get("parameters", ()):
            need(f"{where} {parameter['name']}", parameter, "description")
        for status, answer in operation["responses"].items():
            need(f"{where} {status}", answer, "description", "headers")
            for kind, content in answer.get("content", {}).items():
                if kind == "application/problem+json" and status != "default":
                    need(f"{where} {status}", content, "examples")
                elif kind == "application/json" and "examples" not in content:
                    need(f"{where} {status}", content, "example")
    return lacking


def test_everything_in_the_schema_is_described(described: dict[str, Any]) -> None:
    assert undescribed(described) == []


def test_what_is_not_described_would_be_found(described: dict[str, Any]) -> None:
    spoiled = copy.deepcopy(described)
    del spoiled["components"]["schemas"]["Phase"]["properties"]["slug"]["description"]
    del spoiled["components"]["schemas"]["Team"]["example"]["name"]
    del spoiled["components"]["headers"]["ETag"]["example"]
    spoiled["paths"][f"{API}/phases/{{id}}/"]["get"]["parameters"][0]["description"] = ""
    del spoiled["paths"][f"{API}/teams/"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    assert undescribed(spoiled) == [
        "Phase.slug: description",
        "Team: example of each field",
        "header ETag: example",
        f"GET {API}/phases/{{id}}/ id: description",
        f"GET {API}/teams/ 200: example",
    ]


def as_json_schema(part: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: `nullable` becomes a type."""
    if isinstance(part, list):
        return [as_json_schema(each) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: as_json_schema(value) for key, value in part.items() if key not in ("example", "nullable")}
    return {"anyOf": [{"type": "null"}, made]} if part.get("nullable") is True else made


def test_every_example_fits_its_schema(described: dict[str, Any]) -> None:
    components = as_json_schema(described["components"]["schemas"])
    asked = 0

    def check(part: dict[str, Any], example: Any, where: str) -> None:
        nonlocal asked
        asked += 1
        whole = {**as_json_schema(part), "components": {"schemas": components}}
        errors = [error.message for error in jsonschema.Draft7Validator(whole).iter_errors(example)]
        assert not errors, (where, errors)

    for name, component in described["components"]["schemas"].items():
        if "example" in component:
            check({"$ref": f"#/components/schemas/{name}"}, component["example"], name)
    for where, operation in operations_of(described):
        for status, answer in operation["responses"].items():
            for content in answer.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    check(content["schema"], example["value"], f"{where} {status}")
                    if int(status) >= 400:
                        assert example["value"]["status"] == int(status)
                if "example" in content:
                    check(content["schema"], content["example"], f"{where} {status}")
    assert asked > 300


@pytest.fixture
def world(cast: Cast, settings: Any) -> Iterator[World]:
    """Requests leave the test's own connection open, in whose transaction the test runs."""
    settings.API_RATES = dict.fromkeys(settings.API_RATES, 10**6)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield World(Stage(cast))
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def server(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The application, closed after each answer as WSGI asks of servers; schemathesis leaves that out, and with it open files."""
    answer = application(environ, start_response)
    try:
        return list(answer)
    finally:
        answer.close()


# What the schema calls valid is accepted: of requests without a body. A made-up phase does not exist, a made-up archive is none.
WITH_BODY = {
    "include-method": ["POST", "PUT", "PATCH"],
    "checks": {"positive_data_acceptance": {"enabled": False}},
}


def without_made_up_names(case: Any) -> None:
    """A cursor comes from an answer, and a slug names a row; the schema can only say that they are texts."""
    if case.meta.generation.mode.is_positive:
        for name in ("cursor", "phase", "competition"):
            case.query.pop(name, None)


def read_schema(**config: Any) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_wsgi(
        f"{API}/schema/?format=json",
        server,
        config=schemathesis.Config.from_dict({**config, "operations": [WITH_BODY]}),
        headers=PLAIN,
    )


def case_of(operation: Any, seed: Seed, world: World) -> Any:
    more = {} if seed.body is None else {"body": seed.body, "media_type": seed.media_type}
    headers = {**PLAIN, **world.headers(seed.who), **seed.headers}
    return operation.Case(
        path_parameters=dict(seed.path), headers=headers, cookies=world.cookies(seed.who), **more
    )


@pytest.mark.django_db
@pytest.mark.timeout(120)
def test_a_good_answer_of_every_operation_is_as_the_schema_says(
    world: World, described: dict[str, Any]
) -> None:
    """Status, headers, media type and body; every header that the schema names for the status is there."""
    schema, seeds = read_schema(), world.seeds()
    ids = {operation["operationId"]: operation for _, operation in operations_of(described)}
    assert set(seeds) == set(ids), "Add a good request for each operation to tests/leaderboard/api_seeds.py."
    failures = {}
    for name, seed in seeds.items():
        with transaction.atomic():
            case = case_of(schema.find_operation_by_id(name), seed, world)
            answer = case.call()
            if failure := what_is_wrong(case, answer, ids[name], described["components"]["schemas"]):
                failures[name] = failure
            transaction.set_rollback(True)
    assert failures == {}


def what_is_wrong(case: Any, answer: Any, operation: dict[str, Any], components: dict[str, Any]) -> str:
    """How an answer differs from the good one that the schema describes; empty: not at all."""
    if not 200 <= answer.status_code < 300:
        return f"{answer.status_code}: {answer.text}"
    try:
        case.validate_response(answer)
    except FailureGroup as group:
        return "\n".join(str(failure) for failure in group.exceptions)
    if "json" in answer.headers.get("content-type", [""])[0]:
        [content] = [
            content
            for kind, content in operation["responses"][str(answer.status_code)]["content"].items()
            if "json" in kind
        ]
        if unknown := list(unknown_fields(components, content["schema"], answer.json())):
            return f"fields that the schema does not have: {unknown}"
    promised = operation["responses"][str(answer.status_code)]["headers"]
    sent = {header.title() for header in answer.headers}
    missing = {header for header in promised if header.title() not in sent} - SOMETIMES
    if "json" in answer.headers.get("content-type", [""])[0]:
        missing.discard("Content-Disposition")  # of the same answer as a file
    return f"without {missing}" if missing else ""


def unknown_fields(components: dict[str, Any], part: dict[str, Any], value: Any) -> Iterator[str]:
    """The fields of an answer that its schema does not name."""
    while "$ref" in part or "allOf" in part:
        part = components[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part["allOf"][0]
    if isinstance(value, list):
        for each in value:
            yield from unknown_fields(components, part.get("items", {}), each)
    elif isinstance(value, dict) and "properties" in part:
        yield from set(value) - set(part["properties"])
        for name in set(value) & set(part["properties"]):
            yield from unknown_fields(components, part["properties"][name], value[name])


@pytest.mark.django_db
def test_answers_of_other_kinds_are_as_the_schema_says(world: World) -> None:
    """CSV and NumPy by `Accept`, 304, and a problem."""
    schema, seeds = read_schema(), world.seeds()
    for name, headers, status in (
        ("phases_leaderboard_retrieve", {"Accept": "text/csv"}, 200),
        ("submissions_counts_retrieve", {"Accept": "application/x-npz"}, 200),
        ("submissions_counts_retrieve", {"Accept": "image/png"}, 406),
        ("phases_leaderboard_retrieve", {"If-None-Match": "*"}, 304),
        ("submissions_retrieve", {"If-None-Match": "*"}, 304),
        ("submissions_retrieve", {"Authorization": "Bearer x"}, 401),
    ):
        seed = seeds[name]
        case = case_of(schema.find_operation_by_id(name), Seed(seed.who, seed.path, headers=headers), world)
        answer = case.call()
        assert answer.status_code == status, (name, headers, answer.content)
        case.validate_response(answer)
        expected = (
            headers.get("Accept") if status == 200 else "application/problem+json" if status > 400 else None
        )
        if expected:
            assert re.match(re.escape(expected), answer.headers["content-type"][0])
