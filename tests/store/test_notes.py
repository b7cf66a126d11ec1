import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from agentgym.errors import StoreError
from agentgym.store.notes import NewNoteWriter, NoteWriter, read_note, read_notes

dtypes = st.sampled_from(["<f8", "<f4", "<f2", "<i8", "<i4", "u1", "?", ">f8", ">i2"])
columns = st.dictionaries(
    st.text(st.characters(), max_size=5),
    dtypes.flatmap(lambda dtype: arrays.arrays(dtype, st.integers(0, 9))),
    max_size=3,
)


@settings(deadline=None)
@given(columns)
def test_columns_are_read_back_bit_for_bit(tmp_path_factory, written):
    folder = tmp_path_factory.mktemp("run")
    with NoteWriter(folder, producer="trainer") as writer:
        writer.append("advantages", {"step": 3}, written)
    (note,) = read_notes(folder)
    assert (note.producer, note.kind, note.payload) == ("trainer", "advantages", {"step": 3})
    assert list(note.columns) == list(written)
    for name, column in written.items():
        native = column.astype(column.dtype.newbyteorder("<"))
        assert note.columns[name].dtype == native.dtype
        assert note.columns[name].tobytes() == native.tobytes()


def test_notes_are_read_by_kind_and_in_order(tmp_path):
    for producer in ("trainer", "eval"):
        with NoteWriter(tmp_path, producer=producer) as writer:
            for step in range(3):
                writer.append("used", {"step": step})
                writer.append("rewards", {"step": step}, {"rewards": np.array([step / 3])})
    found = [(note.producer, note.payload["step"]) for note in read_notes(tmp_path, "rewards")]
    assert found == [(name, step) for name in ("eval", "trainer") for step in range(3)]
    assert len(list(read_notes(tmp_path))) == 12
    assert [note.columns["rewards"][0] for note in read_notes(tmp_path, "rewards")][:3] == [
        0.0,
        1 / 3,
        2 / 3,
    ]


def test_a_note_is_read_again_where_it_stands(tmp_path):
    with NoteWriter(tmp_path, producer="trainer") as writer:
        for step in range(3):
            writer.append("x", {"step": step}, {"x": np.array([step / 3])})
    frames = [note.frame for note in read_notes(tmp_path)]
    again = [read_note(frame) for frame in reversed(frames)]
    assert [(note.payload["step"], note.columns["x"][0]) for note in again] == [
        (2, 2 / 3),
        (1, 1 / 3),
        (0, 0.0),
    ]


def test_a_strided_column_is_stored_as_it_looks(tmp_path):
    with NoteWriter(tmp_path, producer="trainer") as writer:
        writer.append("x", {}, {"x": np.arange(10.0)[::-3]})
    (note,) = read_notes(tmp_path)
    assert note.columns["x"].tolist() == [9.0, 6.0, 3.0, 0.0]
    note.columns["x"][0] = 1.0  # and belongs to the reader


@pytest.mark.parametrize("column", [np.zeros((2, 2)), np.array(["a"]), np.array([None])])
def test_a_column_that_is_not_numbers_is_refused(tmp_path, column):
    with NoteWriter(tmp_path, producer="t") as notes, pytest.raises(StoreError, match="column x"):
        notes.append("x", {}, {"x": column})


def test_a_payload_with_nan_is_refused(tmp_path):
    writer = NoteWriter(tmp_path, producer="trainer")
    with pytest.raises(StoreError, match=r"payload\.gate\[0\] is nan"):
        writer.append("x", {"gate": [float("nan")]})


def test_no_run_is_an_error_and_no_notes_are_none(tmp_path):
    assert list(read_notes(tmp_path)) == []
    with pytest.raises(StoreError, match="no run directory"):
        list(read_notes(tmp_path / "absent"))


def test_a_shard_that_cannot_be_read_is_told_or_an_error(tmp_path, caplog):
    for producer in ("recredit", "trainer"):
        with NoteWriter(tmp_path, producer=producer) as writer:
            writer.append("x", {})
    broken = tmp_path / "notes" / "recredit-00001.jsonl.zst"
    broken.write_bytes(b"no shard at all")
    with pytest.raises(StoreError, match="is no shard"):
        list(read_notes(tmp_path))
    told = []
    assert [note.producer for note in read_notes(tmp_path, on_broken=told.append)] == ["trainer"]
    assert len(told) == 1
    assert [note.producer for note in read_notes(tmp_path, producer="trainer")] == ["trainer"]
    with NewNoteWriter(tmp_path, producer="recredit", kind="x") as writer:
        assert writer.add({}, {})
    assert "recredit-00001.jsonl.zst is no shard" in caplog.text
    assert "left out" in caplog.text
