"""Reading of the kernel's tables, and the files of version 2, which not every machine has."""

import os
from pathlib import Path

from agentgym.sandboxes.cgroups import Group, _detect_v2, _mounts, _own_group, of_process
from agentgym.sandboxes.counters import Counters

MOUNTS = """\
25 1 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:1 - cgroup cgroup rw,cpu,cpuacct
27 25 0:25 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_hierarchies_are_found_by_controller() -> None:
    v1, v2 = _mounts(MOUNTS)
    assert v2 == Path("/sys/fs/cgroup/unified")
    assert v1["cpu"] == v1["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert v1["memory"] == Path("/sys/fs/cgroup/memory")
    assert "pids" not in v1


def test_our_own_group_is_the_one_above_the_leaf() -> None:
    assert _own_group("9:memory:/x\n0::/user.slice/a.scope\n") == "user.slice/a.scope"
    assert _own_group("0::/a.scope/agentgym-host\n") == "a.scope"
    assert _own_group("0::/\n") == _own_group("") == ""


def test_version_2_needs_its_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu\n")
    assert _detect_v2(tmp_path, tmp_path) is None


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
