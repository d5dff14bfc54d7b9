"""The last touch on the OpenAPI schema: what holds for every operation, said at each of them; meanings and examples."""

from http import HTTPStatus
from typing import Any

from .errors import MEDIA_TYPE
from .examples import problem_example
from .glossary import BY_FORMAT, BY_TYPE, EXAMPLES, HEADERS, MEANINGS
from .schema import DESCRIPTION

Schema = dict[str, Any]
COMPONENT = "#/components/schemas/"
PROBLEM = {"$ref": f"{COMPONENT}Problem"}
EVERYWHERE = {"invalid": 400, "authentication_failed": 401, "throttled": 429}
WITH_BODY = {
    "digest_mismatch": 400,
    "parse_error": 400,
    "too_large": 413,
    "unsupported_media_type": 415,
}
ALWAYS = ("X-Request-ID",)
BY_STATUS = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "304": ("ETag",)}
BY_OPERATION = {
    "phases_leaderboard_retrieve": ("ETag",),
    "phases_leaderboard_csv": ("ETag",),
    "submissions_retrieve": ("ETag", "Preference-Applied"),
    "submissions_create": ("Location",),
}
"""Headers of good answers."""
OF_SUBMISSION = {
    name: {"id": "$response.body#/id"}
    for name in (
        "submissions_retrieve",
        "submissions_withdraw_create",
        "submissions_select_create",
        "submissions_receipt_retrieve",
        "submissions_archive_retrieve",
        "submissions_counts_retrieve",
        "submissions_note_retrieve",
        "submissions_note_update",
        "submissions_note_destroy",
    )
}
LINKS: dict[str, tuple[str, dict[str, dict[str, str]]]] = {
    "submissions_create": ("202", OF_SUBMISSION),
    "submissions_list": (
        "200",
        {name: {"id": "$response.body#/results/0/id"} for name in OF_SUBMISSION},
    ),
    "phases_list": (
        "200",
        {
            name: {"id": "$response.body#/0/id"}
            for name in ("phases_retrieve", "phases_leaderboard_retrieve", "phases_leaderboard_csv")
        },
    ),
    "competitions_list": (
        "200",
        {
            name: {"slug": "$response.body#/0/slug"}
            for name in (
                "competitions_retrieve",
                "competitions_awards_retrieve",
                "competitions_data_retrieve",
                "competitions_announcements_list",
            )
        },
    ),
    "teams_create": (
        "201",
        {
            name: {"id": "$response.body#/id"}
            for name in (
                "teams_retrieve",
                "teams_partial_update",
                "teams_history_retrieve",
                "teams_membership_partial_update",
                "teams_description_create",
                "teams_leave_create",
            )
        },
    ),
    "join_requests_create": (
        "201",
        {"join_requests_withdraw_create": {"id": "$response.body#/id"}},
    ),
    "invitations_create": ("201", {"invitations_destroy": {"id": "$response.body#/id"}}),
    "mergers_create": ("201", {"mergers_withdraw_create": {"id": "$response.body#/id"}}),
}
"""What to do with the answer of an operation: its status, and the parameters of the operations that follow."""


def enrich(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Postprocessing hook of drf-spectacular."""
    result["info"]["description"] = DESCRIPTION
    components = result["components"]["schemas"]
    for name, component in components.items():
        for field, part in component.get("properties", {}).items():
            component["properties"][field] = explained(name, field, part)
    for name, component in components.items():
        if component.get("type") == "object":
            component["example"] = example_of(components, component, name)
    result["components"]["headers"] = {
        name: {"description": said, "schema": {"type": "string"}, "example": example}
        | ({"required": True} if name in ALWAYS else {})
        for name, (said, example) in HEADERS.items()
    }
    ids = {operation["operationId"] for each in result["paths"].values() for operation in each.values()}
    for operations in result["paths"].values():
        for operation in operations.values():
            complete(operation, components, ids)
    return result


def complete(operation: Schema, components: Schema, ids: set[str]) -> None:
    """Name what every operation can answer, and its headers, links, parameters and examples."""
    responses = operation["responses"]
    for code, number in {**EVERYWHERE, **(WITH_BODY if "requestBody" in operation else {})}.items():
        add_problem(responses, number, code)
    status, links = LINKS.get(operation["operationId"], ("", {}))
    if links:
        responses[status]["links"] = {
            name: {"operationId": name, "parameters": parameters}
            for name, parameters in links.items()
            if name in ids
        }
    for parameter in operation.get("parameters", ()):
        parameter["description"] = parameter.get("description") or MEANINGS.get(
            f"{parameter['in']}.{parameter['name']}", ""
        )
    for status, answer in responses.items():
        answer["description"] = answer.get("description") or HTTPStatus(int(status)).phrase
        names = headers_of(operation["operationId"], status, answer)
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        for kind, content in answer.get("content", {}).items():
            if status < "300" and kind == "application/json" and "examples" not in content:
                content["example"] = example_of(components, content["schema"], "")
    responses["default"] = {
        "description": "Any other response is a problem.",
        "content": {MEDIA_TYPE: {"schema": PROBLEM}},
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ALWAYS},
    }


def headers_of(operation: str, status: str, answer: Schema) -> list[str]:
    names = [*ALWAYS, "RateLimit", "RateLimit-Policy", "Cache-Control", *BY_STATUS.get(status, ())]
    if status < "300":
        names += BY_OPERATION.get(operation, ())
        content = answer.get("content", {})
        parts = [part.get("schema", {}) for part in content.values()]
        if any(
            part.get("$ref", "").startswith((f"{COMPONENT}Paginated", f"{COMPONENT}Board")) for part in parts
        ):
            names.append("Link")
        if any(kind not in ("application/json", MEDIA_TYPE) for kind in content):
            names.append("Content-Disposition")
    return names


def add_problem(responses: Schema, status: int, code: str) -> None:
    """Name a code among the answers of an operation, unless it is there."""
    answer = responses.setdefault(str(status), {"description": HTTPStatus(status).phrase})
    content = answer.setdefault("content", {}).setdefault(MEDIA_TYPE, {"schema": PROBLEM})
    examples = content.setdefault("examples", {})
    if not any(example["value"]["code"] == code for example in examples.values()):
        examples[code] = {"value": problem_example(status, code), "summary": code}


def explained(component: str, field: str, part: Schema) -> Schema:
    """A field with its meaning and, unless it holds objects, an example."""
    if "$ref" in part:  # beside which OpenAPI 3.0 reads nothing
        part = {"allOf": [{"$ref": part["$ref"]}]}
    if not part.get("description"):
        part["description"] = MEANINGS.get(f"{component}.{field}", MEANINGS.get(field, ""))
    found = EXAMPLES.get(f"{component}.{field}", EXAMPLES.get(field))
    if found is not None and fits(part, found):
        part["example"] = found
    return part


def fits(part: Schema, value: Any) -> bool:
    """Whether a value has the type of a field; the same word may name fields of several types."""
    if "oneOf" in part:
        return any(fits(each, value) for each in part["oneOf"])
    if "$ref" in part.get("items", {}):
        return False
    types: dict[str, Any] = {
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "array": list,
        "object": dict,
    }
    kind = part.get("type")
    return kind in types and isinstance(value, types[kind]) and part.get("format") not in BY_FORMAT


def example_of(components: Schema, part: Schema, name: str) -> Any:
    """An example of what a schema describes."""
    if "example" in part:
        return part["example"]
    if "$ref" in part:
        name = part["$ref"].removeprefix(COMPONENT)
        return example_of(components, components[name], name)
    for several in ("allOf", "oneOf", "anyOf"):
        if several in part:
            return example_of(components, part[several][0], name)
    if "enum" in part:
        return part["enum"][0]
    if part.get("type") == "array":
        return [example_of(components, part["items"], name)]
    if part.get("type") == "object":
        fields = part.get("properties", {}).items()
        return {
            field: example_of(components, each, name) for field, each in fields if not each.get("writeOnly")
        }
    if part.get("format") in BY_FORMAT:
        return BY_FORMAT[part["format"]]
    return BY_TYPE.get(str(part.get("type")), "…")
