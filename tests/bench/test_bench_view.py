"""Figures of the viewer: the runs that they are of, and all of them on runs that are tiny."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from agentgym.bench.view import CASES, MORE, Row, Sizes, bench_view
from agentgym.bench.view_browser import browsing
from agentgym.bench.view_runs import (
    LONG,
    append_heads,
    linked,
    long_episode,
    many_episodes,
    many_heads,
)
from agentgym.errors import MissingError
from agentgym.store.episodes import find_episode, read_episode, read_heads
from agentgym.store.notes import read_notes

TINY = Sizes(episodes=300, steps=60, tokens=6_000, heads=500, jumps=4)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_run_of_many_episodes_has_a_note_of_each() -> None:
    root = many_episodes(300)
    names = [head.id for head in read_heads(root)]
    used = [name for note in read_notes(root, "update") for name in note.payload["trajectories"]]
    assert len(set(names)) == 300
    assert used == names


def test_the_long_episode_is_as_long_as_it_says() -> None:
    episode = read_episode(find_episode(long_episode(50, 5_000), LONG))
    assert len(episode.steps) == 50
    assert [len(segment.token_ids) for segment in episode.segments] == [5_000]
    (note,) = read_notes(long_episode(50, 5_000), "update")
    assert np.ptp(note.columns["advantages"]) > 0


def test_runs_are_drawn_once_and_always_the_same(cache: Path) -> None:
    first = many_episodes(40)
    drawn = [each.reward_terms for each in _steps(first)]
    assert many_episodes(40) == first
    shutil.rmtree(first)
    assert [each.reward_terms for each in _steps(many_episodes(40))] == drawn


def test_what_is_appended_to_a_copy_leaves_the_run_alone(tmp_path: Path) -> None:
    run = many_heads(20)
    copy = linked(run, tmp_path / "copy")
    append_heads(copy, 5, first=20)
    assert len({head.id for head in read_heads(copy)}) == 25
    assert len(list(read_heads(run))) == 20


def test_without_playwright_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(MissingError, match="playwright") as caught, browsing():
        pass
    assert "pip install playwright" in str(caught.value.hint)


def test_without_chromium_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", "/nowhere")
    with pytest.raises(MissingError, match="Chromium") as caught, browsing():
        pass
    assert "install chromium" in str(caught.value.hint)


@pytest.mark.soak
def test_every_figure_of_every_case_is_measured() -> None:
    try:
        rows = list(bench_view(TINY, tuple(CASES)))
    except MissingError as error:
        pytest.skip(str(error))
    assert {row.case for row in rows} == set(CASES)
    assert all(0 < row.p50_ms <= row.p95_ms < 60_000 for row in rows)
    assert all(row.n == TINY.jumps for row in rows if "jump" in row.figure)
    assert all(row.peak_mb is None or 20 < row.peak_mb < 400 for row in rows)
    first = _named(rows, "first paint of messages").p50_ms
    assert first > _named(rows, "an empty frame").p50_ms
    assert _named(rows, f"{MORE} more").per_second
    assert all(row.page_ms for row in rows if "first paint" in row.figure)
    assert len({(row.case, row.figure) for row in rows}) == len(rows)


def _steps(root: Path):
    return [step for head in read_heads(root) for step in read_episode(head).steps]


def _named(rows: list[Row], figure: str) -> Row:
    return next(row for row in rows if row.figure == figure)
