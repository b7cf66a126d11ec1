import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trained_run import make_trained_run

from agentgym.errors import StoreError
from agentgym.store.episodes import EpisodeWriter, read_episodes, read_heads
from agentgym.store.notes import Note
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.base import equal_groups
from agentgym.trainers.recompute import read_updates
from agentgym.viewer.index import Index
from agentgym.viewer.tally import RunTally, Tally, count_unused


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("tally") / "run"
    return make_trained_run(root, "credit.name=grpo", steps=4, seed=3)


@pytest.fixture
def index(run, tmp_path):
    index = Index(Path(run), cache=tmp_path)
    while index.refresh():
        pass
    yield index
    index.close()


def slow_count(run):
    """Token by token, over the tables."""
    counts = Counter()
    for update in read_updates(run):
        equal = equal_groups(update.table, update.rewards)
        steps = np.searchsorted(
            update.table.token_start, np.arange(len(update.columns["cause"])), "right"
        )
        for cause, step in zip(update.columns["cause"].tolist(), (steps - 1).tolist(), strict=True):
            name = Cause(cause).name.lower()
            if cause == Cause.ZERO_ADVANTAGE and equal[update.table.step_group[step]]:
                name = "equal_returns"
            counts[name] += 1
    return counts


def test_every_token_is_counted_once_by_its_cause(run, index):
    found = RunTally(index).to_json()
    heads = list(read_heads(run))
    expected = slow_count(run)
    assert expected["equal_returns"] > 0
    assert expected["trained"] > 0
    unused = sum(head.tokens for head in heads if head.end == "error")
    assert found["causes"] == dict((expected + Counter(fault=unused)).most_common())
    assert found["tokens"] == sum(head.tokens for head in heads)
    assert found["steps"] == [1, 2, 3, 4]
    assert (found["of_steps"], found["broken"]) == (4, [])
    assert sum(found["by_step"]["trained"]) == expected["trained"]


def test_looking_again_counts_nothing_twice(index):
    tally = RunTally(index)
    assert tally.to_json() == tally.to_json()


def test_a_look_counts_some_steps_and_the_next_one_goes_on(index, monkeypatch):
    monkeypatch.setattr("agentgym.viewer.tally.MOST_AT_ONCE", 3)
    tally = RunTally(index)
    assert tally.to_json()["steps"] == [1, 2, 3]
    assert tally.to_json()["steps"] == [1, 2, 3, 4]


def test_what_no_step_used_is_told_apart(index):
    (fault,) = index.query("SELECT sum(tokens) FROM episode WHERE \"end\" = 'error'")
    assert count_unused(index) == {"fault": fault[0]}
    with index.changing() as db:
        db.execute("DELETE FROM used")
        db.execute("UPDATE episode SET grp = 'eval-x' WHERE grp LIKE 'train-000000-%'")
    assert set(count_unused(index)) == {"fault", "evaluation", "unused"}
    with index.changing() as db:  # a head may claim as many
        db.execute("UPDATE episode SET tokens = 9000000000000000000")
    assert min(count_unused(index).values()) > 0


def test_what_a_child_shares_with_its_parent_is_counted_once(run, tmp_path):
    root = Path(shutil.copytree(run, tmp_path / "run"))
    parents = [each for each in read_episodes(root) if each.end != "error" and len(each.steps) > 2]
    with EpisodeWriter(root, writer="fork") as writer:
        for number, parent in enumerate(parents[:2]):
            name = f"fork-00001.{number}.0"
            writer.append(replace(parent, id=name, parent_id=parent.id, fork_step=2))
    own = sum(len(step.completion.token_ids) for parent in parents[:2] for step in parent.steps[2:])
    index = Index(root, cache=tmp_path)
    while index.refresh():
        pass
    assert 0 < own < sum(parent.num_sampled for parent in parents[:2])
    assert count_unused(index)["fork"] == own
    with index.changing() as db:  # a head may claim that more is shared than there is
        db.execute("UPDATE episode SET shared = 9000000000000000000")
    assert set(count_unused(index).values()) == {0}
    index.close()


def test_a_note_that_breaks_is_told_and_the_others_counted(run, tmp_path):
    root = Path(shutil.copytree(run, tmp_path / "run"))
    index = Index(root, cache=tmp_path)
    while index.refresh():
        pass
    (shard,) = (root / "notes").iterdir()
    data = bytearray(shard.read_bytes())
    data[-20] ^= 0xFF
    shard.write_bytes(data)
    tally = RunTally(index)
    for _ in range(2):
        found = tally.to_json()
        assert found["steps"] == [1, 2, 3]
        assert "is broken" in found["broken"][0]
    index.close()


def test_another_run_in_the_same_place_is_counted_anew(run, tmp_path):
    root = Path(shutil.copytree(run, tmp_path / "run"))
    index = Index(root, cache=tmp_path)
    tally = RunTally(index)
    for changes in ({"steps": 4, "seed": 4}, {"steps": 2, "seed": 5}):
        shutil.rmtree(root)
        make_trained_run(root, "credit.name=grpo", **changes)
        while index.refresh():
            pass
        found = tally.to_json()
        assert found["steps"] == list(range(1, changes["steps"] + 1))
        expected = slow_count(root)
        assert {name: found["causes"].get(name, 0) for name in expected} == expected
    index.close()


def test_a_step_whose_episodes_come_later_is_counted_again(index, monkeypatch):
    counted = []
    count = RunTally._count
    monkeypatch.setattr(RunTally, "_count", lambda *a: counted.append(a[1]) or count(*a))
    tally = RunTally(index)
    with index.changing() as db:
        db.execute("CREATE TEMP TABLE kept AS SELECT * FROM episode")
        db.execute("DELETE FROM episode WHERE grp LIKE 'train-000002-%' AND member > 0")
    tally.to_json()
    tally.to_json()
    assert counted == [1, 2, 3, 4]
    with index.changing() as db:
        db.execute("INSERT OR IGNORE INTO episode SELECT * FROM kept")
    assert tally.to_json() == tally.to_json() == RunTally(index).to_json()
    assert counted == [1, 2, 3, 4, 3, 1, 2, 3, 4]


def test_a_note_that_does_not_fit_is_refused(run):
    note = Note(
        producer="trainer",
        kind="update",
        payload={"step": 0, "trajectories": ["a"]},
        columns={
            "cause": np.ones(1, dtype=np.int8),
            "rewards": np.zeros(3),
            "step_start": np.array([0, 1]),
            "token_start": np.array([0, 1]),
        },
    )
    with pytest.raises(StoreError, match="does not fit together"):
        Tally().add(note, {})


def test_of_nothing_there_is_nothing():
    assert Tally().to_json() == {"tokens": 0, "causes": {}, "steps": [], "by_step": {}}
