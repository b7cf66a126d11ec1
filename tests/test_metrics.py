import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest

from agentgym.errors import MissingError
from agentgym.metrics import JsonlSink, Metrics, TensorBoardSink, read_metrics


def test_every_sink_gets_every_scalar(tmp_path):
    seen = []
    metrics = Metrics(JsonlSink(tmp_path / "m.jsonl"), lambda *row: seen.append(row))
    metrics.log(3, {"success": 0.5, "loss/policy": 1 / 3})
    metrics.close()
    assert read_metrics(tmp_path / "m.jsonl") == {3: {"success": 0.5, "loss/policy": 1 / 3}}
    assert seen == [(3, {"success": 0.5, "loss/policy": 1 / 3})]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    metrics = Metrics(JsonlSink(tmp_path / "m.jsonl"))
    metrics.log(1, {"loss": math.nan, "grad_norm": math.inf, "kl": 0.0})
    metrics.close()
    line = json.loads((tmp_path / "m.jsonl").read_text())
    assert line["loss"] is None
    assert line["grad_norm"] is None
    assert math.isnan(read_metrics(tmp_path / "m.jsonl")[1]["loss"])


def test_a_resumed_run_replaces_its_steps_and_a_cut_line_is_left_out(tmp_path):
    path = tmp_path / "m.jsonl"
    for value in (1.0, 2.0):
        metrics = Metrics(JsonlSink(path))
        metrics.log(1, {"train": value})
        metrics.log(1, {"eval": value})
        metrics.close()
        with path.open("a") as file:
            file.write('{"step": 2, "tra')
    assert read_metrics(path) == {1: {"train": 2.0, "eval": 2.0}}


def test_a_failing_sink_warns_once_and_costs_nothing(tmp_path, caplog):
    def broken(step, scalars):
        raise RuntimeError("no such plot")

    metrics = Metrics(broken, JsonlSink(tmp_path / "m.jsonl"))
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            metrics.log(step, {"loss": 1.0})
        metrics.close()
    assert len(caplog.records) == 1
    assert "no such plot" in caplog.text
    assert len(read_metrics(tmp_path / "m.jsonl")) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_does_not_stop_training(caplog):
    metrics = Metrics(JsonlSink(Path("/dev/full")))
    metrics.log(1, {"loss": 1.0})
    metrics.log(2, {"loss": 1.0})
    metrics.close()
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_tensorboard_reads_what_was_written(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    metrics = Metrics(TensorBoardSink(tmp_path))
    for step in range(3):
        metrics.log(step, {"success": step / 2, "loss": 1.0})
    metrics.close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["success", "loss"]
    assert [(each.step, each.value) for each in events.Scalars("success")] == [
        (0, 0.0),
        (1, 0.5),
        (2, 1.0),
    ]


def test_tensorboard_is_imported_when_asked_for_and_torch_never():
    script = """
import sys, tempfile, pathlib
from agentgym.metrics import TensorBoardSink
assert not any(name.startswith(("tensorboard", "torch")) for name in sys.modules)
TensorBoardSink(pathlib.Path(tempfile.mkdtemp())).close()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(MissingError, match="tensorboard is not installed") as error:
        TensorBoardSink(tmp_path)
    assert "agentgym-framework[train]" in error.value.hint


def test_a_clock_of_its_own_tells_the_time_of_a_line(tmp_path):
    sink = JsonlSink(tmp_path / "m.jsonl", clock=iter([1.5, 2.25]).__next__)
    sink(1, {"a": 1.0})
    sink(2, {"a": 2.0})
    sink.close()
    lines = (tmp_path / "m.jsonl").read_text().splitlines()
    assert [json.loads(line)["time"] for line in lines] == [1.5, 2.25]
