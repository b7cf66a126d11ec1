import json
from pathlib import Path
from typing import Any

import pytest

from agentgym.errors import StoreError
from agentgym.formats.imported import read_any
from agentgym.store.frames import OnBroken
from agentgym.types import Message, ToolCall, Trajectory

FILES = Path(__file__).parent / "files"


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FILES / "verifiers.jsonl").read_text().splitlines()]


def read(tmp_path: Path, *records: Any, on_broken: OnBroken | None = None) -> list[Trajectory]:
    path = tmp_path / "00000"
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return list(read_any(path, on_broken=on_broken))


def test_a_trace_keeps_messages_tokens_rewards_and_times() -> None:
    found = read_any(FILES / "verifiers.jsonl")
    first = next(iter(found))
    assert found.format == "verifiers"
    assert (first.id, first.group_id, first.task.id, first.task.env) == (
        "trace-0",
        "g-0",
        "sum-0",
        "sums",
    )
    assert first.task.payload["answer"] == "2"
    assert first.prompt == (Message("system", "Be brief."), Message("user", "Add 1 and 1."))
    call, answer = first.steps
    assert call.message == Message(
        "assistant",
        "<think>\nI add.\n</think>\n\n",
        (ToolCall("add", '{"x": 1, "y": 1}', id="c1"),),
    )
    assert call.replies == (Message("tool", "2", tool_call_id="c1"),)
    assert call.completion is not None
    assert (call.completion.token_ids, call.completion.logprobs) == ((6, 7), (-0.5, -0.25))
    assert (call.completion.finish_reason, call.completion.versions) == ("stop", ((0, 2),))
    assert answer.completion is not None
    assert answer.completion.finish_reason == "length"
    assert call.usage == {"prompt_tokens": 4.0, "completion_tokens": 2.0}
    assert (call.timings.generate_s, call.timings.started_s, first.seconds) == (1.5, 0.5, 2.5)
    assert answer.reward_terms == {"turns": 2.0, "correct": 1.0, "style": 1.0, "outcome": 0.75}
    assert [tool.name for tool in first.tools] == ["add"]


def test_a_rewritten_context_is_a_segment_that_branched() -> None:
    branched = list(read_any(FILES / "verifiers.jsonl"))[1]
    first, second = branched.segments
    assert first.token_ids == list(range(1, 12))
    assert [first.token_ids[a:b] for _, a, b in first.steps] == [[6, 7], [11]]
    assert [second.token_ids, second.steps] == [[1, 2, 12, 13, 14], [(2, 4, 5)]]
    assert (second.parent, second.reason) == (0, "branch")
    assert [message.content for message in branched.messages][-2:] == [
        "Summary: 1 + 1 = 2. Say it.",
        "2",
    ]
    for segment in branched.segments:
        marked = [i for i, flag in enumerate(segment.sampled) if flag]
        assert marked == [i for _, a, b in segment.steps for i in range(a, b)]


def test_what_was_not_scored_or_has_no_tokens_is_told() -> None:
    found = read_any(FILES / "verifiers.jsonl")
    episodes = list(found)
    assert [each.member for each in episodes] == [0, 1, 2, 3]
    fault, relayed = episodes[2], episodes[3]
    assert (fault.end, fault.reason) == ("error", "ToolError: gone")
    assert not any(step.reward_terms for step in fault.steps)
    assert relayed.num_sampled == 0
    assert found.told["without a reward"] == found.told["without tokens"] == 1
    assert found.told["with a reward that was not computed"] == 1
    assert found.told["'image_url' parts left out"] == 4


def test_agents_of_one_episode_are_groups_of_their_own(tmp_path: Path) -> None:
    record = lines()[0]
    other = record["traces"][0] | {"id": "judge-0", "agent": {"name": "judge"}}
    found = read(tmp_path, record | {"traces": [record["traces"][0], other]}, lines()[1])
    assert [(each.group_id, each.member) for each in found] == [
        ("g-0", 0),
        ("g-0/judge", 0),
        ("g-0", 1),
    ]


def test_a_trace_by_itself_is_read_too(tmp_path: Path) -> None:
    (found,) = read(tmp_path, lines()[0]["traces"][0])
    assert (found.id, found.group_id) == ("trace-0", "sum-0")


def changed(**fields: Any) -> dict[str, Any]:
    record = lines()[0]
    record["traces"][0]["nodes"][2] |= fields
    return record


def test_tokens_of_the_template_may_follow_those_that_were_sampled(tmp_path: Path) -> None:
    tokens = {"token_ids": [5, 6, 7], "mask": [False, True, False], "logprobs": [-0.5]}
    first, *_ = read(tmp_path, changed(**tokens))
    assert first.steps[0].completion is not None
    assert first.steps[0].completion.token_ids == (6,)
    (segment,) = first.segments
    assert segment.steps[0] == (0, 5, 6)
    assert segment.token_ids[4:7] == [5, 6, 7]
    assert segment.sampled[4:7] == [False, True, False]
    assert segment.logprobs[4:7] == [0.0, -0.5, 0.0]


def test_what_came_out_of_a_cache_was_shown_too(tmp_path: Path) -> None:
    record = lines()[0]
    record["traces"][0]["calls"][0]["usage"]["cached_input_tokens"] = 10
    (found,) = read(tmp_path, record)
    assert found.steps[0].usage == {"prompt_tokens": 14.0, "completion_tokens": 2.0}


@pytest.mark.parametrize(
    ("changes", "end", "reason"),
    [
        ({"stop_condition": "agent_completed", "calls": []}, "terminated", "agent_completed"),
        ({"stop_condition": "agent_completed"}, "truncated", "agent_completed"),  # by length
        ({"stop_condition": "max_turns", "calls": []}, "truncated", "max_turns"),
        ({"stop_condition": "compaction_failed", "calls": []}, "truncated", "compaction_failed"),
        ({"stop_condition": "harness_timeout", "calls": []}, "truncated", "harness_timeout"),
        ({"stop_condition": "sandbox_error", "calls": []}, "error", "sandbox_error"),
        ({"stop_condition": None, "calls": []}, "terminated", ""),
        (
            {"stop_condition": None, "ok": None, "calls": []},
            "truncated",
            "the file does not say how it ended",
        ),
    ],
)
def test_how_a_trace_ended(tmp_path: Path, changes: Any, end: str, reason: str) -> None:
    record = lines()[0]
    record["traces"][0] |= changes
    (found,) = read(tmp_path, record)
    assert (found.end, found.reason) == (end, reason)


def test_branches_are_laid_out_only_as_far_as_there_is_room(tmp_path: Path, monkeypatch) -> None:
    node = lines()[0]["traces"][0]["nodes"][0]
    long = node | {"token_ids": [1] * 1000, "mask": [False] * 1000}
    record = lines()[0]
    record["traces"][0]["nodes"] = [long, *([node | {"parent": 0}] * 50)]
    (found,) = read(tmp_path, record)
    assert len(found.segments) == 50
    monkeypatch.setattr("agentgym.formats.verifiers._TOKENS", 10_000)
    with pytest.raises(StoreError, match="line 1: its branches have more than 10000 tokens"):
        read(tmp_path, record)


@pytest.mark.parametrize(
    "fields",
    [
        {"mask": [True]},
        {"mask": [True, False, True]},
        {"logprobs": []},
        {"sampled": False},
    ],
)
def test_tokens_that_do_not_fit_are_left_out_and_told(tmp_path: Path, fields: Any) -> None:
    path = tmp_path / "t"
    path.write_text(json.dumps(changed(**fields)))
    found = read_any(path)
    (episode,) = found
    assert episode.num_sampled == 0
    assert episode.segments == []
    assert found.told["with tokens without mask or log-probabilities, left out"] == 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"parent": 2}, "nodes.2.parent: expected an earlier node, found 2"),
        ({"parent": -1}, "nodes.2.parent: expected an earlier node"),
        ({"message": {"role": "root", "content": ""}}, "nodes.2.message.role"),
        ({"token_ids": ["a"]}, "nodes.2.token_ids.0: expected a valid integer"),
        ({"logprobs": [1e400, 0]}, "nodes.2.logprobs.0"),
    ],
)
def test_graphs_that_cannot_be_are_refused(tmp_path: Path, fields: Any, told: str) -> None:
    with pytest.raises(StoreError) as raised:
        read(tmp_path, lines()[1], changed(**fields))
    assert told in str(raised.value)
    assert "line 2" in str(raised.value)
    broken: list[StoreError] = []
    assert len(read(tmp_path, lines()[1], changed(**fields), on_broken=broken.append)) == 1
    assert len(broken) == 1


def test_verifiers_itself_reads_the_same() -> None:
    episode = pytest.importorskip("verifiers.v1.episode", reason="verifiers is not installed")
    theirs = [episode.WireEpisode.model_validate(each).traces[0] for each in lines()]
    for ours, trace in zip(read_any(FILES / "verifiers.jsonl"), theirs, strict=True):
        assert [s.token_ids for s in ours.segments] == [
            branch.token_ids for branch in trace.branches if branch.token_ids
        ]
        assert ours.outcome == trace.reward
        assert len(ours.steps) == trace.num_turns
        assert ours.end == "error" or (ours.end == "truncated") == trace.is_truncated
