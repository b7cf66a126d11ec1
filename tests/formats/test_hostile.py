"""Whatever stands in a file: it is read, or refused with its place, and never anything else."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from drawn_episodes import Json
from foreign import ATIF, EVAL, MESSAGES, SAMPLE, SWE_AGENT
from hypothesis import HealthCheck, given, settings, strategies as st

from agentgym.errors import AgentGymError
from agentgym.formats.imported import read_any
from agentgym.store.trajectory import from_body, to_body

VERIFIERS = (Path(__file__).parent / "files" / "verifiers.jsonl").read_text().splitlines()
DOCUMENTS: dict[str, Any] = {
    "ATIF": ATIF,
    "inspect": EVAL | {"samples": [SAMPLE | {"scores": {"match": {"value": "C"}}}]},
    "verifiers": json.loads(VERIFIERS[1]),
    "SWE-agent": SWE_AGENT,
    "OpenAI messages": {"messages": MESSAGES, "tools": [{"function": {"name": "f"}}]},
}
Odd = Json | st.sampled_from([1e400, -1, 2**70, "\ud800", [[]], {"type": "text"}, "NaN"])


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=st.lists(st.integers(0, 50), min_size=8, max_size=8), value=Odd)
def test_any_value_in_any_place_is_read_or_refused(
    tmp_path: Path, name: str, choices: list[int], value: Any
) -> None:
    document = copy.deepcopy(DOCUMENTS[name])
    put(document, choices, value)
    path = tmp_path / "file"
    path.write_text(json.dumps(document))
    try:
        episodes = list(read_any(path))
    except AgentGymError as error:
        told, episodes = str(error), []
        assert (str(path) in told, len(told) < 1000) == (True, True)
    for episode in episodes:
        try:
            stored = to_body(episode)
        except AgentGymError:  # token ids that no vocabulary has
            continue
        assert from_body(*stored) == episode


def put(document: Any, choices: list[int], value: Any) -> None:
    """Walk into a document, and put a value where the walk ends."""
    for choice in choices:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = keys[choice % len(keys)]
        child = document[key]
        if not isinstance(child, dict | list) or not child or choice > 45:
            break
        document = child
    document[key] = value
