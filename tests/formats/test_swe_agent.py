import json
from pathlib import Path
from typing import Any

import pytest
from foreign import HISTORY, SWE_AGENT, TURN

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


def test_an_example_is_not_what_was_asked(tmp_path: Path) -> None:
    shown = {"role": "user", "content": "Look here.", "is_demo": True}
    (episode,) = read(tmp_path, SWE_AGENT | {"history": [HISTORY[0], shown, *HISTORY[2:]]})
    assert episode.task.prompt == "An issue."
    assert [message.content for message in episode.prompt][1] == "Look here."


def test_without_a_history_the_turns_are(tmp_path: Path) -> None:
    (episode,) = read(
        tmp_path, SWE_AGENT | {"history": [], "trajectory": [TURN, TURN | {"response": ""}]}
    )
    assert [message.content for message in episode.prompt] == ["You fix.", "An issue."]
    assert episode.task.prompt == "An issue."
    assert [step.message.content for step in episode.steps] == ["I look.", "I look.\n\nls"]
    assert episode.steps[0].replies == (Message("user", "x.py"),)
    assert episode.seconds == 1.0


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("submitted (exit_cost)", "truncated"),
        ("exit_context", "truncated"),
        ("exit_error", "error"),
        ("exit_environment_error", "error"),
        ("exit_api", "error"),
        ("exit_forfeit", "terminated"),
        ("submitted (exit_forfeit)", "terminated"),
        ("exit_command", "terminated"),
        (1, "truncated"),
        (None, "truncated"),
    ],
)
def test_how_it_ended(tmp_path: Path, status: str | int | None, end: str) -> None:
    found = read(tmp_path, SWE_AGENT | {"info": {"exit_status": status}})
    (episode,) = found
    assert episode.end == end
    assert bool(found.told["without an end"]) == (status is None)


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"a.traj: trajectory.0.action: expected a valid string"):
        list(read(tmp_path, SWE_AGENT | {"trajectory": [TURN | {"action": 3}]}))


def test_several_attempts_are_a_group_and_the_best_is_read_once(tmp_path: Path) -> None:
    late = SWE_AGENT | {"info": {"exit_status": "exit_cost"}}
    whole = SWE_AGENT | {"attempts": [late, SWE_AGENT]}
    found = list(read(tmp_path, whole))
    assert [(each.id, each.member, each.end) for each in found] == [
        ("repo__issue-1", 0, "truncated"),
        ("repo__issue-1.1", 1, "terminated"),
    ]
    assert {each.group_id for each in found} == {"repo__issue-1"}
    not_chosen = read(tmp_path, {"attempts": [late]})
    assert (not_chosen.format, len(list(not_chosen))) == ("SWE-agent", 1)


@pytest.mark.parametrize("environment", ["main", "swe_main", None])
def test_the_issue_is_named_by_the_configuration_or_else_by_the_file(
    tmp_path: Path, environment: str | None
) -> None:
    config = {"problem_statement": {"id": "i-1", "type": "text"}, "agent": {"model": {"name": "m"}}}
    file = SWE_AGENT | {"environment": environment, "replay_config": json.dumps(config)}
    (named,) = read(tmp_path, file)
    assert (named.id, named.task.id, named.policy) == ("i-1", "i-1", "m")
    for unknown in (None, "{}", "{broken", '{"problem_statement": 3}'):
        (plain,) = read(tmp_path, file | {"replay_config": unknown})
        assert (plain.id, plain.policy) == ("a", "")


def test_thoughts_that_stand_apart_are_kept(tmp_path: Path) -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "redacted"}]
    history = [*HISTORY[:3], HISTORY[3] | {"thinking_blocks": blocks}, HISTORY[4]]
    (episode,) = read(tmp_path, SWE_AGENT | {"history": history})
    assert episode.steps[0].message.content.startswith("<think>\nHm.")
    turn = TURN | {"reasoning_content": "So."}
    (bare,) = read(tmp_path, SWE_AGENT | {"history": [], "trajectory": [turn]})
    assert bare.steps[0].message.content == "<think>\nSo.\n</think>\n\nI look."


def test_answers_that_were_asked_for_again_are_told(tmp_path: Path) -> None:
    found = read(tmp_path, SWE_AGENT | {"trajectory": [TURN, TURN]})
    (episode,) = found
    assert len(episode.steps) == 1
    assert found.told["with answers that were asked for again, left out"] == 1
    assert episode.seconds == 1.0
