"""Other rewards from the recorded terms."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from trained_run import make_trained_run

from agentgym.config.methods import parse_shapers, recorded_methods
from agentgym.store.notes import NewNoteWriter, read_notes
from agentgym.trainers.agreement import agreement
from agentgym.trainers.recompute import read_updates, same_bits
from agentgym.trainers.rescore import count_pairs, rescore

PAID = """gated,levels=[{term="outcome"},{term="valid"}]"""
GUARDED = """gated,levels=[{term="outcome",threshold=0.5},{term="valid"}]"""
BACKWARDS = """gated,levels=[{term="outcome",weight=-1.0}]"""


@pytest.fixture
def root(tmp_path):
    return make_trained_run(tmp_path / "r")


def run(root, *texts, **options):
    methods = recorded_methods(f"{root}/config.toml")
    shapers = parse_shapers(["outcome", *texts])
    return rescore(root, shapers, trained=methods.shaping, credit=methods.credit, **options)


def test_the_shaper_of_the_training_comes_out_again(root):
    found = run(root)
    trained, again = found.shapers
    assert trained.same == again.same == 3
    assert found.difference(again) == (trained_mean := found.outcomes.mean(), trained_mean, 0, 0, 0)
    assert found.agreement(again) == (pytest.approx(1), pytest.approx(1), 1, 0)
    assert found.with_outcome(again) == pytest.approx(1)
    assert again.inverted == 0


def test_shapers_differ_as_they_should(root):
    found = run(root, PAID, GUARDED, BACKWARDS)
    _, _, paid, guarded, backwards = found.shapers
    assert backwards.inverted == found.pairs > 0
    assert found.with_outcome(backwards) == pytest.approx(-1)
    assert found.difference(backwards).difference < 0 < found.difference(paid).difference
    assert max(paid.by_step["equal"]) <= max(found.shapers[0].by_step["equal"])
    assert set(guarded.gates) == {"valid"}
    assert len(guarded.gates["valid"]) == 3
    assert not paid.gates
    updates = list(read_updates(root))
    methods = recorded_methods(f"{root}/config.toml")
    new = [methods.credit(u.table, u.shape(paid.shaping).rewards) for u in updates]
    old = [u.advantages for u in updates]
    assert found.agreement(paid) == agreement(np.concatenate(old), np.concatenate(new))


def test_rewards_are_noted_once(root):
    for expected in (3, 0):
        with NewNoteWriter(root, producer="rescore", kind="rewards") as notes:
            found = run(root, GUARDED, notes=notes)
        assert [each.noted for each in found.shapers] == [0, expected, expected]
    notes = list(read_notes(root, "rewards"))[1::2]
    for note, update in zip(notes, read_updates(root), strict=True):
        shaped = update.shape(found.shapers[2].shaping)
        assert same_bits(note.columns["rewards"], shaped.rewards)
        assert same_bits(note.columns["gate/valid"], shaped.gates["valid"])
        assert note.payload["shaping"]["levels"][0]["threshold"] == 0.5
        assert note.payload["step"] == update.step


def test_a_schedule_stands_where_it_stood(root):
    class Growing(type(recorded_methods(f"{root}/config.toml").shaping)):
        def __call__(self, table, *, progress):
            shaped = super().__call__(table, progress=progress)
            return shaped._replace(rewards=shaped.rewards + progress)

    means = [float(update.shape(Growing()).rewards.min()) for update in read_updates(root)]
    assert means == [0, 1 / 3, 2 / 3]


def test_without_a_column_of_the_estimator_there_are_no_advantages(tmp_path):
    root = make_trained_run(tmp_path / "r")
    text = (tmp_path / "r" / "config.toml").read_text()
    (tmp_path / "r" / "config.toml").write_text(
        text.partition("[credit]")[0] + '[credit]\nname = "igpo"\n'
    )
    found = run(root)
    assert found.agreement(found.shapers[1]) is None


columns = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-2, 2), st.integers(-2, 2)), max_size=12
)


@given(columns)
def test_pairs_by_hand(rows):
    group = np.array(sorted(row[0] for row in rows), dtype=np.int64)
    a, b = (np.array([row[k] for row in rows], dtype=float) for k in (1, 2))
    expected = sum(
        group[i] == group[j] and a[i] > a[j] and b[i] > b[j]
        for i in range(len(rows))
        for j in range(len(rows))
    )
    assert count_pairs(a, b, group) == expected
