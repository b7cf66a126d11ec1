"""Figures of sandboxes: every operation, and programs without one beside them."""

import shutil

import pytest

FIELDS = {
    *("backend", "operation", "concurrency", "n"),
    *("p50_ms", "p95_ms", "p99_ms", "per_second", "pss_mb"),
}
OPERATIONS = {
    *("start", "close", "lease", "exec", "python", "session", "fork"),
    *("snapshot", "restore", "reset", "idle"),
}


@pytest.mark.slow
@pytest.mark.sandbox
def test_every_operation_of_a_backend_has_a_row(process) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    done = process("bench", "sandbox", "local", "--seconds", "0.01", "-c", "2", "--json")
    assert done.code == 0, done.err
    rows = done.json
    assert all(set(row) == FIELDS for row in rows)
    assert {row["operation"] for row in rows if row["backend"] == "local"} == OPERATIONS
    assert [row["operation"] for row in rows if row["backend"] == "subprocess"] == ["exec"]
    assert [row["operation"] for row in rows if row["backend"] == "bwrap"] == ["start"]
    for row in rows:
        if row["operation"] == "idle":
            assert 0.5 < row["pss_mb"] < 50
        else:
            assert row["n"] >= 4  # rounds, at least
            assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]


def test_an_image_that_was_not_built_is_named(agentgym, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    done = agentgym("bench", "sandbox", "local", "--image", "data", "--seconds", "0")
    assert done.code == 3
    assert "there is no image 'data'" in done.err
    assert "agentgym sandbox build" in done.err


def test_an_unknown_backend_is_named(agentgym) -> None:
    done = agentgym("bench", "sandbox", "podman")
    assert done.code == 2
    assert "there is no sandbox 'podman'" in done.err
    assert "local, docker" in done.err
