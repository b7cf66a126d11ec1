import os
from pathlib import Path

import pytest

from agentgym.cli import diagnosis


def test_what_is_missing_is_named_with_its_mend(process, tmp_path: Path) -> None:
    done = process("doctor", "--json", env=os.environ | {"PATH": str(tmp_path)})
    assert done.code == 3
    found = {each["name"]: each for each in done.json}
    assert found["bubblewrap"]["status"] == "missing"
    assert "apt-get install bubblewrap" in found["bubblewrap"]["mend"]
    assert found["sandbox"]["status"] == "missing"
    assert found["sandbox"]["mend"]
    assert found["pydantic"]["status"] == "ok"
    assert {each["status"] for each in done.json} <= {"ok", "warning", "missing"}


def test_a_sandbox_that_cannot_start_is_one_error_and_leaves_nothing(
    process, tmp_path: Path
) -> None:
    env = os.environ | {"PATH": str(tmp_path / "nothing")}
    for words in (["run", "agentgym/Code-v0", "-o", "r"], ["train", "env.id=agentgym/Code-v0"]):
        done = process(*words, env=env)
        assert done.code == 3
        assert "bwrap" in done.err or "bubblewrap" in done.err
        assert "hint: " in done.err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.sandbox
def test_a_machine_that_can_run_sandboxes_is_told_how_limits_hold(agentgym) -> None:
    done = agentgym("doctor")
    assert done.code == 0
    assert "runs programs" in done.out
    assert "seccomp filter" in done.out


def test_forbidden_namespaces_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "max").write_text("0\n")
    monkeypatch.setattr(diagnosis, "_SYSCTLS", {str(tmp_path / "max"): lambda value: value == "1"})
    (found,) = [each for each in diagnosis.diagnose_kernel() if each.name == "user namespaces"]
    assert found.status == "warning"
    assert found.mend is not None
    assert "sysctl -w" in found.mend
