"""Schemathesis walks through the API by the links of its schema: operations one after the other, on rows that exist.

An operation gets the good request of `api_seeds` until it has been reached; then what schemathesis makes up, with the ids that
earlier answers gave.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.specs.openapi.checks import negative_data_rejection, use_after_free

from tests.leaderboard.api_seeds import World
from tests.leaderboard.test_api_schema import METHODS, PLAIN, read_schema, without_made_up_names, world  # noqa: F401 - a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(400)]
SCENARIOS, STEPS = 30, 40
LEAST_SHARE = 0.95


def linked_schema() -> tuple[Any, set[str]]:
    """The schema, in which everything that no link reaches follows from the list of phases; and all operationIds."""
    schema = read_schema()
    operations = [
        operation
        for methods in schema.raw_schema["paths"].values()
        for method, operation in methods.items()
        if method in METHODS
    ]
    ids = {operation["operationId"] for operation in operations}
    links: dict[str, Any] = {}
    for operation in operations:
        for answer in operation["responses"].values():
            links |= {link["operationId"]: link for link in answer.get("links", {}).values()}
    start = next(each for each in operations if each["operationId"] == "phases_list")
    start["responses"]["200"]["links"] |= {name: {"operationId": name} for name in sorted(ids - set(links))}
    return schema, ids


def machine_of(schema: Any, world: World, reached: Counter[str], seen: "Seen") -> Any:  # noqa: F811
    seeds = world.seeds()

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            seen.scenarios += 1
            self.who, self.is_seeded = "owner", False
            self.actors: dict[str, str] = {}
            self.scenario = transaction.atomic()
            self.scenario.__enter__()

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self.scenario.__exit__(None, None, None)

        def step(self, input: Any) -> Any:
            self.before = input.transition and self.actors.get(input.transition.parent_id)
            return super().step(input)

        def before_call(self, case: Any) -> None:
            name = case.operation.definition.raw["operationId"]
            seed = seeds[name]
            case._has_explicit_auth = True  # so that the check of ignored credentials asks again without them
            self.is_seeded = not reached[name]
            without_made_up_names(case)
            self.who = seed.who if self.is_seeded else self.before or "owner"
            if self.is_seeded:
                case.path_parameters, case.query, case.headers = dict(seed.path), {}, {}
                case.cookies = world.cookies(self.who)
                if seed.body is not None:
                    case.body, case.media_type = seed.body, seed.media_type

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {**PLAIN, **world.headers(self.who)}}

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            if response.status_code < 300:
                reached[case.operation.definition.raw["operationId"]] += 1
                self.actors[case.id] = self.who

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            left_out = []
            if self.is_seeded:  # no longer the request that schemathesis has spoilt
                left_out.append(negative_data_rejection)
            if case.operation.path.endswith(
                "/note/"
            ):  # a note that was removed is empty, as one that was never written
                left_out.append(use_after_free)
            try:
                case.validate_response(
                    response,
                    excluded_checks=left_out,
                    transport_kwargs=self.get_call_kwargs(case),
                    recorder=self.recorder,
                )
            except Exception as failure:
                seen.failures.append(failure)
                raise

    return Machine


@dataclass
class Seen:
    """Scenarios that were begun, and answers that break the schema."""

    scenarios: int = 0
    failures: list[Exception] = field(default_factory=list)


def test_the_links_lead_through_the_whole_api(world: World) -> None:  # noqa: F811
    schema, ids = linked_schema()
    reached: Counter[str] = Counter()
    seen = Seen()
    machine = machine_of(schema, world, reached, seen)
    for number in range(10):
        # An answer that broke the schema is kept by us: hypothesis asks again, gets another answer where an operation has been
        # reached meanwhile, and complains of that instead.
        try:
            seed(number)(machine).run(settings=settings_for(SCENARIOS - seen.scenarios))
        except FlakyStrategyDefinition:
            pass
        if seen.failures:
            raise seen.failures[0]
        if seen.scenarios >= SCENARIOS:
            break
    print(f"{sum(reached.values())} good answers of {len(reached)} of {len(ids)} operations")
    assert seen.scenarios >= SCENARIOS
    assert len(reached) / len(ids) >= LEAST_SHARE, sorted(ids - set(reached))
    assert sum(reached.values()) > len(ids)


def settings_for(scenarios: int) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=scenarios,
        stateful_step_count=STEPS,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
