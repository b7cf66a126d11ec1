"""Runs as they stand: live, finished, crashed, damaged; their curves and events."""

import json
import math
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from agentgym.envs import ENVS
from agentgym.errors import ConfigError
from agentgym.metrics import read_metrics
from agentgym.store.run import Run
from agentgym.viewer.lines import GrowingLines
from agentgym.viewer.roots import find_runs, name_runs
from agentgym.viewer.runs import EVENTS, OpenRuns, _success_of
from agentgym.viewer.scalars import POINTS, Curve, Scalars

Points = st.lists(st.tuples(st.integers(0, 50), st.floats(-1, 1)), max_size=30)


def test_a_finished_run_says_what_it_was(trained, open_runs) -> None:
    (run,) = open_runs(trained)
    told = run.summary()
    assert (told["run"], told["path"]) == ("trained", str(trained))
    assert (told["status"], told["live"]) == ("finished", False)
    assert (told["step"], told["steps"], told["episodes"]) == (3, 3, 39)
    assert (told["credit"], told["shaping"]) == ("gigpo", "outcome")
    assert (told["faults"], told["broken"]) == (3, 0)
    detail = run.detail()
    assert detail["steps"] == [1, 2, 3]
    assert detail["versions"] == [0, 1, 2]
    assert detail["config"] == (trained / "config.toml").read_text()
    assert detail["faults"][0] == {"id": "train-000002-000.0.0x", "reason": "EnvError: broke"}
    assert detail["indexed"]["bytes"] == detail["indexed"]["of_bytes"] > 0


def test_a_live_run_a_crashed_one_and_one_without_its_files(tmp_path, open_runs) -> None:
    live = Run.create(tmp_path / "live", config_text="", command=["x"], seed=0)
    crashed = Run.create(tmp_path / "crashed", config_text="", command=["x"], seed=0)
    crashed.close()
    (tmp_path / "lost" / "episodes").mkdir(parents=True)
    roots = find_runs([tmp_path])
    told = {run.name: run.summary() for run in open_runs(*roots)}
    live.close()
    assert {name: each["status"] for name, each in told.items()} == {
        "live": "running",
        "crashed": "interrupted",
        "lost": "unknown",
    }
    assert [each["live"] for each in told.values()] == [False, True, False]
    (lost,) = [run for run in open_runs(*roots) if run.name == "lost"]
    assert "no run at" in lost.detail()["broken"][0]


@pytest.mark.parametrize("text", ["", "{", '{"schema": "agentgym.run/9"}', "[]", "\0"])
def test_a_run_file_that_is_broken_is_told_and_the_episodes_are_there(
    trained, tmp_path, open_runs, text
) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    (root / "run.json").write_text(text)
    (root / "config.toml").write_text("[[[")
    (root / "metrics.jsonl").write_text("[]\n3\n{\n" + '{"step": {}, "x": 1}\n' * 3)
    (run,) = open_runs(root)
    detail = run.detail()
    assert detail["status"] == "unknown"
    assert detail["episodes"] == 39
    assert detail["credit"] is None
    assert len(detail["broken"]) == 2  # run.json and config.toml
    assert run.metrics(["*"]) == {"step": [], "series": {}, "lost": {}}


def test_notes_that_are_lost_are_told(trained, tmp_path, open_runs) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    (run,) = open_runs(root)
    assert run.detail()["broken"] == []
    shutil.rmtree(root / "notes")
    (run,) = open_runs(root)
    assert run.detail()["broken"] == ["3 optimiser steps have no note: 1, 2, 3"]
    assert run.summary()["steps"] == 0
    info = json.loads((root / "run.json").read_text())
    (root / "run.json").write_text(json.dumps(info | {"step": 1}))
    assert run.detail()["broken"] == ["1 optimiser step has no note: 1"]


def test_what_was_only_played_has_a_success_and_no_methods(record, open_runs) -> None:
    (run,) = open_runs(record("played", [1.0, 0.0, 1.0, 1.0], kind="score"))
    told = run.summary()
    assert (told["credit"], told["shaping"], told["success"]) == (None, None, 0.75)


def test_a_training_without_scalars_has_no_success(record, open_runs) -> None:
    (run,) = open_runs(record("trained", [1.0, 0.0]))
    assert run.summary()["success"] is None
    assert run.summary()["credit"] is not None


def test_events_are_the_newest_and_alarms_are_kept_apart(tmp_path, open_runs) -> None:
    root = tmp_path / "run"
    with Run.create(root, config_text="", command=["x"], seed=0) as run:
        run.event("alarm", alarm="hack", reason="too good")
        for number in range(EVENTS + 5):
            run.event("checkpoint", step=number)
        run.event("drawn", step=7, groups={"train-000007-000": 12})
        (opened,) = open_runs(root)
        detail = opened.detail()
        assert [event["step"] for event in detail["events"]] == list(range(5, EVENTS + 5))
        assert [event["alarm"] for event in detail["alarms"]] == ["hack"]
        run.event("checkpoint", step=999)
        opened.refresh()
        assert opened.detail()["events"][-1]["step"] == 999


def test_a_thread_follows_runs_that_grow(trained, tmp_path) -> None:
    root = tmp_path / "run"
    (root / "episodes").mkdir(parents=True)
    runs = OpenRuns([root], cache=tmp_path / "cache")
    (run,) = runs
    runs.start()
    try:
        for path in (trained / "episodes").iterdir():
            shutil.copy(path, root / "episodes")
        stop = time.monotonic() + 20
        while run.state["episodes"] < 39 and time.monotonic() < stop:
            time.sleep(0.02)
        assert run.state["episodes"] == 39
    finally:
        runs.close()


@given(Points)
def test_curves_are_those_of_the_metrics_file(tmp_path_factory, points) -> None:
    path = tmp_path_factory.mktemp("m") / "metrics.jsonl"
    lines = [{"step": step, "time": 1.0, "a/b": y, "n": None} for step, y in points]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "a/b": 7')
    scalars = Scalars(path)
    scalars.refresh()
    found = scalars.to_json(["a/*"])
    expected = {step: values["a/b"] for step, values in read_metrics(path).items()}
    assert dict(zip(found["step"], found["series"].get("a/b", []), strict=True)) == expected
    assert scalars.to_json(["nothing"]) == {"step": [], "series": {}, "lost": {}}
    assert scalars.last("n") is None
    if points:
        assert scalars.to_json(["n"])["series"]["n"] == [None] * len(expected)
        assert scalars.to_json(["n"])["lost"] == {"n": sorted(expected)}
        assert scalars.last("a/b") == expected[max(expected)]


@given(st.integers(1, 40_000), st.integers(1, 7))
def test_a_long_curve_is_thinned_evenly_and_keeps_its_end(count, every) -> None:
    curve = Curve()
    for step in range(0, count * every, every * (1 + count // 5000)):
        curve.add(step, math.sin(step))
        last = step
    points = curve.points
    assert len(points) <= POINTS + 1
    assert max(points) == last
    assert all(value == math.sin(step) for step, value in points.items())
    assert all(step % curve.stride == 0 for step in points if step != last)
    assert len(points) >= min(POINTS // 2, last // every // (1 + count // 5000) + 1) // every


@pytest.mark.parametrize("value", ["null", "NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_what_is_no_finite_number_is_a_gap_in_a_curve(tmp_path, value) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1, "x": 1.5}}\n{{"step": 2, "x": {value}, "y": "no", "z": true}}\n')
    scalars = Scalars(path)
    scalars.refresh()
    assert scalars.to_json(["*"]) == {
        "step": [1, 2],
        "series": {"x": [1.5, None]},
        "lost": {"x": [2]},
    }


def test_a_file_that_is_replaced_is_read_again(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    scalars = Scalars(path)
    scalars.refresh()
    path.write_text('{"step": 1, "x": 1}\n{"step": 2, "x": 2}\n')
    scalars.refresh()
    path.write_text('{"step": 1, "y": 5}\n')
    scalars.refresh()
    assert scalars.to_json(["*"]) == {"step": [1], "series": {"y": [5.0]}, "lost": {}}
    path.unlink()
    scalars.refresh()
    assert scalars.names == []


@given(st.lists(st.binary(max_size=6).filter(lambda data: b"\n" not in data), max_size=6))
def test_lines_that_come_in_parts_are_handed_out_once(tmp_path_factory, garbage) -> None:
    path = tmp_path_factory.mktemp("l") / "lines"
    lines = GrowingLines(path)
    found = []
    with path.open("ab", buffering=0) as file:
        for number, noise in enumerate(garbage):
            file.write(noise + b'\n{"n":')
            found += lines.new()
            file.write(f"{number}}}\n".encode())
            found += lines.new()
    assert [line["n"] for line in found if "n" in line] == list(range(len(garbage)))


def test_another_file_in_the_same_place_is_read_from_its_start(tmp_path) -> None:
    """Longer than the one before, and under the same number of the file system."""
    path = tmp_path / "lines"
    lines = GrowingLines(path)
    path.write_text('{"old": 1}\n')
    assert list(lines.new()) == [{"old": 1}]
    with path.open("a") as file:
        file.write('{"old": 2}\n')
    assert not lines.is_another()
    path.write_text('{"new": 1}\n{"new": 2}\n{"new": 3}\n')
    assert lines.is_another()
    lines.restart()
    assert [line["new"] for line in lines.new()] == [1, 2, 3]
    assert not lines.is_another()


def test_folders_of_runs_are_opened_and_what_is_none_is_refused(trained, tmp_path) -> None:
    for name in ("b", "a"):
        shutil.copytree(trained, tmp_path / "runs" / name)
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "file").touch()
    runs = tmp_path / "runs"
    assert find_runs([runs]) == [runs / "a", runs / "b"]
    assert find_runs([runs / "b", runs]) == [runs / "b", runs / "a"]
    with pytest.raises(ConfigError, match="no run at") as caught:
        find_runs([runs / "aa"])
    assert "did you mean" in caught.value.hint
    with pytest.raises(ConfigError, match="no run at"):
        find_runs([runs / "other"])


@pytest.mark.parametrize(
    "name",
    ["config.toml", "events.jsonl", "metrics.jsonl", "run.json", ".lock", "episodes/x", "notes/x"],
)
def test_a_run_at_which_a_reader_would_wait_is_refused(trained, tmp_path, name) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "run"))
    (root / name).unlink(missing_ok=True)
    os.mkfifo(root / name)
    with pytest.raises(ConfigError, match="is no ordinary file"):
        find_runs([root])


@given(st.lists(st.text("ab/. \0é-2", min_size=1, max_size=4), max_size=6))
def test_names_of_runs_differ_and_stand_in_addresses(texts) -> None:
    names = name_runs([Path("/x") / text.replace("\0", "") for text in texts])
    assert len(set(names)) == len(names) == len(texts)
    assert all(set(name) <= set("abrunx.-_2345678é") - {"é"} for name in names)


@pytest.mark.parametrize("name", [*ENVS, "here:Config", "./here.py", "here.py:Config"])
def test_what_a_run_names_is_never_imported_from_the_present_folder(
    name, trained, open_runs, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("sys.path", [each for each in sys.path if each])
    (tmp_path / "here.py").write_text("raise AssertionError('imported')")
    root = shutil.copytree(trained, tmp_path / "run")
    info = json.loads((root / "run.json").read_text())
    (root / "run.json").write_text(json.dumps(info | {"env": name}))
    monkeypatch.chdir(tmp_path)
    _success_of.cache_clear()
    (run,) = open_runs(root)
    assert run.success > 0
    assert run.summary()["env"] == name
    assert str(tmp_path) not in sys.path
    assert "here" not in sys.modules
