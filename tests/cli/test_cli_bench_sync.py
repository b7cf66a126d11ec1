from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.bench.engine_sides import tiny_model


def test_a_row_for_each_engine(agentgym, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", max_context=128)
    words = ("bench", "sync", "local", "-m", model.path, "--rounds", "2")
    done = agentgym(*words, "--json")
    assert [row["engine"] for row in done.json] == ["local"]
    assert done.json[0]["gap"] < 1e-3
    shown = agentgym(*words)
    assert shown.code == 0
    assert "FIRST" in shown.out


def test_an_engine_that_is_not_there_is_told_before_a_model_is_made(agentgym) -> None:
    done = agentgym("bench", "sync", "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err
