import json
from pathlib import Path
from typing import Any

import pytest
from foreign import SWE_AGENT, TURN

from agentgym.errors import StoreError
from agentgym.formats.imported import Imported, read_any
from agentgym.types import Message, ToolCall


def read(tmp_path: Path, file: Any) -> Imported:
    path = tmp_path / "a.traj"
    path.write_text(json.dumps(file, indent=2))
    return read_any(path)


def test_the_history_is_the_conversation(tmp_path: Path) -> None:
    found = read(tmp_path, SWE_AGENT)
    (episode,) = found
    assert found.format == "SWE-agent"
    assert (episode.id, episode.task.prompt) == ("repo__issue-1", "An issue.")
    assert [message.content for message in episode.prompt] == ["You fix.", "As shown.", "An issue."]
    (step,) = episode.steps
    assert step.message.tool_calls == (ToolCall("bash", '{"c": "ls"}', id="c"),)
    assert step.replies == (Message("tool", "OBSERVATION:\nx.py", tool_call_id="c"),)
    assert step.timings.env_s == 0.5
    assert (episode.end, episode.reason) == ("terminated", "submitted")
    assert found.told == {"without a reward": 1, "without tokens": 1}


def test_without_a_history_the_turns_are(tmp_path: Path) -> None:
    (episode,) = read(
        tmp_path, SWE_AGENT | {"history": [], "trajectory": [TURN, TURN | {"response": ""}]}
    )
    assert [message.content for message in episode.prompt] == ["You fix.", "An issue."]
    assert [step.message.content for step in episode.steps] == ["I look.", "I look.\n\nls"]
    assert episode.steps[0].replies == (Message("user", "x.py"),)
    assert episode.seconds == 1.0


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("submitted (exit_cost)", "truncated"),
        ("exit_context", "truncated"),
        ("exit_error", "error"),
        (None, "truncated"),
    ],
)
def test_how_it_ended(tmp_path: Path, status: str | None, end: str) -> None:
    found = read(tmp_path, SWE_AGENT | {"info": {"exit_status": status}})
    (episode,) = found
    assert episode.end == end
    assert bool(found.told["without an end"]) == (status is None)


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"a.traj: trajectory.0.action: expected a valid string"):
        list(read(tmp_path, SWE_AGENT | {"trajectory": [TURN | {"action": 3}]}))


def test_those_of_mini_swe_agent_are_conversations(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Fix."}, {"role": "assistant", "content": "Done."}]
    found = read(tmp_path, {"info": {"exit_status": "x"}, "messages": messages})
    assert found.format == "OpenAI messages"
    assert [message.content for (each,) in [list(found)] for message in each.messages] == [
        "Fix.",
        "Done.",
    ]
