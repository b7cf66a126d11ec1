"""Policies without a model."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator

from agentgym.rollout.nonsense import nonsense
from agentgym.rollout.scripted import random_value
from agentgym.types import ToolSpec


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": "integer", "minimum": 1900},
        {"type": "integer", "maximum": -1900},
        {"type": "integer", "minimum": 0.5, "maximum": 3.5},
        {"type": "number", "minimum": 1e6},
        {"type": "number", "maximum": -1e6},
        {"type": "number", "minimum": 0.25, "maximum": 0.5},
        {"type": "number", "minimum": -1e308, "maximum": 1e308},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1e-300},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 6},
        {"type": "integer", "minimum": 0, "exclusiveMinimum": 3, "maximum": 5},
        {"type": "integer", "exclusiveMinimum": 2**70, "maximum": 2**71},
        {"oneOf": [{"type": "integer"}, {"type": "boolean"}]},
        {"type": ["integer", "null"]},
        {"type": "array", "items": True},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ],
    ids=str,
)
def test_a_value_drawn_fits_its_schema(schema) -> None:
    validator = Draft202012Validator(schema)
    values = [random_value(schema, random.Random(seed)) for seed in range(50)]
    assert all(map(validator.is_valid, values))
    assert len(set(map(str, values))) > 1


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": []},
        {"anyOf": []},
        {"type": "integer", "minimum": 0.2, "maximum": 0.8},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
        {"type": "number", "minimum": 2, "maximum": 1},
        {"type": {"not": "a name"}},
        True,
        [],
    ],
    ids=str,
)
def test_what_nothing_fits_gets_a_word(schema) -> None:
    assert isinstance(random_value(schema, random.Random(0)), str)


def test_a_deep_schema_gives_a_small_value() -> None:
    deep: Any = {"type": "integer"}
    for _ in range(5_000):
        deep = {"type": "array", "items": deep}
    sizes = [len(json.dumps(random_value(deep, random.Random(seed)))) for seed in range(20)]
    assert max(sizes) < 100_000


KEYS = (
    "type", "enum", "anyOf", "oneOf", "properties", "items",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
)  # fmt: skip
TYPES = ("object", "array", "integer", "number", "boolean", "null", "string")
schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TYPES) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES)}, optional=dict.fromkeys(KEYS[1:], schemas)
    )
    | schemas,
    st.integers(0, 9),
)
def test_any_json_value_may_stand_for_a_schema(schema: Any, seed: int) -> None:
    value = random_value(schema, random.Random(seed))
    json.dumps(value)
    if not isinstance(schema, dict) or schema.keys() & {"enum", "anyOf", "oneOf"}:
        return
    if schema.get("type") in ("integer", "number"):
        json.dumps(value, allow_nan=False)


@given(schemas)
def test_nonsense_is_said_of_any_schema(properties: Any) -> None:
    tool = ToolSpec("go", "Go.", {"type": "object", "properties": properties})
    assert any(message.tool_calls for _, message in nonsense([tool]))
