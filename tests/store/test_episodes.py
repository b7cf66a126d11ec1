import dataclasses
import json
import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from agentgym.errors import StoreError
from agentgym.store.address import address_of
from agentgym.store.episodes import (
    EpisodeWriter,
    find_episode,
    read_episode,
    read_episodes,
    read_heads,
)
from agentgym.store.trajectory import to_body
from agentgym.types import (
    Completion,
    Message,
    Segment,
    Step,
    Task,
    Timings,
    ToolCall,
    ToolSpec,
    Trajectory,
)

texts = st.text(st.characters(), max_size=12)  # every code point, lone surrogates and NUL too
names = st.text(st.characters(), min_size=1, max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(min_value=0, max_value=1e6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
keys = st.none() | texts
_TIMINGS = [each.name for each in dataclasses.fields(Timings)]
logprobs = st.floats(width=32, allow_nan=False, allow_infinity=False)
token_ids = st.integers(0, 2**31 - 1)

messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    texts,
    st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple),
    st.none() | texts,
)
tasks = st.builds(
    Task, texts, id=names, answer=json_values, payload=json_values, split=texts, env=texts
)


@st.composite
def completions(draw):
    sampled = draw(st.lists(st.tuples(token_ids, logprobs), max_size=4))
    return Completion(
        token_ids=tuple(each for each, _ in sampled),
        logprobs=tuple(each for _, each in sampled),
        finish_reason=draw(st.sampled_from(["stop", "length"])),
        versions=tuple(draw(st.lists(st.tuples(st.integers(), st.integers()), max_size=3))),
    )


steps = st.builds(
    Step,
    message=messages,
    replies=st.lists(messages, max_size=2).map(tuple),
    reward_terms=st.dictionaries(texts, st.floats(-1e100, 1e100), max_size=3),
    state_key=keys,
    next_state_key=keys,
    action_key=texts,
    completion=st.none() | completions(),
    agent=texts,
    timed_out=st.booleans(),
    timings=st.builds(Timings, **dict.fromkeys(_TIMINGS, seconds)),
)


@st.composite
def segments(draw, num_steps):
    """Any stream with any ranges: they need not fit the completions of the steps."""
    stream = draw(st.lists(st.tuples(token_ids, st.booleans(), logprobs), max_size=6))
    index = st.integers(-2, len(stream) + 2)
    return Segment(
        token_ids=[each for each, _, _ in stream],
        sampled=[each for _, each, _ in stream],
        logprobs=[each for _, _, each in stream],
        steps=draw(st.lists(st.tuples(st.integers(0, num_steps), index, index), max_size=3)),
        parent=draw(st.none() | st.integers(0, 5)),
        reason=draw(st.sampled_from(["start", "edit", "branch"])),
    )


@st.composite
def trajectories(draw):
    taken = draw(st.lists(steps, max_size=3))
    streams = draw(st.lists(segments(len(taken)), max_size=3))
    for number, step in enumerate(taken):
        if step.completion and streams and draw(st.booleans()):
            _sample_into(streams[draw(st.integers(0, len(streams) - 1))], number, step.completion)
    return Trajectory(
        id=draw(names),
        task=draw(tasks),
        group_id=draw(texts),
        member=draw(st.integers(0, 99)),
        attempt=draw(st.integers(0, 9)),
        seed=draw(st.integers(0, 2**63 - 1)),
        policy=draw(texts),
        parent_id=draw(keys),
        fork_step=draw(st.none() | st.integers(0, 9)),
        prompt=tuple(draw(st.lists(messages, max_size=2))),
        tools=tuple(
            draw(
                st.lists(
                    st.builds(ToolSpec, texts, texts, st.dictionaries(texts, json_values)),
                    max_size=2,
                )
            )
        ),
        steps=taken,
        segments=streams,
        drift=draw(st.integers(0, 5)),
        end=draw(st.sampled_from(["terminated", "truncated", "error"])),
        reason=draw(texts),
        seconds=draw(seconds),
    )


def _sample_into(segment: Segment, step: int, completion: Completion) -> None:
    first = len(segment.token_ids)
    segment.token_ids += completion.token_ids
    segment.sampled += [True] * len(completion.token_ids)
    segment.logprobs += completion.logprobs
    segment.steps.append((step, first, len(segment.token_ids)))


@settings(deadline=None)
@given(st.lists(trajectories(), min_size=1, max_size=3))
def test_any_trajectory_is_read_back_as_it_was(written):
    with tempfile.TemporaryDirectory() as folder:
        with EpisodeWriter(folder) as writer:
            for trajectory in written:
                writer.append(trajectory)
        read = list(read_episodes(folder))
        assert read == written
        heads = list(read_heads(folder))
        assert [read_episode(head) for head in heads] == written
        assert [head.id for head in heads] == [each.id for each in written]


def test_the_head_tells_what_a_list_shows(tmp_path, make_trajectory):
    trajectory = make_trajectory(5, turns=3, tokens=4)
    with EpisodeWriter(tmp_path) as writer:
        writer.append(trajectory)
    (head,) = read_heads(tmp_path)
    assert dataclasses.asdict(head) | {"frame": None} == {
        "id": "train-000001-005",
        "group_id": "train-000001-000",
        "member": 5,
        "attempt": 0,
        "task_id": trajectory.task.id,
        "env": "me/Key-v0",
        "split": "train",
        "end": "terminated",
        "reason": "found",
        "outcome": trajectory.outcome,
        "turns": 3,
        "tokens": 12,
        "version_min": 3,
        "version_max": 4,
        "parent_id": None,
        "fork_step": None,
        "frame": None,
    }


def test_tokens_of_a_completion_are_stored_once(tmp_path, make_trajectory):
    body, columns = to_body(make_trajectory(turns=2, tokens=4))
    assert set(columns) == {"token_ids", "sampled", "logprobs", "step_ranges"}
    assert [step["completion"]["tokens"] for step in body["steps"]] == [(0, 3, 7), (0, 10, 14)]


def test_a_completion_that_drifted_is_kept_as_it_was_sampled(tmp_path, make_trajectory):
    trajectory = make_trajectory()
    trajectory.segments[0].token_ids[4] += 1
    trajectory.drift = 1
    with EpisodeWriter(tmp_path) as writer:
        writer.append(trajectory)
    assert list(read_episodes(tmp_path)) == [trajectory]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_is_refused_by_name(tmp_path, make_trajectory, value):
    trajectory = make_trajectory()
    trajectory.steps[1].reward_terms["outcome"] = value
    with EpisodeWriter(tmp_path) as writer:
        with pytest.raises(StoreError, match=r"steps\[1\]\.reward_terms\.outcome is") as refused:
            writer.append(trajectory)
        assert str(refused.value).startswith(f"{address_of(tmp_path, trajectory.id)}: ")
        writer.append(make_trajectory(1))
    assert [each.id for each in read_episodes(tmp_path)] == ["train-000001-001"]


def test_a_logprob_that_is_not_finite_is_refused(tmp_path, make_trajectory):
    trajectory = make_trajectory()
    trajectory.segments[0].logprobs[3] = -math.inf
    with EpisodeWriter(tmp_path) as writer, pytest.raises(StoreError, match=r"logprobs\[3\]"):
        writer.append(trajectory)


def test_a_token_that_does_not_fit_is_refused(tmp_path, make_trajectory):
    trajectory = make_trajectory()
    trajectory.segments[0].token_ids[0] = 2**31
    with EpisodeWriter(tmp_path) as writer, pytest.raises(StoreError, match="token_ids are out"):
        writer.append(trajectory)


@pytest.mark.parametrize("payload", [{"a": {1, 2}}, object(), {"deep": [b"bytes"]}])
def test_a_payload_that_is_no_json_is_refused(tmp_path, make_trajectory, payload):
    trajectory = make_trajectory()
    trajectory.task = Task("x", id="x", payload=payload)
    with EpisodeWriter(tmp_path) as writer, pytest.raises(StoreError, match=r"task\.payload"):
        writer.append(trajectory)


def test_a_payload_that_contains_itself_is_refused(tmp_path, make_trajectory):
    payload = []
    payload.append(payload)
    trajectory = make_trajectory()
    trajectory.task = Task("x", id="x", payload=payload)
    with EpisodeWriter(tmp_path) as writer, pytest.raises(StoreError, match="cannot be stored"):
        writer.append(trajectory)


def test_an_episode_is_found_by_a_unique_beginning(tmp_path, make_trajectory):
    with EpisodeWriter(tmp_path) as writer:
        for number in (1, 10, 12):
            writer.append(make_trajectory(number))
    assert find_episode(tmp_path, "train-000001-00").member == 1
    assert find_episode(tmp_path, "train-000001-012").member == 12
    with pytest.raises(StoreError, match=r"2 episodes .* begin with") as several:
        find_episode(tmp_path, "train-000001-01")
    assert "train-000001-010" in several.value.hint
    with pytest.raises(StoreError, match="no episode") as none:
        find_episode(tmp_path, "tain-000001-012")
    assert none.value.hint == "did you mean 'train-000001-012'?"


def test_a_run_without_episodes_is_empty_and_no_run_is_an_error(tmp_path):
    assert list(read_episodes(tmp_path)) == []
    with pytest.raises(StoreError, match="no episode"):
        find_episode(tmp_path, "x")
    with pytest.raises(StoreError, match="no run directory"):
        list(read_heads(tmp_path / "absent"))


def test_writers_side_by_side_do_not_mix(tmp_path, make_trajectory):
    with EpisodeWriter(tmp_path, writer="a") as one, EpisodeWriter(tmp_path, writer="a") as two:
        for number in range(6):
            (one if number % 2 else two).append(make_trajectory(number))
    assert sorted(each.name for each in (tmp_path / "episodes").iterdir()) == [
        "a-00001.jsonl.zst",
        "a-00002.jsonl.zst",
    ]
    assert [each.member for each in read_episodes(tmp_path)] == [0, 2, 4, 1, 3, 5]


@pytest.mark.skipif(
    not (shutil.which("zstd") and shutil.which("jq")), reason="zstd and jq are not installed"
)
def test_zstd_and_jq_read_a_shard(tmp_path, make_trajectory):
    odd = make_trajectory(1)
    odd.steps[0].message = Message("assistant", "é 漢 \0 \u2028 \ud800 \ud83d\ude00 \U0001f600")
    with EpisodeWriter(tmp_path) as writer:
        for trajectory in (make_trajectory(0), odd, make_trajectory(2)):
            writer.append(trajectory)
    (shard,) = (tmp_path / "episodes").iterdir()
    done = _jq(shard, "[.schema, .id, .outcome, (.steps|length)]")
    assert done[0][0] == "agentgym.episodes/1"
    assert [line[1] for line in done[1:]] == [f"train-000001-{n:03d}" for n in range(3)]
    assert done[1][2:] == [2 / 3, 2]


def _jq(shard: Path, program: str) -> list[list]:
    text = subprocess.run(["zstd", "-dc", shard], capture_output=True, check=True).stdout
    out = subprocess.run(["jq", "-c", program], input=text, capture_output=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("said", ["NaN", "-Infinity", "I saw NaN and Infinity"])
def test_texts_that_look_like_numbers_json_lacks_are_kept(tmp_path, make_trajectory, said):
    written = make_trajectory()
    written.steps[0].message = Message("assistant", said)
    with EpisodeWriter(tmp_path) as writer:
        writer.append(written)
    assert list(read_episodes(tmp_path)) == [written]
