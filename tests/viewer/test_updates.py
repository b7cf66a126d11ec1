import numpy as np
import pytest
from trained_run import make_trained_run

from agentgym.store.episodes import read_heads
from agentgym.store.notes import NoteWriter, read_notes
from agentgym.trainers.recompute import TRAINER, UPDATE, read_updates
from agentgym.viewer.updates import Updates


def opened(run):
    updates = Updates(run, {head.id: head for head in read_heads(run)})
    updates.refresh()
    return updates


@pytest.fixture
def run(tmp_path):
    return make_trained_run(tmp_path / "run", steps=3)


def test_steps_are_read_as_the_trainer_reads_them(run):
    updates = opened(run)
    for expected in read_updates(run):
        found = updates.read(expected.step)
        np.testing.assert_array_equal(found.advantages, expected.advantages)
        assert found.table.trajectory_ids == expected.table.trajectory_ids
        assert updates.read(expected.step) is found
    assert updates.steps == [0, 1, 2]
    assert not updates.note(1).columns


def test_an_episode_tells_which_step_used_it(run):
    updates = opened(run)
    assert updates.step_of("train-000001-002.3.0") == 1
    assert updates.step_of("train-000001-000.0.0x") is None  # a fault
    assert updates.step_of("nobody") is None


def test_only_what_is_new_is_taken_in(run, monkeypatch):
    updates = opened(run)
    read = []
    from agentgym.viewer import updates as module

    given = module.read_note
    monkeypatch.setattr(module, "read_note", lambda head: read.append(head) or given(head))
    assert not updates.refresh()
    assert not read
    note = next(iter(read_notes(run, UPDATE)))
    with NoteWriter(run, producer=TRAINER) as writer:
        writer.append(UPDATE, {**note.payload, "step": 3, "trajectories": ["x"]}, note.columns)
    assert updates.refresh()
    assert len(read) == 1
    assert updates.steps == [0, 1, 2, 3]
    assert updates.step_of("x") == 3


def test_the_later_note_of_a_repeated_step_counts(run):
    updates = opened(run)
    first = updates.read(0)
    note = next(iter(read_notes(run, UPDATE)))
    names = note.payload["trajectories"]
    columns = {**note.columns, "rewards": note.columns["rewards"] + 1}
    with NoteWriter(run, producer=TRAINER) as writer:
        writer.append(UPDATE, note.payload, columns)
    updates.refresh()
    np.testing.assert_array_equal(updates.read(0).rewards, first.rewards + 1)
    assert updates.step_of(names[0]) == 0


def test_few_steps_are_kept(run):
    updates = opened(run)
    first = updates.read(0)
    updates.read(1), updates.read(2)
    assert updates.read(0) is not first


def test_broken_notes_are_told_and_read_past(run):
    with NoteWriter(run, producer=TRAINER) as writer:
        writer.append(UPDATE, {"no": "step"})
        writer.append(UPDATE, {"step": "<b>", "trajectories": 7})
    (opened(run)._root / "notes" / "trainer-00009.jsonl.zst").write_bytes(b"junk")
    updates = opened(run)
    assert updates.steps == [0, 1, 2]
    assert len(updates.broken) == 3
    updates.refresh()
    assert len(updates.broken) == 3


def test_a_run_without_notes_has_no_steps(tmp_path):
    assert opened(make_trained_run(tmp_path / "run", steps=0)).steps == []
