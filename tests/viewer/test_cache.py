"""Indexes that nobody needs go; one that somebody has open is made anew there."""

import os
import time
from pathlib import Path

import pytest

from agentgym.viewer.cache import index_name, remove_stale
from agentgym.viewer.index import Index
from agentgym.viewer.runs import OpenRuns
from agentgym.viewer.tables import VERSION

DAY_S = 24 * 3600


def put(folder: Path, name: str, *, days: float) -> Path:
    path = folder / name
    path.write_text("index")
    os.utime(path, (time.time() - days * DAY_S,) * 2)
    return path


def named(version: int) -> str:
    return index_name(Path("/runs/a")).replace(f"-{VERSION}.", f"-{version}.")


@pytest.mark.parametrize(
    ("version", "days", "stays"),
    [
        (VERSION, 29, True), (VERSION, 31, False), (VERSION - 1, 0.9, True),
        (VERSION - 1, 1.1, False), (VERSION + 1, 29, True), (VERSION + 1, 31, False),
    ],
)  # fmt: skip
def test_what_nobody_used_for_long_goes(tmp_path: Path, version, days, stays) -> None:
    path = put(tmp_path, named(version), days=days)
    beside = [put(tmp_path, path.name + end, days=days) for end in ("-wal", "-shm")]
    remove_stale(tmp_path)
    assert [each.exists() for each in (path, *beside)] == [stays] * 3


def test_what_was_written_of_late_is_in_use(tmp_path: Path) -> None:
    path = put(tmp_path, named(VERSION - 1), days=90)
    put(tmp_path, path.name + "-wal", days=0)
    remove_stale(tmp_path)
    assert path.exists()


def test_other_files_are_no_index(tmp_path: Path) -> None:
    names = ["notes.sqlite", "a-1.sqlite", f"{'0' * 24}-1.sqlite.kept", f"{'0' * 24}-\u0661.sqlite"]
    kept = [put(tmp_path, name, days=900) for name in names]
    (tmp_path / f"{'0' * 24}-1.sqlite").mkdir()
    os.utime(tmp_path / f"{'0' * 24}-1.sqlite", (0, 0))
    remove_stale(tmp_path)
    remove_stale(tmp_path / "nowhere")
    assert all(each.exists() for each in kept)


def test_an_index_that_is_opened_is_in_use(tmp_path: Path, trained: Path) -> None:
    index = Index(trained, cache=tmp_path)
    index.refresh()
    index.close()
    os.utime(index.path, (0, 0))
    again = Index(trained, cache=tmp_path)
    again.refresh()
    remove_stale(tmp_path)
    assert index.path.exists()
    again.close()


def test_an_index_that_is_removed_under_a_server_is_made_anew(tmp_path, trained) -> None:
    index = Index(trained, cache=tmp_path)
    while index.refresh():
        pass
    before = index.query("SELECT id FROM episode ORDER BY id")
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    remove_stale(tmp_path)
    assert not index.path.exists()
    while index.refresh():
        pass
    assert index.query("SELECT id FROM episode ORDER BY id") == before != []
    index.close()


def test_a_server_looks_for_stale_ones_when_it_begins(tmp_path: Path, trained: Path) -> None:
    stale = put(tmp_path, named(VERSION - 1), days=2)
    runs = OpenRuns([trained], cache=tmp_path)
    runs.start()
    deadline = time.monotonic() + 20
    while stale.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    runs.close()
    assert not stale.exists()
