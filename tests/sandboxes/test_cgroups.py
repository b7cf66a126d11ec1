"""Reading of the kernel's tables, and the files of version 2, which not every machine has."""

import errno
import os
from pathlib import Path

import pytest

from agentgym.sandboxes.cgroups import Cgroups, Group, detection, of_process
from agentgym.sandboxes.cgroups.detection import _detect_v2
from agentgym.sandboxes.cgroups.tables import mounts, own_group
from agentgym.sandboxes.counters import Counters
from agentgym.sandboxes.local import LocalSandboxConfig

MOUNTS = """\
25 1 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:1 - cgroup cgroup rw,cpu,cpuacct
27 25 0:25 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_hierarchies_are_found_by_controller() -> None:
    v1, v2 = mounts(MOUNTS)
    assert v2 == Path("/sys/fs/cgroup/unified")
    assert v1["cpu"] == v1["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert v1["memory"] == Path("/sys/fs/cgroup/memory")
    assert "pids" not in v1


def test_our_own_group_is_the_one_above_the_leaf() -> None:
    assert own_group("9:memory:/x\n0::/user.slice/a.scope\n") == "user.slice/a.scope"
    assert own_group("0::/a.scope/agentgym-host\n") == "a.scope"
    assert own_group("0::/\n") == own_group("") == ""


def test_version_2_needs_its_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu\n")
    assert _detect_v2(tmp_path, tmp_path) is None


def test_version_2_lets_its_processes_end_while_they_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that has processes hands nothing down; one of them ends before it is moved."""
    moved = []

    def write(path: Path, value: object) -> None:
        if path.name == "cgroup.subtree_control" and not moved and path.parent == tmp_path:
            raise OSError(errno.EBUSY, "it has processes")
        if path.name == "cgroup.procs":
            moved.append(value)
            if value == "2":
                raise ProcessLookupError
        path.write_text(f"{value}")

    for folder in (tmp_path, tmp_path / "agentgym"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.procs").write_text("1\n2\n3\n")
    monkeypatch.setattr(detection, "write", write)
    found = _detect_v2(tmp_path, tmp_path)
    assert moved == ["1", "2", "3"]
    assert found is not None
    assert found.folders == [tmp_path / "agentgym"]


def test_nothing_is_moved_before_the_first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    monkeypatch.setattr("agentgym.sandboxes.cgroups.detect", lambda: asked.append(None))
    sandboxes = LocalSandboxConfig().build()
    assert (sandboxes.info.backend, asked) == ("local", [])


def test_what_all_hold_together_is_limited_and_a_lower_limit_stays(tmp_path: Path) -> None:
    for version, name in ((1, "memory.limit_in_bytes"), (2, "memory.max")):
        file = tmp_path / str(version) / name
        file.parent.mkdir()
        file.write_text("9223372036854771712" if version == 1 else "max\n")
        groups = Cgroups(version, {"memory": file.parent})  # type: ignore[arg-type]
        assert groups.memory_bytes() is None
        groups.hold_memory(8 << 30)
        groups.hold_memory(9 << 30)
        assert groups.memory_bytes() == 8 << 30 == int(file.read_text())
        groups.hold_memory(7 << 30)
        assert groups.memory_bytes() == 7 << 30


def test_of_the_memory_of_a_machine_or_a_container_a_part_is_left(tmp_path: Path) -> None:
    groups = Cgroups(2, {"memory": tmp_path / "below" / "agentgym"})
    of_machine = groups.room_bytes()
    assert of_machine < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "memory.max").write_text(f"{1 << 20}\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "memory.max").write_text("max\n")
    assert groups.room_bytes() == 7 << 17


def test_the_files_of_version_2(tmp_path: Path) -> None:
    group = Group(2, dict.fromkeys(("memory", "pids", "cpu"), tmp_path))
    (tmp_path / "memory.swap.max").touch()
    group.limit(memory_bytes=1 << 26, pids=10, cpus=1.5)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert written == {
        "memory.max": "67108864",
        "memory.swap.max": "0",
        "pids.max": "10",
        "cpu.max": "150000 100000",
    }
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    with Counters(group) as counters:
        assert counters.read() == (2, 2.5)
        (tmp_path / "memory.events").write_text("oom_kill 4\n")
        assert counters.read() == (4, 2.5)
    assert group.join_files == [str(tmp_path / "cgroup.procs")]


def test_the_group_of_a_process_is_told_by_its_name(tmp_path: Path) -> None:
    """A process that merely has the number of one behind a remote engine is in another group."""
    assert of_process(os.getpid(), "0123456789abcdef" * 4) is None
    assert of_process(2**22 + 1, "") is None
