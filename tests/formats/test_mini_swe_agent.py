import json
from pathlib import Path
from typing import Any

import pytest

from agentgym.errors import StoreError
from agentgym.formats.imported import Imported, read_any
from agentgym.types import Message, ToolCall

FILE = Path(__file__).parent / "files" / "mini-swe-agent.json"


def changed(tmp_path: Path, **info: Any) -> Imported:
    document = json.loads(FILE.read_text())
    document["info"] |= info
    path = tmp_path / "repo__issue-1.traj.json"
    path.write_text(json.dumps(document, indent=2))
    return read_any(path)


def test_a_trajectory_keeps_calls_costs_and_the_times_between_messages() -> None:
    found = read_any(FILE)
    assert (found.format, found.how) == (
        "mini-swe-agent",
        "`trajectory_format` is mini-swe-agent-1.1",
    )
    (episode,) = found
    assert [message.content for message in episode.prompt] == ["You fix.", "Fix: the bug"]
    look, submit = episode.steps
    call = ToolCall("bash", '{"command": "echo hi"}', id="c1")
    assert look.message == Message("assistant", "I look.", (call,))
    assert look.replies[0].tool_call_id == "c1"
    assert "hi" in look.replies[0].content
    assert submit.replies == (Message("user", "diff\n"),)
    assert [(s.timings.generate_s, s.timings.env_s) for s in episode.steps] == [(0, 1.5), (1.5, 0)]
    assert [step.usage for step in episode.steps] == [{"cost": 1.0}] * 2
    assert (episode.end, episode.reason, episode.seconds) == ("terminated", "Submitted", 3.0)
    assert (episode.id, episode.task.id) == ("mini-swe-agent", "mini-swe-agent")
    assert episode.policy == "deterministic_toolcall"
    assert found.told == {"without a reward": 1, "without tokens": 1}


@pytest.mark.parametrize(
    ("status", "end", "told"),
    [
        ("LimitsExceeded", "truncated", False),
        ("TimeExceeded", "truncated", False),
        ("ConnectionError", "error", False),
        ("", "truncated", True),
        (None, "truncated", True),
    ],
)
def test_how_it_ended(tmp_path: Path, status: str | None, end: str, told: bool) -> None:
    found = changed(tmp_path, exit_status=status)
    (episode,) = found
    assert (episode.end, episode.id) == (end, "repo__issue-1")
    assert bool(found.told["without an end"]) == told


def test_what_the_service_counted_is_usage_and_answers_that_are_not_there_are_told(
    tmp_path: Path,
) -> None:
    document = json.loads(FILE.read_text()) | {"instance_id": "other__issue-2"}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    document["messages"][2]["extra"]["response"] = {"usage": usage}
    document["messages"][4]["extra"]["response"] = "what could not be written"
    document["messages"][3]["extra"] = {"interrupt_type": "FormatError"}
    path = tmp_path / "a"
    path.write_text(json.dumps(document))
    found = read_any(path)
    (episode,) = found
    assert episode.steps[0].usage == {"prompt_tokens": 5.0, "completion_tokens": 2.0, "cost": 1.0}
    assert episode.steps[1].usage == {"cost": 1.0}
    assert episode.id == "other__issue-2"
    assert found.told["with answers of a wrong form, which are not among its messages"] == 1


def test_without_an_answer_all_is_prompt(tmp_path: Path) -> None:
    document = json.loads(FILE.read_text())
    document["messages"] = document["messages"][:2]
    path = tmp_path / "a"
    path.write_text(json.dumps(document))
    (episode,) = read_any(path)
    assert (len(episode.prompt), episode.steps, episode.seconds) == (2, [], 0.0)


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    document = json.loads(FILE.read_text())
    document["messages"][2]["tool_calls"] = [{"function": {}}]
    path = tmp_path / "a"
    path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match=r"tool_calls\.0\.function\.name: expected it"):
        list(read_any(path))
