"""One episode: its messages, what was made of its steps, its tokens as bytes and as text."""

import json
import shutil
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from trained_run import make_episode, make_trained_run

from agentgym.errors import ConfigError, StoreError
from agentgym.store.episodes import EpisodeWriter, read_episodes
from agentgym.store.notes import NoteWriter
from agentgym.trainers.recompute import read_updates
from agentgym.types import Completion, Message, Segment, Step, Task, Trajectory
from agentgym.viewer.columns import (
    OF_TOKENS,
    encode,
    read_columns,
    segment_ids,
    segment_lengths,
)
from agentgym.viewer.episode import LONGEST, show_episode, show_tags
from agentgym.viewer.noted import read_noted
from agentgym.viewer.pieces import Pieces, TokenizerError, open_pieces
from agentgym.viewer.runs import OpenRun

SAID = ("message", "replies", "state", "action", "next_state")


def shown(run: OpenRun, name: str) -> dict:
    return show_episode(run.index, run.scenes, run.index.head(name)).to_json()


def columns(run: OpenRun, name: str, *names: str, segment: int = 0) -> dict[str, np.ndarray]:
    return decode(read_columns(run.index, run.index.head(name), name, names, segment))


def decode(data: bytes) -> dict[str, np.ndarray]:
    """Read the bytes as the browser does."""
    (length,) = struct.unpack_from("<I", data)
    start = 4 + length
    assert start % 8 == 0
    found = {}
    for entry in json.loads(data[4:start])["columns"]:
        assert entry["offset"] % 8 == 0
        (count,) = entry["shape"]
        dtype = f"<{entry['dtype']}"
        found[entry["name"]] = np.frombuffer(data, dtype, count, start + entry["offset"])
    return found


def test_it_says_what_the_record_says(trained, open_runs) -> None:
    (run,) = open_runs(trained)
    for episode in read_episodes(trained):
        found = shown(run, episode.id)
        assert found["id"] == episode.id
        assert found["group"] == episode.group_id
        assert (found["end"], found["reason"]) == (episode.end, episode.reason)
        assert found["outcome"] == episode.outcome
        assert found["prompt"] == [message.to_openai() for message in episode.prompt]
        assert [each["length"] for each in found["segments"]] == [
            len(each.token_ids) for each in episode.segments
        ]
        for step, told in zip(episode.steps, found["steps"], strict=True):
            assert told["message"] == step.message.to_openai()
            assert told["replies"] == [reply.to_openai() for reply in step.replies]
            assert told["reward_terms"] == step.reward_terms
            assert (told["state"], told["next_state"]) == (step.state_key, step.next_state_key)
            assert told["action"] == step.action_key
            first, stop = told["tokens"]
            ids = episode.segments[told["segment"]].token_ids[first:stop]
            assert tuple(ids) == step.completion.token_ids
            assert told["versions"] == [list(pair) for pair in step.completion.versions]


@pytest.mark.parametrize("credit", ["gigpo", "empg", "reinforce_pp"])
def test_credit_is_that_of_the_update(tmp_path, open_runs, credit) -> None:
    root = Path(make_trained_run(tmp_path / "run", f"credit.name={credit}"))
    (run,) = open_runs(root)
    is_of_tokens = credit == "reinforce_pp"
    for update in read_updates(root):
        table = update.table
        for place, trajectory in enumerate(update.trajectories):
            steps = slice(table.step_start[place], table.step_start[place + 1])
            tokens = slice(table.token_start[steps.start], table.token_start[steps.stop])
            found = shown(run, trajectory.id)
            assert found["update"]["step"] == update.number
            assert found["update"]["version"] == update.version
            rewards = [step["reward"] for step in found["steps"]]
            assert rewards == update.rewards[steps].tolist()
            for step in found["steps"]:
                assert sum(step["shaped"].values()) == pytest.approx(step["reward"])
            got = columns(run, trajectory.id, *OF_TOKENS)
            weights = update.columns["weights"][tokens]
            assert got["weight"].tobytes() == weights.tobytes()
            assert got["cause"].tolist() == update.columns["cause"][tokens].tolist()
            logprobs = update.columns["logprobs"][tokens]
            assert got["trainer_logprobs"].tobytes() == logprobs.tobytes()
            spread = update.advantages
            if not is_of_tokens:
                spread = np.repeat(spread, np.diff(table.token_start))
                advantages = [step["advantage"] for step in found["steps"]]
                assert advantages == update.advantages[steps].tolist()
            assert got["advantage"].tolist() == spread[tokens].tolist()


def test_what_was_not_trained_on_has_no_credit(trained, open_runs) -> None:
    (run,) = open_runs(trained)
    found = shown(run, "train-000000-000.0.0x")
    assert found["update"] is None
    assert {step["advantage"] for step in found["steps"]} == {None}
    assert columns(run, "train-000000-000.0.0x", "advantage", "weight", "credit:salt") == {}
    assert list(columns(run, "train-000000-000.0.0x", "sampled", "weight")) == ["sampled"]


def test_a_note_of_another_episode_is_told_and_the_episode_is_shown(
    trained, tmp_path, open_runs
) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    name = "train-000001-000.1.0"
    with NoteWriter(root, producer="trainer") as notes:
        made = {"step": 1, "version": 1, "trajectories": [name]}
        starts = {"step_start": np.array([0, 9]), "token_start": np.arange(10)}
        notes.append("update", made, starts | {"rewards": np.zeros(9), "advantages": np.zeros(9)})
        made = made | {"step": 2, "trajectories": ["train-000002-000.1.0"]}
        notes.append("update", made, starts | {"rewards": np.zeros(9), "advantages": np.zeros(4)})
    (run,) = open_runs(root)
    found = shown(run, name)
    assert "used 9 steps of this episode" in found["trouble"]
    assert found["update"] is None
    assert "has 4 values" in shown(run, "train-000002-000.1.0")["trouble"]


def test_columns_of_segments_are_those_of_the_record(tmp_path, open_runs) -> None:
    chance = np.random.default_rng(1)
    made = make_episode(chance, 0, 0, 0)
    second = Segment(
        token_ids=[7, 8, 9], sampled=[False, True, False], logprobs=[0.0, -1.5, 0.0], parent=0
    )
    made = replace(made, segments=[*made.segments, second])
    with EpisodeWriter(tmp_path / "run") as writer:
        writer.append(made)
    (run,) = open_runs(tmp_path / "run")
    for number, segment in enumerate(made.segments):
        got = columns(run, made.id, "token_ids", "sampled", "logprobs", segment=number)
        assert got["token_ids"].tolist() == segment.token_ids
        assert got["sampled"].tolist() == segment.sampled
        assert got["logprobs"].tolist() == segment.logprobs
    for wrong in (2, -1, 10**12):
        with pytest.raises(ConfigError, match="this episode has 2"):
            columns(run, made.id, "token_ids", segment=wrong)


@pytest.mark.parametrize("names", [(), ("token",), ("credit",), ("a" * 10_000,), ("weight",) * 33])
def test_names_that_are_no_columns_are_refused(trained, open_runs, names) -> None:
    (run,) = open_runs(trained)
    with pytest.raises(ConfigError) as caught:
        columns(run, "train-000000-000.0.0", *names)
    assert len(str(caught.value)) < 200


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.tuples(
            st.sampled_from(["?", "b", "i", "f", "d"]), st.lists(st.integers(0, 1), max_size=9)
        ),
    )
)
def test_any_columns_come_back_bit_for_bit(made) -> None:
    given_columns = {name: np.array(values, dtype) for name, (dtype, values) in made.items()}
    try:
        found = decode(encode(given_columns))
    except StoreError:
        return
    assert list(found) == list(given_columns)
    for name, column in given_columns.items():
        assert found[name].tobytes() == column.tobytes()


def test_columns_of_another_estimator_are_those_of_its_note(trained, tmp_path, open_runs) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    (update,) = read_updates(root, last=1)
    table = update.table
    values = np.arange(table.num_steps) / 7
    with NoteWriter(root, producer="recredit") as notes:
        payload = {
            "step": update.step,
            "label": "salt,history=2",
            "trajectories": [each.id for each in update.trajectories],
        }
        starts = {"step_start": table.step_start, "token_start": table.token_start}
        notes.append("credit", payload, starts | {"advantages": values})
    (run,) = open_runs(root)
    name, label = update.trajectories[4].id, "credit:salt,history=2"
    steps = slice(table.step_start[4], table.step_start[5])
    expected = np.repeat(values[steps], np.diff(table.token_start)[steps])
    assert columns(run, name, label)[label].tolist() == expected.tolist()
    assert shown(run, name)["credits"] == ["salt,history=2"]
    assert columns(run, name, "credit:other") == {}


def test_one_token_a_step_or_fewer_is_no_puzzle(tmp_path, open_runs) -> None:
    """Two steps of 0 and 2 tokens: as many steps as tokens, and yet not one each."""
    note = {"step": 0, "version": 0, "trajectories": ["a"]}
    starts = {"step_start": np.array([0, 2]), "token_start": np.array([0, 0, 2])}
    cols = {"rewards": np.array([1.0, 2.0]), "advantages": np.array([3.0, 4.0])}
    (tmp_path / "run").mkdir()
    with NoteWriter(tmp_path / "run", producer="trainer") as notes:
        notes.append("update", note, starts | cols | {"weights": np.array([5.0, 6.0])})
    (run,) = open_runs(tmp_path / "run")
    noted = read_noted(run.index, "a")
    assert noted.per_token("advantages").tolist() == [4.0, 4.0]
    assert noted.per_step("advantages").tolist() == [3.0, 4.0]
    assert noted.per_token("weights").tolist() == [5.0, 6.0]
    assert noted.per_step("weights").tolist() == [0.0, 5.5]


def test_a_text_without_end_is_cut_and_says_so(tmp_path, open_runs) -> None:
    made = make_episode(np.random.default_rng(0), 0, 0, 0)
    made.steps[0].message = Message("assistant", "x" * (LONGEST + 7))
    with EpisodeWriter(tmp_path / "run") as writer:
        writer.append(made)
    (run,) = open_runs(tmp_path / "run")
    content = shown(run, made.id)["steps"][0]["message"]["content"]
    assert content == "x" * LONGEST + "\n[7 more characters are in the record]"


def test_a_step_without_tokens_and_a_completion_kept_apart(tmp_path, open_runs) -> None:
    apart = Completion(token_ids=(4, 5), logprobs=(-1.0, -2.0), finish_reason="length")
    steps = [Step(message=Message("assistant", "a")), Step(message=Message("user", "b"))]
    steps[1].completion = apart
    made = Trajectory(id="e", task=Task("p", id="t"), group_id="g", steps=steps)
    with EpisodeWriter(tmp_path / "run") as writer:
        writer.append(made)
    (run,) = open_runs(tmp_path / "run")
    found = shown(run, "e")
    assert (found["steps"][0]["tokens"], found["steps"][0]["segment"]) == (None, None)
    assert (found["steps"][1]["tokens"], found["steps"][1]["segment"]) == ([0, 2], None)
    assert found["segments"] == []
    assert columns(run, "e", "token_ids", "sampled") == {}


def byte_tokenizer():
    """One token a byte, and some for words that begin in the middle of a character."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    for more in ("he", "Ġa", "Ã©", "ðŁ"):
        vocabulary[more] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@given(st.lists(st.integers(0, 259), max_size=30), st.data())
def test_pieces_put_together_are_the_text_however_they_are_asked_for(ids, data) -> None:
    tokenizer = byte_tokenizer()
    pieces = Pieces(tokenizer)
    whole = pieces.of(ids, first=0, stop=len(ids))
    valid = tokenizer.decode(ids, skip_special_tokens=False)
    if "\ufffd" not in valid:
        assert "".join(whole) == valid
    first = data.draw(st.integers(0, len(ids)))
    stop = data.draw(st.integers(first, len(ids)))
    assert pieces.of(ids, first=first, stop=stop) == whole[first:stop]


@given(st.text(max_size=12))
def test_a_character_of_several_tokens_belongs_to_the_last_of_them(text) -> None:
    from tokenizers import pre_tokenizers

    tokenizer = byte_tokenizer()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    found = Pieces(tokenizer).of(ids, first=0, stop=len(ids))
    if "\ufffd" not in text:
        assert "".join(found) == text
        assert "\ufffd" not in "".join(found)


def test_ids_that_no_tokenizer_knows_have_no_text() -> None:
    pieces = Pieces(byte_tokenizer())
    found = pieces.of([-1, 39, 2**31 - 1, 40, 260], first=0, stop=5)
    assert [each is None for each in found] == [True, False, True, False, True]


def test_without_a_tokenizer_it_is_said(tmp_path) -> None:
    with pytest.raises(TokenizerError, match=r"no checkpoint of the run has a tokenizer\.json"):
        open_pieces(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="reading"):
        open_pieces(tmp_path)


def test_the_newest_checkpoint_decodes(tmp_path) -> None:
    for name in ("000003", "000012"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / "000003" / "tokenizer.json").write_text("{")
    byte_tokenizer().save(str(tmp_path / "checkpoints" / "000012" / "tokenizer.json"))
    assert open_pieces(tmp_path).of([39], first=0, stop=1) != [None]


def test_parts_that_are_not_asked_for_are_left_empty_and_the_rest_is_the_same(
    trained, open_runs
) -> None:
    (run,) = open_runs(trained)
    name = run.index.query("SELECT id FROM used LIMIT 1")[0][0]
    whole = shown(run, name)
    head = run.index.head(name)
    quick = show_episode(run.index, run.scenes, head, parts=()).to_json()
    assert whole["ledger"]
    assert whole["ribbon"]
    unsaid = [{key: each[key] for key in each if key not in SAID} for each in whole["steps"]]
    assert quick == whole | {"steps": unsaid, "ledger": None, "ribbon": None, "tags": []}
    said = show_episode(run.index, run.scenes, head, parts=("said",)).to_json()
    assert said == whole | {"ledger": None, "ribbon": None, "tags": []}
    assert set(SAID) <= set(said["steps"][0])
    assert show_tags(run.index, head) == whole["tags"]


def test_tokens_of_a_segment_are_kept_for_the_episode_that_they_are_of(tmp_path, open_runs) -> None:
    """Lengths are kept by place: another run at the same path has other places or other files."""
    chance = np.random.default_rng(3)
    made = [make_episode(chance, 0, 0, member) for member in range(3)]
    with EpisodeWriter(tmp_path / "run") as writer:
        for trajectory in made:
            writer.append(trajectory)
    (run,) = open_runs(tmp_path / "run")
    for trajectory in made * 2:
        head = run.index.head(trajectory.id)
        assert segment_lengths(head) == (len(trajectory.segments[0].token_ids),)
        assert segment_ids(head, 0).tolist() == trajectory.segments[0].token_ids


@pytest.mark.slow
def test_a_long_episode_is_opened_in_little_memory(tmp_path, open_runs) -> None:
    """300,000 tokens, column by column and in pieces; what is kept afterwards is a column."""
    count = 300_000
    segment = Segment(token_ids=list(range(count)), sampled=[False] * count, logprobs=[0.0] * count)
    step = Step(message=Message("assistant", "go"), replies=())
    long = Trajectory(
        id="long", task=Task("", id="t"), group_id="g", steps=[step], segments=[segment]
    )
    with EpisodeWriter(tmp_path / "run") as writer:
        writer.append(long)
    (run,) = open_runs(tmp_path / "run")
    head = run.index.head("long")
    tracemalloc.start()
    try:
        for name in ("token_ids", "sampled", "logprobs"):
            assert len(columns(run, "long", name)[name]) == count
        for first in range(0, count, 4096):
            assert segment_ids(head, 0)[first] == first
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 8 * count
    assert peak < 40 * count
