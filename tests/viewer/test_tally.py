from collections import Counter

import numpy as np
import pytest
from trained_run import make_trained_run

from agentgym.errors import StoreError
from agentgym.store.episodes import read_heads
from agentgym.store.notes import Note
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.base import equal_groups
from agentgym.trainers.recompute import latest_notes, read_updates
from agentgym.viewer.tally import Tally


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("tally") / "run"
    return make_trained_run(root, "credit.name=grpo", steps=4, seed=3)


def counted(run):
    heads = {head.id: head for head in read_heads(run)}
    tally = Tally()
    for note in latest_notes(run).values():
        tally.add(note, heads)
    return tally, heads


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


def test_every_token_is_counted_once_by_its_cause(run):
    tally, heads = counted(run)
    found = tally.to_json(heads.values())
    expected = slow_count(run)
    assert expected["equal_returns"] > 0
    assert expected["trained"] > 0
    unused = sum(head.tokens for head in heads.values() if head.end == "error")
    assert found["causes"] == dict((expected + Counter(fault=unused)).most_common())
    assert found["tokens"] == sum(head.tokens for head in heads.values())
    assert found["steps"] == [1, 2, 3, 4]
    assert sum(found["by_step"]["trained"]) == expected["trained"]


def test_what_no_step_used_is_told_apart(run):
    _, heads = counted(run)
    some = list(heads.values())[:1]
    tally = Tally()
    assert tally.unused(some) == {"unused": some[0].tokens}
    tally.used.add(some[0].id)
    assert tally.unused(some) == {}


def test_a_step_that_comes_again_replaces_the_first(run):
    tally, heads = counted(run)
    before = tally.to_json(heads.values())
    tally.add(latest_notes(run)[1], heads)
    assert tally.to_json(heads.values()) == before


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
