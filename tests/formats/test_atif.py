import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawn_episodes import trajectories
from foreign import ATIF
from hypothesis import given, settings

from agentgym.errors import StoreError
from agentgym.formats.atif import AtifReader
from agentgym.formats.atif_writer import AtifWriter, to_atif
from agentgym.formats.imported import read_any
from agentgym.formats.source import Source, Value
from agentgym.types import Completion, Message, Segment, Step, Task, ToolCall, Trajectory


def written(*episodes: Trajectory, prompts: bool = False) -> bytes:
    file = io.BytesIO()
    writer = AtifWriter(file, prompts=prompts)
    for each in episodes:
        writer.add(each)
    return file.getvalue()


def read(document: Any, tmp_path: Path) -> tuple[list[Trajectory], AtifReader]:
    path = tmp_path / "a"
    path.write_text(json.dumps(document))
    reader = AtifReader(Source(path))
    return [each for value in reader.values() for each in reader.read(value)], reader


def test_what_another_agent_wrote_is_read_and_nothing_is_made_up(tmp_path: Path) -> None:
    (found,), reader = read(ATIF, tmp_path)
    assert (found.id, found.group_id, found.policy, found.seconds) == ("s-1", "s-1", "m", 2.0)
    assert found.prompt == (Message("user", "Fix it."),)
    first, second = found.steps
    call = ToolCall("ls", '{"a": "é"}', id="c")
    assert first.message == Message(
        "assistant", "<think>\nWhere?\n</think>\n\nI look.", tool_calls=(call,)
    )
    assert first.replies == (
        Message("tool", "x.py", tool_call_id="c"),
        Message("user", ""),
        Message("system", "Hurry."),
    )
    assert first.usage == {"prompt_tokens": 5.0, "cost": 0.5}
    assert first.completion is None
    assert (first.timings.started_s, second.timings.started_s) == (0.0, 2.0)
    assert first.action_key
    assert second.completion is not None
    assert second.completion.token_ids == (3,)
    assert [(s.token_ids, s.sampled, s.steps) for s in found.segments] == [
        ([1, 2, 3], [False, False, True], [(1, 2, 3)])
    ]
    assert not any(step.reward_terms for step in found.steps)
    assert found.end == "truncated"
    assert "does not say" in found.reason
    assert reader.told == {
        "'image' parts left out": 1,
        "with tokens without log-probabilities, left out": 1,
        "with tokens that do not tell their policy version, nor why they stopped": 1,
        "without an end": 1,
    }


def test_agents_that_were_called_are_episodes_and_copied_context_is_prompt(tmp_path: Path) -> None:
    copied = ATIF["steps"][1] | {"is_copied_context": True}
    steps = [ATIF["steps"][0], copied, ATIF["steps"][3]]
    child = ATIF | {"trajectory_id": "child"}
    (parent, called), _ = read(ATIF | {"steps": steps, "subagent_trajectories": [child]}, tmp_path)
    assert [message.role for message in parent.prompt] == ["user", "assistant", "tool", "user"]
    assert len(parent.steps) == 1
    assert (called.id, called.parent_id) == ("child", "s-1")


def test_what_stands_in_other_files_or_was_said_by_no_model_is_told(tmp_path: Path) -> None:
    away = {"subagent_trajectory_ref": [{"trajectory_path": "/else.json"}]}
    inside = {"subagent_trajectory_ref": [{"trajectory_id": "child"}]}
    step = {"source": "agent", "message": "", "llm_call_count": 0}
    steps = [ATIF["steps"][0], step | {"observation": {"results": [inside, away]}}]
    _, reader = read(ATIF | {"steps": steps, "continued_trajectory_ref": "b.json"}, tmp_path)
    assert reader.told == {
        "that go on in another file, which is not read": 1,
        "that called agents of another file, which is not read": 1,
        "with turns that no model said": 1,
        "without an end": 1,
    }
    _, reader = read(
        ATIF | {"steps": [step | {"llm_call_count": 1, "observation": {"results": [inside]}}]},
        tmp_path,
    )
    assert reader.told == {"without an end": 1}


def test_the_model_may_be_named_by_the_turns(tmp_path: Path) -> None:
    agent = {"name": "terminus", "version": "2"}
    (unnamed,), _ = read(ATIF | {"agent": agent}, tmp_path)
    steps = [
        step | {"model_name": "m-2"} if step["source"] == "agent" else step
        for step in ATIF["steps"]
    ]
    (named,), _ = read(ATIF | {"agent": agent, "steps": steps}, tmp_path)
    assert (unnamed.policy, named.policy) == ("terminus", "m-2")


@pytest.mark.parametrize(
    "change",
    [{"id": ""}, {"id": "x" * 2000}, {"prompt": -1}, {"end": "never"}],
    ids=lambda change: str(change)[:20],
)
def test_what_is_ours_is_read_as_carefully(tmp_path: Path, change: Any) -> None:
    document = to_atif(episode("a"))
    document["extra"]["agentgym"] |= change
    with pytest.raises(StoreError, match=next(iter(change))):
        read(document, tmp_path)
    document = to_atif(episode("a"))
    document["steps"][1]["extra"]["agentgym"]["versions"] = []
    with pytest.raises(StoreError, match="versions"):
        read(document, tmp_path)


@pytest.mark.parametrize(
    "panels",
    [
        3, [3], None, [{"kind": ["grid"]}], [{"kind": "grid"}], [{"kind": "grid", "rows": [1]}],
        [{"kind": "terminal", "text": ""}] * 9,
    ],
    ids=str,
)  # fmt: skip
def test_panels_of_a_file_are_read_as_carefully(tmp_path: Path, panels: Any) -> None:
    document = to_atif(episode("a"))
    document["steps"][1]["extra"]["agentgym"]["panels"] = panels
    with pytest.raises(StoreError, match=r"line 1: panels: .*expected panels"):
        read(document, tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 3}, "steps: expected a valid list, found 3"),
        (
            {"steps": [{"source": "robot", "message": ""}]},
            "steps.0.source: expected 'system', 'user'",
        ),
        ({"agent": None}, "agent: "),
        (
            {"steps": [{"source": "agent", "tool_calls": [{}]}]},
            "tool_calls.0.tool_call_id: expected it",
        ),
        ({"extra": {"agentgym": {"id": 1}}}, "task: expected it"),
        (
            {"steps": [{"source": "agent", "extra": {"agentgym": {"reward_terms": {"a": "x"}}}}]},
            "reward_terms.a: expected a valid number",
        ),
    ],
)
def test_what_is_broken_is_named_with_its_place(tmp_path: Path, change: Any, told: str) -> None:
    with pytest.raises(StoreError) as raised:
        read(ATIF | change, tmp_path)
    assert told in str(raised.value)
    assert str(tmp_path / "a, line 1") in str(raised.value)


@settings(max_examples=25)
@given(trajectories())
def test_an_episode_comes_back_as_it_was(episode: Trajectory) -> None:
    document = json.loads(json.dumps(to_atif(episode, prompts=True)))
    if not document["steps"]:
        return
    reader = AtifReader(Source(__file__))
    (found,) = reader.read(Value(document, "here", "here"))
    assert found == episode


@settings(max_examples=10)
@given(trajectories())
def test_without_the_prompts_all_but_the_segments_comes_back(episode: Trajectory) -> None:
    line = written(episode)
    if not line:
        return
    reader = AtifReader(Source(__file__))
    (found,) = reader.read(Value(json.loads(line), "here", "here"))
    assert found == replace(episode, segments=[])
    assert b"prompt_token_ids" not in line


def spoken(token: int, index: int, parent: int | None, reason: Any) -> Segment:
    return Segment(
        token_ids=[1, token, 9],
        sampled=[False, True, False],
        logprobs=[0.0, -0.5, 0.0],
        steps=[(index, 1, 2)],
        parent=parent,
        reason=reason,
    )


def branched() -> Trajectory:
    """Two branches of one beginning, each with tokens at its end that nobody answered."""
    steps = [
        Step(
            message=Message("assistant", "a"),
            completion=Completion(token_ids=(token,), logprobs=(-0.5,), finish_reason="stop"),
        )
        for token in (5, 6, 7)
    ]
    segments = [spoken(5, 0, None, "start"), spoken(6, 1, 0, "branch"), spoken(7, 2, 0, "branch")]
    unheard = Segment(token_ids=[3], sampled=[False], logprobs=[0.0], parent=1, reason="edit")
    return replace(episode("a"), steps=steps, segments=[*segments, unheard])


def test_branches_and_tokens_that_nobody_answered_come_back() -> None:
    (found,) = AtifReader(Source(__file__)).read(
        Value(json.loads(written(branched(), prompts=True)), "here", "here")
    )
    assert found == branched()


@pytest.mark.parametrize(
    "change", [{"turns": 2}, {"turns": 0}, {"parent": 0}, {"parent": -1}, None], ids=str
)
def test_streams_that_do_not_fit_the_tokens_are_left_as_these_are(change: Any) -> None:
    document = json.loads(written(branched(), prompts=True))
    streams = document["extra"]["agentgym"]["streams"]
    streams[0:1] = [streams[0] | change] if change else []
    (found,) = AtifReader(Source(__file__)).read(Value(document, "here", "here"))
    assert [segment.token_ids for segment in found.segments] == [[1, 5], [1, 6], [1, 7]]
    assert [(segment.parent, segment.reason) for segment in found.segments] == [
        (None, "start"),
        (0, "edit"),
        (1, "edit"),
    ]


def test_a_run_of_several_is_a_file_of_lines(tmp_path: Path) -> None:
    episodes = [episode(name) for name in ("a", "b")]
    path = tmp_path / "run.jsonl"
    path.write_bytes(written(*episodes))
    found = read_any(path)
    assert (found.format, found.how) == ("ATIF", "`schema_version` is ATIF-v1.8")
    assert list(found) == list(found) == episodes
    assert found.told == {"without a reward": 2, "without tokens": 2}


def test_what_programs_see_that_do_not_know_us() -> None:
    calls = (ToolCall("f", '{"x": 1}', "c"), ToolCall("g", "{broken", "d"))
    step = Step(
        message=Message("assistant", "I call.", calls),
        replies=(
            Message("tool", "3", tool_call_id="c"),
            Message("tool", "4", tool_call_id="elsewhere"),
            Message("user", "Go on."),
        ),
        usage={"prompt_tokens": 7.0, "cost": 0.5},
        completion=Completion(token_ids=(4, 5), logprobs=(-1.0, -2.0), finish_reason="stop"),
    )
    whole = replace(episode("a"), steps=[step], policy="m")
    document = to_atif(whole)
    assert document["schema_version"] == "ATIF-v1.8"
    assert (document["trajectory_id"], document["session_id"]) == ("a", "g")
    assert document["agent"]["model_name"] == "m"
    assert document["final_metrics"] == {"total_steps": 2, "total_completion_tokens": 2}
    asked, said = document["steps"]
    assert asked == {"step_id": 1, "source": "user", "message": "Hi."}
    assert (said["step_id"], said["source"], said["message"]) == (2, "agent", "I call.")
    first, broken = said["tool_calls"]
    assert first == {"tool_call_id": "c", "function_name": "f", "arguments": {"x": 1}}
    assert broken["arguments"] == {}
    assert broken["extra"] == {"agentgym": {"arguments": "{broken"}}
    results = said["observation"]["results"]
    assert results[0] == {"content": "3", "source_call_id": "c"}
    assert "source_call_id" not in results[1]
    assert results[2] == {"content": "Go on."}
    assert said["metrics"] == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "cost_usd": 0.5,
        "completion_token_ids": [4, 5],
        "logprobs": [-1.0, -2.0],
    }
    assert "streams" not in document["extra"]["agentgym"]


@pytest.mark.parametrize("change", [{"prompt": ()}, {"steps": []}])
def test_a_prompt_or_a_step_is_enough(change: Any) -> None:
    assert written(replace(episode("a"), **change))


def test_half_characters_become_replacement_characters() -> None:
    text = written(episode("a", said="\udc80")).decode()
    assert "\ufffd" in text


def episode(name: str, said: str = "Hello.") -> Trajectory:
    return Trajectory(
        id=name,
        task=Task("Hi.", env="e"),
        group_id="g",
        prompt=(Message("user", "Hi."),),
        steps=[Step(message=Message("assistant", said))],
        end="terminated",
    )


def test_an_episode_without_a_message_cannot_be_said() -> None:
    empty = replace(episode("a"), prompt=(), steps=[], segments=[Segment()])
    assert AtifWriter(io.BytesIO()).add(empty) == "without a message"


@settings(max_examples=25)
@given(trajectories())
def test_harbor_reads_what_is_written(episode: Trajectory) -> None:
    trajectory = pytest.importorskip(
        "harbor.models.trajectories.trajectory",
        reason="harbor is not installed: it needs Python 3.12",
    )
    line = written(episode, prompts=True)
    if not line:
        return
    read = trajectory.Trajectory.model_validate_json(line)
    assert read.to_json_dict() == json.loads(line)
