"""Each check of a run finds the damage that it is there for, and an untouched record passes all."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backports import zstd
from trained_run import ENV, make_trained_run

from agentgym.check.report import Status
from agentgym.check.run import check_run, table
from agentgym.check.run.readers import Readers
from agentgym.check.run.report import RunReport, RunResult
from agentgym.check.run.subject import RunSubject
from agentgym.check.run.table import CHECKS
from agentgym.check.run.tokens import before_any_update
from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.engines.settings import TinyConfig
from agentgym.engines.tiny import make_tiny
from agentgym.renderers.chat import ChatRenderer
from agentgym.store.address import parse_address
from agentgym.store.episodes import (
    SCHEMA as EPISODES,
    EpisodeWriter,
    find_episode,
    read_episodes,
)
from agentgym.store.frames import encode_header, encode_record, read_heads, read_records
from agentgym.store.jsonline import to_json
from agentgym.store.notes import SCHEMA, NoteWriter, read_notes
from agentgym.store.run import Run
from agentgym.trainers.causes import Cause
from agentgym.types import Message, Segment, Trajectory

GATED = """shaping={name="gated",levels=[{term="outcome"},{term="valid"}]}"""
NOT_CHECKED = {"texts"}  # the runs of these tests have no model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_trained_run(tmp_path / "r", GATED, steps=2)
    return tmp_path / "r"


def report(root: Path) -> RunReport:
    return check_run(Run.open(root))


def failed(root: Path) -> set[str]:
    return {each.name for each in report(root).results if each.status is Status.FAILED}


def rewrite(root: Path, change: Callable[[Trajectory], Any]) -> None:
    """Write all episodes again, changed in place or by what is returned; a list is several."""
    changed = []
    for trajectory in read_episodes(root):
        found = change(trajectory)
        changed += found if isinstance(found, list) else [found or trajectory]
    shutil.rmtree(root / "episodes")
    with EpisodeWriter(root) as writer:
        for trajectory in changed:
            writer.append(trajectory)


def rewrite_notes(root: Path, change: Callable[[dict, dict], None]) -> None:
    """Write all notes again, changed in place."""
    notes = list(read_notes(root))
    shutil.rmtree(root / "notes")
    with NoteWriter(root, producer="trainer") as writer:
        for note in notes:
            columns = {name: column.copy() for name, column in note.columns.items()}
            change(note.payload, columns)
            writer.append(note.kind, note.payload, columns)


def first(trajectory: Trajectory) -> bool:
    return trajectory.id == "train-000000-000.0.0"


def test_an_untouched_record_passes(root: Path) -> None:
    found = report(root)
    assert found.ok
    assert not found.is_complete
    assert {each.name for each in found.results if each.status is Status.NOT_CHECKED} == NOT_CHECKED
    assert all(each.seen for each in found.results if each.status is Status.PASSED)


def test_every_check_names_what_it_would_have_caught() -> None:
    assert [check.number for check in CHECKS] == list(range(1, len(CHECKS) + 1))
    assert all(check.caught for check in CHECKS)


def cut_shard(root: Path) -> None:
    (shard,) = (root / "episodes").iterdir()
    shard.write_bytes(shard.read_bytes()[:-40])


def flip_byte(root: Path) -> None:
    (shard,) = (root / "notes").iterdir()
    found = bytearray(shard.read_bytes())
    found[len(found) - 50] ^= 1
    shard.write_bytes(bytes(found))


@pytest.mark.parametrize("damage", [cut_shard, flip_byte])
def test_files(root: Path, damage: Callable[[Path], None]) -> None:
    damage(root)
    assert "files" in failed(root)


def meanwhile(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], Any]) -> None:
    """Let something happen once, right after a function has read what there is."""
    module, _, function = name.rpartition(".")
    read, left = getattr(sys.modules[module], function), [happens]

    def reading(*words: Any, **named: Any) -> Any:
        found = read(*words, **named)
        yield from found
        if left:
            left.pop()()

    monkeypatch.setattr(name, reading)


def test_a_step_that_is_trained_meanwhile_is_not_missed(root: Path, tmp_path: Path, monkeypatch):
    make_trained_run(tmp_path / "longer", GATED, steps=3)

    def train() -> None:
        for folder, writer in (("episodes", "rollout"), ("notes", "trainer")):
            (later,) = (tmp_path / "longer" / folder).iterdir()
            shutil.copy(later, root / folder / f"{writer}-00002.jsonl.zst")

    meanwhile(monkeypatch, "agentgym.check.run.subject.read_heads", train)
    assert failed(root) == set()


def test_a_record_that_is_written_meanwhile_is_no_damage(root: Path, monkeypatch) -> None:
    (shard,) = (root / "episodes").iterdir()
    whole = shard.read_bytes()
    assert "files" in failed(cut_off(shard, 40))
    cut_off(shard, 40)
    grow = partial(shard.write_bytes, whole)
    meanwhile(monkeypatch, "agentgym.check.run.shards.read_heads", grow)
    assert "files" not in failed(root)
    (head, *_) = read_heads(shard, schema=EPISODES)
    again = partial(shard.write_bytes, whole + whole[head.offset : head.stop])
    meanwhile(monkeypatch, "agentgym.check.run.shards.read_heads", again)
    assert "files" not in failed(root)


def cut_off(shard: Path, count: int) -> Path:
    shard.write_bytes(shard.read_bytes()[:-count])
    return shard.parents[1]


def empty(shard: Path) -> None:
    shard.write_bytes(b"")


def cut_header(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:20])


def cut_first_record(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:300])


def break_header(shard: Path) -> None:
    found = bytearray(shard.read_bytes())
    found[2] ^= 1
    shard.write_bytes(bytes(found))


@pytest.mark.parametrize("damage", [empty, cut_header, cut_first_record, break_header])
@pytest.mark.parametrize("folder", ["episodes", "notes"])
def test_files_that_hold_no_whole_record(
    root: Path, damage: Callable[[Path], None], folder: str
) -> None:
    (shard,) = (root / folder).iterdir()
    damage(shard)
    found = {each.name: each for each in report(root).results}
    assert failed(root) == {"files", "used"}
    assert str(shard) in found["files"].message
    assert found["weights"].message == "0 of 2 optimiser steps can be read (see used)"
    seen = "0 episodes can be read, and not all (see files)"
    assert found["masks"].message == (seen if folder == "episodes" else "")


def test_a_broken_shard_of_others_fails_the_files_alone(root: Path) -> None:
    (root / "notes" / "recredit-00001.jsonl.zst").write_bytes(b"no shard at all")
    assert failed(root) == {"files"}


def test_a_broken_record_leaves_the_others_to_be_looked_at(root: Path) -> None:
    (shard,) = (root / "notes").iterdir()
    first_note, _ = read_heads(shard, schema=SCHEMA)
    found = bytearray(shard.read_bytes())
    found[first_note.stop - 50] ^= 1
    shard.write_bytes(bytes(found))
    assert failed(root) == {"files", "used"}
    results = {each.name: each for each in report(root).results}
    assert "2 of 2 optimiser steps are not in the record: 1, 2" in results["used"].message
    assert results["rewards"].status is Status.NOT_CHECKED


@pytest.mark.parametrize("text", [None, "a = = 1"])
def test_a_configuration_that_cannot_be_read(root: Path, text: str | None) -> None:
    (root / "config.toml").unlink()
    if text is not None:
        (root / "config.toml").write_text(text)
    assert failed(root) == {"files"}
    found = {each.name: each for each in report(root).results}
    for name in ("rewards", "advantages", "weights"):
        assert found[name].status is Status.NOT_CHECKED
        assert "config.toml" in found[name].message


def second_start(t: Trajectory) -> Trajectory | None:
    return (
        replace(t, segments=[*t.segments, replace(t.segments[0], steps=[])]) if first(t) else None
    )


def overlap(t: Trajectory) -> None:
    if first(t):
        t.segments[0].steps[1] = (1, *t.segments[0].steps[0][1:])


def no_parent(t: Trajectory) -> Trajectory | None:
    tail = replace(t.segments[0], reason="edit", parent=None, steps=[])
    return replace(t, segments=[*t.segments, tail]) if first(t) else None


def no_word_why(t: Trajectory) -> Trajectory | None:
    tail = replace(t.segments[0], reason="", parent=0, steps=[])
    return replace(t, segments=[*t.segments, tail]) if first(t) else None


@pytest.mark.parametrize("change", [second_start, overlap, no_parent, no_word_why])
def test_streams(root: Path, change: Callable[[Trajectory], Any]) -> None:
    rewrite(root, change)
    assert "streams" in failed(root)


def inverted(t: Trajectory) -> None:
    t.segments[0].sampled = [not mark for mark in t.segments[0].sampled]


def marked_answers(t: Trajectory) -> None:
    if first(t):
        t.segments[0].sampled[-4] = True


def lost_token(t: Trajectory) -> None:
    if first(t):
        t.segments[0].sampled[-1] = False


@pytest.mark.parametrize("change", [inverted, marked_answers, lost_token])
def test_masks(root: Path, change: Callable[[Trajectory], Any]) -> None:
    rewrite(root, change)
    assert failed(root) == {"masks"}


def other_token(t: Trajectory) -> None:
    if first(t):
        t.segments[0].token_ids[-1] += 1


def drifted(t: Trajectory) -> Trajectory | None:
    return replace(t, drift=3) if first(t) else None


@pytest.mark.parametrize("change", [other_token, drifted])
def test_tokens(root: Path, change: Callable[[Trajectory], Any]) -> None:
    rewrite(root, change)
    assert failed(root) == {"tokens"}


def spell(root: Path) -> None:
    """Save a tokenizer of words, and write messages as it decodes them."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {"go": 5, **{f"w{index}": index for index in range(30) if index != 5}}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    (root / "model").mkdir()
    tokenizer.save(str(root / "model" / "tokenizer.json"))

    def spelt(t: Trajectory) -> None:
        for step in t.steps:
            number = step.completion.token_ids[0]
            step.completion = replace(step.completion, finish_reason="stop")
            step.message = replace(step.message, content="go" if number == 5 else f"w{number}")

    rewrite(root, spelt)


def retold(t: Trajectory) -> None:
    if first(t):
        t.steps[0].message = replace(t.steps[0].message, content="another")


def texts(root: Path) -> RunResult:
    return {each.name: each for each in report(root).results}["texts"]


def test_texts(root: Path) -> None:
    spell(root)
    assert not failed(root)
    assert texts(root).status is Status.PASSED
    rewrite(root, retold)
    assert failed(root) == {"texts"}


def test_what_cannot_render_is_one_finding_and_answers_are_compared(root: Path) -> None:
    spell(root)
    config = root / "model" / "tokenizer_config.json"
    config.write_text("{")
    found = texts(root)
    assert (found.status, found.broken) == (Status.FAILED, 1)
    assert f"reading {config} raised" in found.message
    rewrite(root, retold)
    found = texts(root)
    assert found.broken == 2
    assert "#train-000000-000.0.0/0: 'w" in found.message
    assert "'another' recorded" in found.message


def test_answers_are_compared_without_transformers(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spell(root)
    (root / "model" / "tokenizer_config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    found = texts(root)
    assert found.status is Status.NOT_CHECKED
    assert found.message.startswith("only the answers can be compared")
    assert "[train]" in found.hint
    rewrite(root, retold)
    assert texts(root).status is Status.FAILED


def rendered(t: Trajectory, renderer: ChatRenderer) -> Trajectory:
    """Return an episode whose tokens are those of its messages."""
    segment, steps, messages = Segment(), [], list(t.prompt)
    context = renderer.prompt(t.prompt, t.tools)
    for number, step in enumerate(t.steps):
        answer = renderer.complete(step.message)
        first_token = len(segment.token_ids) + len(context)
        segment.token_ids += [*context, *answer]
        segment.sampled += [False] * len(context) + [True] * len(answer)
        segment.logprobs += [0.0] * len(context) + [-0.5] * len(answer)
        segment.steps.append((number, first_token, len(segment.token_ids)))
        completion = replace(
            step.completion, token_ids=tuple(answer), logprobs=(-0.5,) * len(answer)
        )
        steps.append(replace(step, completion=completion))
        messages += [step.message, *step.replies]
        known = len(messages) - len(step.replies)
        context = renderer.extend(segment.token_ids, messages, t.tools, known=known)
    return replace(t, segments=[segment], steps=steps)


@pytest.mark.slow
def test_texts_around_the_answers(root: Path) -> None:
    tokenizers = pytest.importorskip("transformers").AutoTokenizer
    make_tiny(root / "model", config=TinyConfig(), texts=["Go.", "go", "there"], tools=[], seed=0)
    renderer = ChatRenderer(tokenizers.from_pretrained(root / "model"))
    rewrite(root, lambda t: rendered(t, renderer))
    assert texts(root).status is Status.PASSED
    other = renderer.prompt([Message("user", "there")], ())[2]

    def other_prompt(t: Trajectory) -> None:
        if first(t):
            t.segments[0].token_ids[2] = other

    rewrite(root, other_prompt)
    assert "#train-000000-000.0.0/0: token 2 is not that of the messages" in texts(root).message

    def no_end(t: Trajectory) -> Trajectory | None:
        if not first(t):
            return rendered(t, renderer)
        mended = rendered(t, renderer)
        end = mended.segments[0].steps[0][2] - 1
        mended.segments[0].token_ids[end] = other
        ids = (*mended.steps[0].completion.token_ids[:-1], other)
        mended.steps[0].completion = replace(mended.steps[0].completion, token_ids=ids)
        return mended

    rewrite(root, no_end)
    expected = f"{root}#train-000000-000.0.0/0 stopped at token {other}, which ends no answer"
    assert texts(root).message == expected


@pytest.mark.slow
@pytest.mark.parametrize("is_plain", [True, False])
def test_only_special_tokenizers_need_the_class_that_loads_torch(
    root: Path, monkeypatch: pytest.MonkeyPatch, is_plain: bool
) -> None:
    transformers = pytest.importorskip("transformers")
    make_tiny(root / "model", config=TinyConfig(), texts=["Go."], tools=[], seed=0)
    path = root / "model" / "tokenizer_config.json"
    if not is_plain:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "Special"}))
    asked = []

    def read(folder: Path, **settings: Any) -> Any:
        asked.append(folder)
        return transformers.PreTrainedTokenizerFast.from_pretrained(folder, **settings)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", read)
    assert Readers(root).renderer
    assert asked == ([] if is_plain else [root / "model"])


def test_a_tokenizer_that_cannot_be_read_is_a_finding(root: Path) -> None:
    pytest.importorskip("tokenizers")
    (root / "model").mkdir()
    (root / "model" / "tokenizer.json").write_text('{"version": "1.0", "trunc')
    assert failed(root) == {"texts"}
    found = texts(root)
    assert found.broken == 1
    assert f"reading {root / 'model' / 'tokenizer.json'}" in found.message


def impossible(t: Trajectory) -> None:
    if first(t):
        t.segments[0].logprobs[-1] = 0.5


def of_others(t: Trajectory) -> None:
    if first(t):
        t.segments[0].logprobs[0] = -0.5


@pytest.mark.parametrize("change", [impossible, of_others])
def test_logprobs(root: Path, change: Callable[[Trajectory], Any]) -> None:
    rewrite(root, change)
    assert "logprobs" in failed(root)


def no_reason(t: Trajectory) -> Trajectory | None:
    return replace(t, reason="") if first(t) else None


def hidden_fault(t: Trajectory) -> Trajectory | None:
    return replace(t, end="truncated", reason="SandboxDied: gone") if first(t) else None


def too_likely(t: Trajectory) -> None:
    if first(t):
        t.segments[0].logprobs[-1] = 0.5


def faulty(t: Trajectory) -> Trajectory | None:
    return replace(t, end="error", reason="EnvError: x") if first(t) else None


@pytest.mark.parametrize("change", [no_reason, hidden_fault])
def test_ends(root: Path, change: Callable[[Trajectory], Any]) -> None:
    rewrite(root, change)
    assert failed(root) == {"ends"}


@pytest.mark.parametrize(
    ("change", "check", "turn"),
    [
        (second_start, "streams", None), (marked_answers, "masks", -1), (lost_token, "masks", -1),
        (inverted, "masks", 0), (drifted, "tokens", None), (too_likely, "logprobs", -1),
        (no_reason, "ends", None), (hidden_fault, "ends", None), (faulty, "used", None),
    ],
)  # fmt: skip
def test_findings_have_the_address_that_opens_the_place(
    root: Path, change: Callable[[Trajectory], Any], check: str, turn: int | None
) -> None:
    rewrite(root, change)
    found = {each.name: each for each in report(root).results}[check]
    word = next(each for each in found.message.split() if "#" in each)
    address = parse_address(word.removesuffix(":"))
    assert (Path(address.run), address.episode) == (root, "train-000000-000.0.0")
    head = find_episode(root, address.episode)
    assert address.turn == (turn if turn is None else range(head.turns)[turn])


def test_used_lost(root: Path) -> None:
    rewrite(root, lambda t: [] if first(t) else None)
    found = {each.name: each for each in report(root).results}
    assert found["used"].status is Status.FAILED
    assert "train-000000-000.0.0 was trained on and is not in the record" in found["used"].message
    assert found["advantages"].status is Status.NOT_CHECKED  # nobody can say
    assert "1 of 2 optimiser steps can be read (see used)" in found["advantages"].message


@pytest.mark.parametrize("step", [0, 50])
def test_used_where_a_step_is_lost(root: Path, step: int) -> None:
    notes = list(read_notes(root))
    shutil.rmtree(root / "notes")
    with NoteWriter(root, producer="trainer") as writer:
        if step:
            writer.append("update", notes[0].payload | {"step": step}, notes[0].columns)
        writer.append("update", notes[1].payload, notes[1].columns)
    assert failed(root) == {"used"}
    found = {each.name: each for each in report(root).results}
    lost = "49 of 51" if step else "1 of 2"
    assert f"{lost} optimiser steps are not in the record: 1" in found["used"].message


def test_used_fault(root: Path) -> None:
    rewrite(root, faulty)
    assert "used" in failed(root)


def test_used_twice(root: Path) -> None:
    def change(payload: dict, columns: dict) -> None:
        payload["trajectories"] = [
            name.replace("0001-", "0000-") for name in payload["trajectories"]
        ]

    rewrite_notes(root, change)
    assert "used" in failed(root)


def other_task(t: Trajectory) -> Trajectory | None:
    return replace(t, task=replace(t.task, id="another")) if first(t) else None


def same_member(t: Trajectory) -> Trajectory | None:
    return replace(t, member=1) if first(t) else None


@pytest.mark.parametrize("change", [other_task, same_member])
def test_groups(root: Path, change: Callable[[Trajectory], Any]) -> None:
    rewrite(root, change)
    assert failed(root) == {"groups"}


def test_versions(root: Path) -> None:
    def stale(t: Trajectory) -> None:
        for step in t.steps:
            if t.id.startswith("train-000001"):
                step.completion = replace(step.completion, versions=((0, 0),))

    rewrite(root, stale)
    assert failed(root) == {"versions"}


@pytest.mark.parametrize(("most", "expected"), [(0, {"versions"}), (1, set()), (2, set())])
def test_versions_may_be_as_old_as_the_training_allows(
    root: Path, most: int, expected: set[str]
) -> None:
    """In step 1 one of four tokens of each step is of policy 0; the probabilities are its own."""

    def stale(t: Trajectory) -> None:
        for step in t.steps:
            if t.id.startswith("train-000001"):
                step.completion = replace(step.completion, versions=((0, 0), (1, 1)))

    def noted(payload: dict, columns: dict) -> None:
        if payload["step"] == 1:
            columns["staleness"][::2] = 1
            columns["logprobs"][::2] -= np.float32(5)

    rewrite(root, stale)
    rewrite_notes(root, noted)
    config = root / "config.toml"
    config.write_text(re.sub("max_staleness = 0", f"max_staleness = {most}", config.read_text()))
    assert failed(root) == (expected | {"gap"} if not most else expected)


def test_a_token_that_is_newer_than_the_policy_or_noted_otherwise_is_found(root: Path) -> None:
    rewrite_notes(root, lambda _, columns: columns["staleness"].__iadd__(1))
    assert failed(root) == {"versions"}
    config = root / "config.toml"
    config.write_text(re.sub("max_staleness = 0", "max_staleness = 9", config.read_text()))
    assert failed(root) == {"versions"}


@pytest.mark.parametrize(
    ("gap", "expected"),
    [(0.02, set()), (0.2, {"gap"}), (float("nan"), {"gap"}), ("x", {"gap"}), (None, {"gap"})],
)
def test_gap(root: Path, gap: Any, expected: set[str]) -> None:
    line = {"step": 1, "time": 0, "logprob_gap": gap}
    (root / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert failed(root) == expected


def test_gap_of_the_record(root: Path) -> None:
    rewrite_notes(root, lambda _, columns: columns["logprobs"].__iadd__(np.float32(-5)))
    assert failed(root) == {"gap"}


def test_gap_of_one_episode(root: Path) -> None:
    def lower(t: Trajectory) -> None:
        segment = t.segments[0]
        if first(t):
            pairs = zip(segment.logprobs, segment.sampled, strict=True)
            segment.logprobs = [value - 0.6 * mark for value, mark in pairs]
            for number, start, stop in segment.steps:
                values = tuple(segment.logprobs[start:stop])
                t.steps[number].completion = replace(t.steps[number].completion, logprobs=values)

    rewrite(root, lower)
    assert failed(root) == {"gap"}
    message = {each.name: each for each in report(root).results}["gap"].message
    assert "0.6 nats apart in the mean of an episode" in message
    assert "train-000000-000.0.0" in message


def test_gap_where_the_weights_had_moved(root: Path) -> None:
    config = root / "config.toml"
    config.write_text(config.read_text().replace("epochs = 1", "epochs = 2"))
    found = {each.name: each for each in report(root).results}
    assert found["gap"].status is Status.NOT_CHECKED
    lines = [{"step": step, "logprob_gap": 0.01} for step in (1, 2)]
    (root / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert not failed(root)
    rewrite_notes(root, lambda _, columns: columns["logprobs"].__iadd__(np.float32(-0.9)))
    assert not failed(root)
    config.write_text(config.read_text().replace("epochs = 2", "epochs = 1"))
    config.write_text(config.read_text().replace("minibatches = 1", "minibatches = 2"))
    assert "gap" in failed(root)  # the half of the rows that came first


def test_gap_of_the_first_minibatch_alone(root: Path) -> None:
    config = root / "config.toml"
    config.write_text(config.read_text().replace("minibatches = 1", "minibatches = 2"))
    run = RunSubject(Run.open(root))
    found = next(run.updates())
    at_first = before_any_update(found, run)
    assert 0 < at_first.sum() < np.isfinite(found.update.columns["logprobs"]).sum()

    def move(payload: dict, columns: dict) -> None:
        if payload["step"] == 0:
            columns["logprobs"][~at_first] -= np.float32(5)

    rewrite_notes(root, move)
    assert "gap" not in failed(root)


def one_short(name: str) -> Callable[[dict, dict], None]:
    return lambda _, columns: columns.update({name: columns[name][:-1]})


def as_float32(name: str) -> Callable[[dict, dict], None]:
    return lambda _, columns: columns.update({name: columns[name].astype(np.float32)})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (one_short("advantages"), {"finite", "advantages"}),
        (as_float32("advantages"), {"finite", "advantages"}),
        (one_short("logprobs"), {"weights"}),
        (one_short("raw/valid"), {"rewards"}),
        (as_float32("raw/valid"), {"rewards"}),
        (one_short("entropy"), {"used"}),
        (lambda payload, _: payload.pop("version"), {"used"}),
        (lambda payload, _: payload.pop("trajectories"), {"used"}),
        (lambda payload, _: payload.pop("step"), {"files", "used"}),
        (lambda payload, _: payload.update(trajectories=[["a"]]), {"used"}),
    ],
)
def test_a_broken_note_is_a_finding(
    root: Path, change: Callable[[dict, dict], None], expected: set[str]
) -> None:
    rewrite_notes(root, change)
    assert failed(root) == expected


def test_a_broken_episode_is_a_finding(root: Path) -> None:
    (shard,) = (root / "episodes").iterdir()
    records = list(read_records(shard, schema=EPISODES))
    data = encode_header(records[0].head.header)
    for number, record in enumerate(records):
        columns = record.columns
        if number == 0:
            columns["logprobs"] = columns["logprobs"][:-2]
        data += encode_record(
            record.head.fields, to_json(record.body), columns, zstd.ZstdCompressor()
        )
    shard.write_bytes(data)
    assert "logprobs" in failed(root)
    found = {each.name: each for each in report(root).results}
    assert "log-probabilities for" in found["logprobs"].message
    assert "train-000000-000.0.0" in found["logprobs"].message


def test_what_a_check_stumbles_over_is_a_finding(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr(table, "CHECKS", (CHECKS[1]._replace(of_episode=stumble), *CHECKS[2:]))
    found = report(root).results[0]
    assert found.status is Status.FAILED
    assert "train-000000-000.0.0 cannot be looked at: ZeroDivisionError" in found.message


def test_finite(root: Path) -> None:
    def change(payload: dict, columns: dict) -> None:
        columns["advantages"][0] = np.nan

    rewrite_notes(root, change)
    assert "finite" in failed(root)
    rewrite_notes(root, lambda _, columns: columns.update(rewards=columns["rewards"][:-1]))
    assert "finite" in failed(root)
    message = {each.name: each for each in report(root).results}["zeros"].message
    assert "(see finite)" in message


def test_a_reward_that_is_no_number_is_said_to_be_none(root: Path) -> None:
    rewrite_notes(root, lambda _, columns: columns["rewards"].__setitem__(0, np.inf))
    found = {each.name: each for each in report(root).results}
    assert failed(root) == {"finite", "rewards"}
    assert found["rewards"].message.startswith("step 1: 1 of ")
    assert "differ, and are not finite in one of them" in found["rewards"].message
    assert found["advantages"].message == "step 1: 1 rewards are not finite (see finite)"


def test_a_negative_zero_is_named(root: Path) -> None:
    def change(payload: dict, columns: dict) -> None:
        columns["advantages"][columns["advantages"] == 0] = -0.0

    rewrite_notes(root, change)
    message = {each.name: each for each in report(root).results}["advantages"].message
    assert "differ, in the sign of a zero" in message


def test_rewards_by_one_bit(root: Path) -> None:
    def change(payload: dict, columns: dict) -> None:
        at = np.flatnonzero(columns["rewards"])[0]
        columns["rewards"][at] = np.nextafter(columns["rewards"][at], 9)

    rewrite_notes(root, change)
    found = {each.name: each for each in report(root).results}["rewards"]
    assert found.status is Status.FAILED
    assert "step 1: 1 of" in found.message
    assert found.hint


@pytest.mark.parametrize("column", ["raw/valid", "shaped/valid"])
def test_rewards_by_their_parts(root: Path, column: str) -> None:
    rewrite_notes(root, lambda _, columns: columns[column].__iadd__(1))
    assert failed(root) == {"rewards"}


def test_rewards_of_another_shaper(root: Path) -> None:
    (root / "config.toml").write_text(render_toml(resolve_words([f"env.id={ENV}"])))
    assert failed(root) == {"rewards"}


def test_a_note_without_a_column_is_broken(root: Path) -> None:
    rewrite_notes(root, lambda _, columns: columns.pop("cause"))
    assert failed(root) == {"used"}


def test_advantages_by_one_bit(root: Path) -> None:
    def change(payload: dict, columns: dict) -> None:
        at = np.flatnonzero(columns["advantages"])[0]
        columns["advantages"][at] = np.nextafter(columns["advantages"][at], 9)

    rewrite_notes(root, change)
    assert failed(root) == {"advantages"}


@pytest.mark.parametrize(
    ("least", "hint"), [(0.0, "added the same numbers up in another order"), (1e-3, "were changed")]
)
def test_advantages_that_were_rounded_otherwise(root: Path, least: float, hint: str) -> None:
    def change(payload: dict, columns: dict) -> None:
        columns["advantages"][:] = np.nextafter(columns["advantages"], 9)
        if payload["step"] == 1:
            columns["advantages"] += least

    rewrite_notes(root, change)
    found = {each.name: each for each in report(root).results}["advantages"]
    assert found.status is Status.FAILED
    first_step, second_step = found.message.split("; ")
    assert first_step.endswith("(rounding)")
    assert second_step.endswith("(rounding)") is (least == 0)
    assert (found.broken, found.rounded) == (2, 1 + (least == 0))
    assert hint in found.hint


def test_advantages_of_another_setting(root: Path) -> None:
    text = (root / "config.toml").read_text()
    assert "gamma = 0.95" in text
    (root / "config.toml").write_text(text.replace("gamma = 0.95", "gamma = 0.9 "))
    assert failed(root) == {"advantages"}


def all_but_last(payload: dict, columns: dict) -> None:
    """What SkyRL#1492 did: the advantage lands at the last step of each trajectory only."""
    last = np.zeros(len(columns["advantages"]), dtype=bool)
    last[columns["step_start"][1:] - 1] = True
    columns["advantages"][~last] = 0


@pytest.mark.parametrize("credit", ["gigpo", "grpo", "reinforce_pp"])
def test_zeros(tmp_path: Path, credit: str) -> None:
    make_trained_run(tmp_path / "z", GATED, f"credit.name={credit}", steps=1)

    def change(payload: dict, columns: dict) -> None:
        if len(columns["advantages"]) == len(columns["rewards"]):
            all_but_last(payload, columns)
        else:
            first_tokens = columns["token_start"][columns["step_start"][1:] - 1]
            kept = np.zeros(len(columns["advantages"]), dtype=bool)
            for start, stop in zip(
                first_tokens, columns["token_start"][columns["step_start"][1:]], strict=True
            ):
                kept[start:stop] = True
            columns["advantages"][~kept] = 0

    assert not failed(tmp_path / "z")
    rewrite_notes(tmp_path / "z", change)
    assert {"zeros", "advantages"} <= failed(tmp_path / "z")


def short(columns: dict) -> None:
    columns["weights"] = columns["weights"][:-1]


def env_weight(columns: dict) -> None:
    at = np.flatnonzero(columns["cause"] == Cause.ZERO_ADVANTAGE)
    at = at if len(at) else np.arange(1)
    columns["cause"][at] = Cause.NOT_IN_BATCH
    columns["weights"][at] = 0.5


def no_weight(columns: dict) -> None:
    columns["weights"][np.flatnonzero(columns["cause"] == Cause.TRAINED)[0]] = 0


def wrong_cause(columns: dict) -> None:
    at = np.flatnonzero(columns["cause"] == Cause.TRAINED)[0]
    columns["weights"][at], columns["cause"][at] = 0, Cause.ZERO_ADVANTAGE


def unknown_cause(columns: dict) -> None:
    at = np.flatnonzero(columns["cause"] == Cause.TRAINED)[0]
    columns["weights"][at], columns["cause"][at] = 0, 77


def no_logprob(columns: dict) -> None:
    columns["logprobs"][:] = np.nan


def flipped(columns: dict) -> None:
    columns["weights"] *= np.float32(-1)


def too_large(columns: dict) -> None:
    columns["weights"] *= np.float32(100)


def not_in_batch(columns: dict) -> None:
    columns["weights"][:4], columns["cause"][:4] = 0, Cause.NOT_IN_BATCH


def dropped(columns: dict) -> None:
    at = columns["cause"] == Cause.TRAINED
    columns["weights"][at], columns["cause"][at] = 0, Cause.DROPPED


def trained_for_nothing(columns: dict) -> None:
    at = np.flatnonzero(columns["cause"] == Cause.ZERO_ADVANTAGE)
    columns["weights"][at], columns["cause"][at] = columns["weights"].max(), Cause.TRAINED
    columns["logprobs"][at] = -0.7


@pytest.mark.parametrize(
    "change",
    [
        short,
        env_weight,
        no_weight,
        wrong_cause,
        unknown_cause,
        no_logprob,
        flipped,
        too_large,
        not_in_batch,
        dropped,
        trained_for_nothing,
    ],
)
def test_weights(root: Path, change: Callable[[dict], None]) -> None:
    rewrite_notes(root, lambda _, columns: change(columns))
    assert failed(root) == {"weights"}


def idle_in_trained_row(_: dict, columns: dict) -> None:
    """Take its advantage from the first of two steps of an episode that both have one."""
    advantages, starts = columns["advantages"], columns["step_start"][:-1]
    has_two = (np.diff(columns["step_start"]) > 1) & (advantages[starts] != 0)
    advantages[next(s for s in starts[has_two] if advantages[s + 1])] = 0


def row_left_out(_: dict, columns: dict) -> None:
    columns["advantages"][columns["step_start"][0] : columns["step_start"][1]] = 0


@pytest.mark.parametrize(
    ("schema", "change", "expected"),
    [
        (2, idle_in_trained_row, True),
        (1, idle_in_trained_row, False),
        (1, row_left_out, True),
    ],
)
def test_whose_advantage_a_cause_is_of(
    root: Path, schema: int, change: Callable[[dict, dict], None], expected: bool
) -> None:
    def rewritten(payload: dict, columns: dict) -> None:
        assert payload["schema"] == 2
        if schema == 1:
            del payload["schema"]
        change(payload, columns)

    rewrite_notes(root, rewritten)
    assert ("weights" in failed(root)) is expected


def test_earlier_notes_may_have_either_cause(root: Path) -> None:
    rewrite_notes(root, lambda payload, _: payload.pop("schema"))
    assert not failed(root)


@pytest.mark.parametrize(("loss", "expected"), [("ppo", set()), ("cispo", {"weights"})])
def test_only_some_losses_clip(tmp_path: Path, loss: str, expected: set[str]) -> None:
    make_trained_run(tmp_path / "c", GATED, f"loss.name={loss}", steps=1)

    def clip(_: dict, columns: dict) -> None:
        at = np.flatnonzero(columns["cause"] == Cause.TRAINED)[0]
        columns["weights"][at], columns["cause"][at] = 0, Cause.CLIPPED

    rewrite_notes(tmp_path / "c", clip)
    assert failed(tmp_path / "c") == expected


@pytest.mark.parametrize(
    "words",
    [
        ["loss.aggregate=seq-mean-token-mean"],
        ["loss.aggregate=seq-mean-token-sum"],
        ["loss.aggregate=seq-mean-token-sum-norm", "loss.length=7"],
    ],
)
def test_weights_are_those_of_the_aggregate(tmp_path: Path, words: list[str]) -> None:
    make_trained_run(tmp_path / "a", GATED, *words, steps=1)
    assert failed(tmp_path / "a") == {"weights"}  # these runs are made as by token-mean


def test_a_run_that_was_not_trained_is_checked_as_far_as_it_goes(agentgym) -> None:
    agentgym("run", "agentgym/KeyDoor-v0", "-n", "2", "-o", "played")
    done = agentgym("check", "run", "played", "--json")
    assert done.code == 0
    found = {each["name"]: each["status"] for each in done.json["checks"]}
    assert found["ends"] == found["files"] == "passed"
    assert {found[name] for name in ("used", "groups", "advantages", "weights")} == {"not_checked"}


def test_the_command(agentgym, root: Path) -> None:
    done = agentgym("check", "run", str(root))
    assert done.code == 0
    assert f"{root}: 15 passed, 1 not checked" in done.out
    assert agentgym("check", "run", str(root), "--strict").code == 1
    rewrite(root, inverted)
    done = agentgym("check", "run", str(root), "--json")
    assert done.code == 1
    assert not done.json["ok"]
    masks = next(each for each in done.json["checks"] if each["name"] == "masks")
    assert masks["status"] == "failed"
    assert masks["broken"] > 3
    assert masks["message"].endswith("more")
    assert "RAGEN#71" in masks["caught"]
    assert "of the kind of RAGEN#71" in agentgym("check", "run", str(root)).out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "no run at nowhere"),
        ([], "name one run to check"),
        (["a", "b"], "'b' has no effect"),
        (["a", "--level", "static"], "--level, --only and --template have no effect"),
    ],
)
def test_bad_input(agentgym, words: list[str], told: str) -> None:
    done = agentgym("check", "run", *words)
    assert done.code == 2
    assert told in done.err
    assert "hint:" in done.err or "--level" in done.err
