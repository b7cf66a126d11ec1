"""Policies without a model."""

import random

import pytest
from jsonschema import Draft202012Validator

from agentgym.rollout.scripted import random_value


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
    ],
    ids=str,
)
def test_a_number_drawn_lies_within_its_bounds(schema) -> None:
    validator = Draft202012Validator(schema)
    values = [random_value(schema, random.Random(seed)) for seed in range(50)]
    assert all(map(validator.is_valid, values))
    assert len(set(values)) > 1
