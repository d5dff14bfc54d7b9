"""The OpenAPI schema as a page: operations by resource, their fields in words, the errors that they can answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

METHODS = ("get", "post", "put", "patch", "delete")
JSON, FORM = "application/json", "multipart/form-data"

Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A parameter or a field: ``kind`` is its type in words, ``link`` the name of the object that it holds."""

    name: str
    kind: str
    link: str
    where: str
    required: bool
    description: str


@dataclass(frozen=True)
class Answer:
    """An answer: its status, the object in it, and the codes of errors with an example each."""

    status: str
    title: str
    kind: str
    link: str
    codes: list[tuple[str, str]]


@dataclass(frozen=True)
class Operation:
    """A method at an address. ``example`` is a curl command."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    needs_token: bool
    scopes: str
    parameters: list[Field]
    body: list[Field]
    media_type: str
    answers: list[Answer]
    example: str


@dataclass(frozen=True)
class Reference:
    """The whole API: ``resources`` is (name, operations), ``objects`` (name, description, fields, values)."""

    title: str
    version: str
    description: str
    resources: list[tuple[str, list[Operation]]]
    objects: list[tuple[str, str, list[Field], list[str]]]


@cache
def reference(site_url: str) -> Reference:
    """Read once per process: the schema does not depend on who asks."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    by_resource: dict[str, list[Operation]] = {}
    for path, methods in schema["paths"].items():
        for method in METHODS:
            if method in methods:
                operation = methods[method]
                made = _operation(schema, path, method, operation, site_url)
                by_resource.setdefault(operation["tags"][0], []).append(made)
    objects = [
        (
            name,
            part.get("description", ""),
            list(_fields(schema, part)),
            [str(value) for value in part.get("enum", ())],
        )
        for name, part in sorted(schema["components"]["schemas"].items())
    ]
    about = schema["info"]
    return Reference(
        about["title"], about["version"], about["description"], list(by_resource.items()), objects
    )


def _operation(schema: Schema, path: str, method: str, operation: Schema, site_url: str) -> Operation:
    body_types = operation.get("requestBody", {}).get("content", {})
    media_type = next((kind for kind in (FORM, JSON) if kind in body_types), next(iter(body_types), ""))
    body = list(_fields(schema, body_types[media_type].get("schema", {}))) if media_type else []
    security = operation.get("security", [{}])
    needs_token = {} not in security
    return Operation(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        needs_token=needs_token,
        scopes=" or ".join(operation.get("x-token-scopes", ())),
        parameters=[_parameter(parameter) for parameter in operation.get("parameters", ())],
        body=body,
        media_type=media_type,
        answers=[_answer(status, answer) for status, answer in sorted(operation["responses"].items())],
        example=_curl(method.upper(), site_url + path, needs_token, media_type, body),
    )


def _parameter(parameter: Schema) -> Field:
    kind, link = words(parameter.get("schema", {}))
    required, said = parameter.get("required", False), parameter.get("description", "")
    return Field(parameter["name"], kind, link, parameter["in"], required, said)


def _answer(status: str, answer: Schema) -> Answer:
    kind, link, codes = "", "", []
    for content in answer.get("content", {}).values():
        kind, link = words(content.get("schema", {}))
        for example in content.get("examples", {}).values():
            value = example.get("value", {})
            if isinstance(value, dict) and "code" in value:
                codes.append((value["code"], str(value.get("detail", ""))))
    return Answer(status, answer.get("description", ""), kind, link, codes)


def _fields(schema: Schema, part: Schema) -> Iterator[Field]:
    part = _resolved(schema, part)
    for name, field in part.get("properties", {}).items():
        kind, link = words(field)
        yield Field(name, kind, link, "", name in part.get("required", ()), field.get("description", ""))


def _resolved(schema: Schema, part: Schema) -> Schema:
    while "$ref" in part:
        part = schema["components"]["schemas"][_name(part["$ref"])]
    return part


def _name(ref: str) -> str:
    return ref.rsplit("/", 1)[-1]


def words(part: Schema) -> tuple[str, str]:
    """The type of a schema in words, and the name of the object in it, if any."""
    if "$ref" in part:
        return "", _name(part["$ref"])
    for several in ("allOf", "oneOf", "anyOf"):
        if several in part:
            found = [words(one) for one in part[several]]
            kinds = [kind or link for kind, link in found if (kind or link) not in ("NullEnum", "BlankEnum")]
            only = found[0] if len(found) == 1 else (" or ".join(kinds), "")
            return _nullable(part, *only)
    if part.get("type") == "array":
        kind, link = words(part.get("items", {}))
        return _nullable(part, f"list of {kind}".strip() if kind else "list of", link)
    if "enum" in part:
        return _nullable(part, " | ".join(str(value) for value in part["enum"] if value is not None), "")
    kind = _FORMATS.get(part.get("format", "")) or str(part.get("type", "any"))
    limits = [f"{word} {part[key]}" for key, word in _LIMITS.items() if key in part]
    return _nullable(part, ", ".join([kind, *limits]), "")


_FORMATS = {"date-time": "time", "binary": "file", "uri": "address"}
_LIMITS = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "at least",
    "maxLength": "at most",
    "default": "default",
}


def _nullable(part: Schema, kind: str, link: str) -> tuple[str, str]:
    return (f"{kind} or null".strip() if part.get("nullable") else kind), link


def _curl(method: str, url: str, needs_token: bool, media_type: str, body: list[Field]) -> str:
    parts = ["curl" if method == "GET" else f"curl -X {method}"]
    if needs_token:
        parts.append('-H "Authorization: Bearer $L4S_TOKEN"')
    needed = [field for field in body if field.required] or body[:1]
    if media_type == FORM:
        parts += [
            f"-F {field.name}={'@' + field.name if field.kind.startswith('file') else '…'}"
            for field in needed
        ]
    elif media_type:
        parts.append(
            f"-H 'Content-Type: {media_type}' -d '{json.dumps({field.name: '…' for field in needed}, ensure_ascii=False)}'"
        )
    return " \\\n  ".join([*parts, url])
