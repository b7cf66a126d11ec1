import io
import json

import pytest
from drawn_episodes import trajectories
from hypothesis import given, settings, strategies as st

from agentgym.errors import MissingError
from agentgym.formats.parquet import ParquetWriter
from agentgym.types import OUTCOME, Message, Trajectory

try:
    import pyarrow.parquet
except ImportError:
    pyarrow = None


@pytest.mark.skipif(pyarrow is None, reason="pyarrow is not installed")
@settings(max_examples=15)
@given(st.lists(trajectories(), max_size=3))
def test_a_row_holds_an_episode(episodes: list[Trajectory]) -> None:
    file = io.BytesIO()
    writer = ParquetWriter(file)
    assert [writer.add(each) for each in episodes] == [None] * len(episodes)
    writer.finish()
    rows = pyarrow.parquet.read_table(io.BytesIO(file.getvalue())).to_pylist()
    assert len(rows) == len(episodes)
    for row, episode in zip(rows, episodes, strict=True):
        for name in (
            *("id", "group_id", "member", "attempt", "seed", "policy"),
            *("parent_id", "fork_step", "end", "reason", "seconds"),
        ):
            assert row[name] == getattr(episode, name)
        assert row["prompt_messages"] == len(episode.prompt)
        assert json.loads(row["tools"]) == [tool.to_openai() for tool in episode.tools]
        messages = [Message.from_openai(message) for message in row["messages"]]
        assert messages == list(episode.messages)
        assert json.loads(row["task"])["payload"] == episode.task.payload
        known = any(OUTCOME in step.reward_terms for step in episode.steps)
        assert row["outcome"] == (episode.outcome if known else None)
        for stored, step in zip(row["steps"], episode.steps, strict=True):
            assert dict(stored["reward_terms"]) == step.reward_terms
            assert stored["state_key"] == step.state_key
            assert dict(stored["usage"]) == step.usage
            for name in ("next_state_key", "action_key", "timed_out"):
                assert stored[name] == getattr(step, name)
            for name in ("generate_s", "env_s", "started_s"):
                assert stored[name] == getattr(step.timings, name)
            done = step.completion
            assert stored["replies"] == len(step.replies)
            assert stored["finish_reason"] == (done and done.finish_reason)
            assert stored["version"] == (done and done.versions[0][1])
            assert stored["logprobs"] == (done and list(done.logprobs))
            sampled = step.completion and list(step.completion.token_ids)
            assert stored["token_ids"] == sampled


@pytest.mark.skipif(pyarrow is None, reason="pyarrow is not installed")
def test_many_episodes_are_written_as_they_come(make_episode) -> None:
    file = io.BytesIO()
    writer = ParquetWriter(file)
    for _ in range(65):
        writer.add(make_episode())
    assert len(file.getvalue()) > 500
    writer.finish()
    assert pyarrow.parquet.ParquetFile(io.BytesIO(file.getvalue())).metadata.num_row_groups == 2


@pytest.mark.skipif(pyarrow is None, reason="pyarrow is not installed")
def test_long_episodes_are_written_sooner(make_episode, monkeypatch) -> None:
    monkeypatch.setattr("agentgym.formats.parquet._BYTES", 250)
    file = io.BytesIO()
    writer = ParquetWriter(file)
    for _ in range(4):
        writer.add(make_episode(prompt=(Message("user", "x" * 150),)))
    writer.finish()
    assert pyarrow.parquet.ParquetFile(io.BytesIO(file.getvalue())).metadata.num_row_groups == 2


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingError) as raised:
        ParquetWriter(io.BytesIO())
    assert "agentgym-framework[parquet]" in str(raised.value.hint)
