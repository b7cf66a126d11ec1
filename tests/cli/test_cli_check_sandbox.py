"""`agentgym check sandbox`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.sandbox
def test_rows_are_printed_as_json_with_their_status(agentgym) -> None:
    done = agentgym("check", "sandbox", "local", "sandbox.cpus=2", "--only", "close_*", "--json")
    assert done.code == 0, done.err
    assert len(done.json) == 2
    assert all(set(row) == {"name", "backend", "status", "reason"} for row in done.json)
    assert {(row["backend"], row["status"]) for row in done.json} == {("local", "contained")}


@pytest.mark.sandbox
def test_rows_are_printed_for_people(agentgym) -> None:
    done = agentgym("check", "sandbox", "local", "--only", "close_stdio")
    assert done.out.splitlines() == [
        "contained      close_stdio  exit code 7",
        "local: 1 row: 1 contained",
    ]


@pytest.mark.sandbox
def test_a_row_that_fails_is_an_exit_code(agentgym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgym.check.sandbox.row.program", lambda code: "exit(9)")
    done = agentgym("check", "sandbox", "local", "--only", "close_stdio")
    assert done.code == 1
    assert done.out.startswith("failed         close_stdio  expected exit code 7")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a backend to check"),
        (("lokal",), "there is no backend 'lokal'"),
        (("local", "env.tier=hard"), "'env.tier=hard' has no effect on this check"),
        (("local", "sandbox.cpu=2"), "did you mean `sandbox.cpus`?"),
        (("local", "--only", "fork_bom"), "did you mean 'fork_bomb'?"),
        (("local", "--level", "static"), "--level and --template have no effect"),
    ],
)
def test_wrong_words_are_told(agentgym, words: tuple[str, ...], said: str) -> None:
    done = agentgym("check", "sandbox", *words)
    assert done.code == 2
    assert said in done.err


def test_without_bubblewrap_it_says_what_to_install(
    agentgym, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = agentgym("check", "sandbox", "local")
    assert (done.code, done.out) == (3, "")
    assert "hint: apt-get install bubblewrap" in done.err


@pytest.mark.sandbox
@pytest.mark.slow
def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agentgym", "check", "sandbox", "local", "--only", "hidden*"]
    child = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True)
    family: set[int] = set()
    while not any(_name(pid) == "bwrap" for pid in family):
        assert child.poll() is None, child.communicate()
        family = _descendants(child.pid)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130, said
    assert b"Traceback" not in said
    deadline = time.monotonic() + 5  # the kernel takes them apart a little later
    while left := [pid for pid in family if os.path.exists(f"/proc/{pid}")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def _descendants(pid: int) -> set[int]:
    found = set()
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found |= {child} | _descendants(child)
    except OSError:
        pass
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
