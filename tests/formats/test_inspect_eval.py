import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from foreign import EVAL, SAMPLE

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
