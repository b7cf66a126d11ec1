from pathlib import Path

import numpy as np
import pytest
from trained_run import make_trained_run

from agentgym.cli.keeping import KeptNotes
from agentgym.errors import StoreError
from agentgym.store import writer
from agentgym.store.notes import read_notes


def refuse(*args: object, **options: object) -> None:
    raise StoreError("cannot write r/notes: Operation not permitted")


def test_where_nothing_can_be_written_it_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_trained_run(tmp_path / "r", steps=1)
    monkeypatch.setattr(writer, "_create", refuse)
    with KeptNotes(root, producer="recredit", kind="credit") as notes:
        assert [notes.add({"n": n}, {"a": np.zeros(2)}) for n in range(3)] == [False] * 3
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1
    assert "Operation not permitted; results are printed and not kept, as with --no-notes" in said


def test_what_could_not_be_synced_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_trained_run(tmp_path / "r", steps=1)
    with KeptNotes(root, producer="recredit", kind="credit") as notes:
        assert notes.add({"n": 0}, {})
        monkeypatch.setattr(KeptNotes, "_sync", refuse)
    assert "results are printed and not kept" in capsys.readouterr().err
    assert len(list(read_notes(root, "credit"))) == 1


@pytest.mark.parametrize(
    "words", [("recredit", "r", "--credit", "salt,grpo"), ("rescore", "r", "--shaping", "outcome")]
)
def test_results_are_printed_all_the_same(
    agentgym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    make_trained_run(tmp_path / "r")
    monkeypatch.setattr(writer, "_create", refuse)
    done = agentgym(*words)
    assert done.code == 0, done.err
    assert "0 notes written" in done.out
    assert done.err.count("--no-notes") == 1
