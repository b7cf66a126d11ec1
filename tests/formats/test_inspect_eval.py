import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from foreign import EVAL, EVENT, SAMPLE

from agentgym.errors import ConfigError, StoreError
from agentgym.formats.imported import read_any
from agentgym.types import OUTCOME, Message

FILES = Path(__file__).parent / "files"
QUESTION = "What is 1 + 1? " + "x" * 300  # so long that it stands apart, as an attachment


@pytest.mark.parametrize("name", ["inspect.eval", "inspect-chunked.eval"])
def test_logs_of_inspect_are_read_whole_and_in_chunks(name: str) -> None:
    found = read_any(FILES / name)
    assert found.format == "inspect"
    episodes = {(each.group_id, each.member): each for each in found}
    assert set(episodes) == {("one/1", 0), ("one/1", 1), ("7", 0), ("7", 1)}
    first = episodes["one/1", 0]
    assert first.prompt == (Message("system", "Be brief."), Message("user", QUESTION))
    call, answer = first.steps
    assert call.message.tool_calls[0].name == "add"
    assert json.loads(call.message.tool_calls[0].arguments) == {"x": 1, "y": 1}
    assert call.replies[0].content == "2"
    assert call.replies[0].tool_call_id == call.message.tool_calls[0].id
    assert answer.message.content == "2"
    assert (first.task.env, first.task.answer, first.policy) == ("sums", "2", "mockllm/model")
    assert (first.end, first.outcome, first.seconds > 0) == ("terminated", 1.0, True)
    assert [tool.name for tool in first.tools] == ["add"]
    assert first.tools[0].parameters["required"] == ["x", "y"]
    assert set(call.usage) == {"prompt_tokens", "completion_tokens"}
    assert call.usage["prompt_tokens"] > 10
    assert 0 < call.timings.started_s <= answer.timings.started_s < first.seconds
    assert call.timings.generate_s > 0
    assert episodes["7", 0].outcome == 0.0
    assert found.told == {"without tokens": 4}


def archive(path: Path, *samples: Any, **members: Any) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("_journal/start.json", json.dumps(EVAL))
        for number, sample in enumerate(samples):
            file.writestr(f"samples/{number}_epoch_1.json", json.dumps(sample))
        for name, value in members.items():
            file.writestr(name.replace("__", "/"), json.dumps(value))
    return path


def test_attachments_and_reasoning_are_put_back(tmp_path: Path) -> None:
    (found,) = read_any(archive(tmp_path / "a", SAMPLE))
    assert [m.content for m in found.messages] == ["Really?", "<think>\nHm.\n</think>\n\nYes"]
    assert found.id == "1-1"


def test_what_a_tool_could_not_do_is_what_the_model_was_told(tmp_path: Path) -> None:
    fault = {"type": "timeout", "message": "It took too long."}
    told = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": "f"}]},
        {"role": "tool", "content": "", "tool_call_id": "c", "error": fault},
        {"role": "tool", "content": "half", "tool_call_id": "c", "error": fault},
    ]
    (found,) = read_any(archive(tmp_path / "a", SAMPLE | {"messages": told}))
    said = [reply.content for reply in found.steps[0].replies]
    assert said == ["Error: It took too long.", "half\n\nError: It took too long."]


def test_what_stood_in_the_input_the_model_did_not_say(tmp_path: Path) -> None:
    shown = [
        {"role": "user", "content": "1 + 1?", "source": "input"},
        {"role": "assistant", "content": "2", "source": "input"},
        {"role": "user", "content": "2 + 2?", "source": "input"},
        {"role": "assistant", "content": "4", "source": "generate"},
    ]
    (found,) = read_any(archive(tmp_path / "a", SAMPLE | {"messages": shown}))
    assert [message.content for message in found.prompt] == ["1 + 1?", "2", "2 + 2?"]
    assert [step.message.content for step in found.steps] == ["4"]
    assert found.task.prompt == "2 + 2?"


def test_the_task_keeps_what_it_was_made_of(tmp_path: Path) -> None:
    about = {"input": "attachment://ab12", "choices": ["a", "b"], "metadata": {"level": 3}}
    (found,) = read_any(archive(tmp_path / "a", SAMPLE | about))
    assert found.task.prompt == "Really?"
    assert found.task.payload == {"choices": ["a", "b"], "metadata": {"level": 3}}


def test_events_tell_of_tools_times_and_usage(tmp_path: Path) -> None:
    messages = [SAMPLE["messages"][0], SAMPLE["messages"][1] | {"id": "m-1"}]
    events = [{"event": "info"}, 3, EVENT | {"timestamp": "never"}, EVENT]
    sample = {"messages": messages, "events": events, "started_at": "2026-01-01T00:00:00+00:00"}
    found = read_any(archive(tmp_path / "a", SAMPLE | sample))
    (episode,) = found
    (step,) = episode.steps
    assert step.usage == {"prompt_tokens": 13.0, "completion_tokens": 5.0, "cost": 0.25}
    assert (step.timings.generate_s, step.timings.started_s) == (0.5, 2.0)
    assert [(tool.name, tool.description) for tool in episode.tools] == [("f", "Really?")]
    assert found.told["requests in events that cannot be read"] == 1


def test_attachments_are_put_back_only_so_often(tmp_path: Path, monkeypatch) -> None:
    many = [{"role": "user", "content": "attachment://ab12 " * 200}]
    path = archive(tmp_path / "a", SAMPLE | {"messages": many})
    assert len(list(read_any(path))) == 1
    monkeypatch.setattr("agentgym.formats.source.LIMIT", 3000)
    path = archive(tmp_path / "a", SAMPLE | {"messages": [many[0] | {"content": "x"}]})
    assert len(list(read_any(path))) == 1
    texts = {"ab12": "y" * 400}
    path = archive(
        tmp_path / "a",
        SAMPLE
        | {
            "attachments": texts,
            "messages": [{"role": "user", "content": "attachment://ab12 " * 9}],
        },
    )
    with pytest.raises(StoreError, match="put in more often"):
        list(read_any(path))


def test_a_sample_that_was_written_again_is_read_once(tmp_path: Path) -> None:
    path = archive(tmp_path / "a", SAMPLE)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("samples/0_epoch_1.json", json.dumps(SAMPLE | {"target": "new"}))
    assert [each.task.answer for each in read_any(path)] == ["new"]


@pytest.mark.parametrize(
    ("change", "end", "reason"),
    [
        ({"error": {"message": "boom"}}, "error", "boom"),
        ({"limit": {"type": "token", "limit": 5}}, "truncated", "token limit"),
        ({}, "terminated", "completed"),
    ],
)
def test_how_a_sample_ended(tmp_path: Path, change: Any, end: str, reason: str) -> None:
    (found,) = read_any(archive(tmp_path / "a", SAMPLE | change))
    assert (found.end, found.reason) == (end, reason)


@pytest.mark.parametrize(
    ("scores", "terms", "told"),
    [
        ({"match": {"value": "C"}}, {OUTCOME: 1.0}, set()),
        (
            {"match": {"value": True}, "cost": {"value": 3}},
            {"match": 1.0, "cost": 3.0},
            {"several"},
        ),
        ({"match": {"value": "fine"}}, {}, {"no number", "without a reward"}),
        ({"match": {"value": "P"}}, {OUTCOME: 0.5}, set()),
        ({"match": {"value": "Yes"}}, {OUTCOME: 1.0}, set()),
        ({"match": {"value": "false"}}, {OUTCOME: 0.0}, set()),
        ({"match": {"value": "-0.25e1"}}, {OUTCOME: -2.5}, set()),
        ({"match": {"value": "1e999"}}, {}, {"no number", "without a reward"}),
        ({"match": {"value": "nan"}}, {}, {"no number", "without a reward"}),
        ({"match": {"value": 10**400}}, {}, {"no number", "without a reward"}),
        ({"match": {"value": [1]}}, {}, {"no number", "without a reward"}),
        (
            {"grader": {"value": {"tone": "C", "facts": 0.5}}},
            {"grader/tone": 1.0, "grader/facts": 0.5},
            {"several"},
        ),
        (
            {"match": {"value": 1}, "words": {"value": "fine"}},
            {"match": 1.0},
            {"several", "no number"},
        ),
        ({"match": {"value": None}}, {}, {"no number", "without a reward"}),
        (None, {}, {"without a reward"}),
    ],
)
def test_scores_are_rewards_only_where_they_are_numbers(
    tmp_path: Path, scores: Any, terms: Any, told: set[str]
) -> None:
    found = read_any(archive(tmp_path / "a", SAMPLE | {"scores": scores}))
    (episode,) = found
    assert episode.steps[-1].reward_terms == terms
    for word in told | {"without tokens"}:
        assert any(word in each for each in found.told)
    assert len(found.told) == len(told) + 1


def test_a_json_log_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps(EVAL | {"samples": [SAMPLE]}, indent=1))
    assert list(read_any(path)) == list(read_any(archive(tmp_path / "a", SAMPLE)))


def test_what_is_broken_is_left_out_and_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a", SAMPLE, {"id": []}, 3, SAMPLE | {"id": 2})
    with pytest.raises(StoreError, match=r"samples/1_epoch_1.json.*: id"):
        list(read_any(path))
    broken: list[StoreError] = []
    assert [each.task.id for each in read_any(path, on_broken=broken.append)] == ["1", "2"]
    assert len(broken) == 2


@pytest.mark.parametrize("refs", [[[0, 10**12]], [[0, 1], [0, 1]], [[-5, -1]], "x", None])
def test_ranges_of_chunks_lead_nowhere_else(tmp_path: Path, refs: Any) -> None:
    shell = {"id": 1, "epoch": 1, "message_refs": refs}
    path = archive(
        tmp_path / "a",
        samples__1_epoch_1__sample=shell,
    )
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("samples/1_epoch_1/sample.json", json.dumps(shell))
        file.writestr("samples/1_epoch_1/messages/0.json", json.dumps(SAMPLE["messages"][:1]))
    broken: list[StoreError] = []
    found = list(read_any(path, on_broken=broken.append))
    assert len(found) + len(broken) == 1
    assert all(len(list(each.messages)) <= 1 for each in found)


def test_a_sample_in_chunks_is_read_without_its_events_where_these_are_broken(
    tmp_path: Path,
) -> None:
    path = archive(tmp_path / "a")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(
            "samples/1_epoch_1/sample.json", json.dumps({"id": 1, "message_refs": [[0, 2]]})
        )
        file.writestr("samples/1_epoch_1/messages/0.json", json.dumps(SAMPLE["messages"]))
        file.writestr("samples/1_epoch_1/events/0.json", "{broken")
        file.writestr("samples/1_epoch_1/events/stats.json", "3")
    broken: list[StoreError] = []
    (found,) = read_any(path, on_broken=broken.append)
    assert (len(found.steps), len(broken)) == (1, 1)
    assert "events/0.json" in str(broken[0])
    with pytest.raises(StoreError, match="expected JSON"):
        list(read_any(path))


def test_chunks_have_a_limit_together(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("agentgym.formats.source.LIMIT", 1000)
    path = tmp_path / "a"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("header.json", json.dumps(EVAL))
        file.writestr("samples/1_epoch_1/sample.json", json.dumps({"id": 1, "message_refs": []}))
        for first in range(3):
            said = [{"role": "user", "content": "x" * 400}]
            file.writestr(f"samples/1_epoch_1/messages/{first}.json", json.dumps(said))
    with pytest.raises(StoreError, match="'samples/1_epoch_1/messages/' has more than 1000 bytes"):
        list(read_any(path))


def test_damaged_archives_are_told(tmp_path: Path) -> None:
    whole = (FILES / "inspect.eval").read_bytes()
    path = tmp_path / "a.eval"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="a broken archive"):
        read_any(path)
    path.write_bytes(whole.replace(b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfe"))
    with pytest.raises(StoreError, match="cannot be read"):
        list(read_any(path))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "")
    with pytest.raises(ConfigError, match="an archive without samples"):
        read_any(path)


def test_a_member_that_is_too_large_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "a", SAMPLE)
    monkeypatch.setattr("agentgym.formats.source.LIMIT", 100)
    with pytest.raises(StoreError, match="at most 100 are read at once"):
        list(read_any(path))


def test_inspect_itself_reads_the_same() -> None:
    log = pytest.importorskip("inspect_ai.log", reason="inspect-ai is not installed")
    path = FILES / "inspect.eval"
    samples = log.read_eval_log(str(path), resolve_attachments="full").samples
    theirs = {(str(each.id), each.epoch): each for each in samples}
    for ours in read_any(path):
        sample = theirs.pop((ours.group_id, ours.member + 1))
        assert [m.content for m in ours.messages] == [m.text for m in sample.messages]
        assert ours.id == sample.uuid
    assert not theirs
