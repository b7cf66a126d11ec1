"""`agentgym show`: whole episodes, single turns, a pager, keys; and text that commands nothing."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentgym.demo import write_demo
from agentgym.store.address import Address

ROOT = Path(__file__).parents[2]
EPISODE = "train-000002-000.1.0"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    """The demo run; it is only read."""
    path = tmp_path_factory.mktemp("show") / "demo run"
    write_demo(path)
    return str(path)


def steps(agentgym, root: str) -> list[dict]:
    return agentgym("show", root, EPISODE, "--json").json["steps"]


def test_one_turn_stands_between_its_neighbours(agentgym, root) -> None:
    recorded = steps(agentgym, root)
    done = agentgym("show", root, EPISODE, "--turn", "1")
    assert done.code == 0, done.err
    speakers = [
        line for line in done.out.splitlines() if line.startswith(("assistant", "tool", "user"))
    ]
    before = len(recorded[0]["replies"])
    assert [line.endswith("  before") for line in speakers[:before]] == [True] * before
    assert speakers[before].startswith("assistant  turn 1 ")
    assert speakers[-1] == "assistant  next"
    first = agentgym("show", root, EPISODE, "--turn", "0").out
    assert "system  before" in first or "user  before" in first
    last = agentgym("show", root, EPISODE, "--turn", str(len(recorded) - 1)).out
    assert "  next" not in last
    assert (
        agentgym("show", root, EPISODE, "--turn", "1", "--json").json == {"turn": 1} | recorded[1]
    )


def test_an_address_is_shown_as_its_parts_are(agentgym, root) -> None:
    for turn, words in [(None, [EPISODE]), (1, [EPISODE, "--turn", "1"])]:
        shown = agentgym("show", str(Address(root, EPISODE, turn)))
        assert shown.code == 0, shown.err
        assert shown.out == agentgym("show", root, *words).out
    token = agentgym("show", str(Address(root, EPISODE, 1, 0))).out
    (line,) = [line for line in token.splitlines() if line.startswith("token 0 of ")]
    assert "logprob -" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{root}#x", EPISODE], "an address names its episode"),
        (["{root}", "--turn", "1"], "--turn is of an episode"),
        (["{root}", EPISODE, "--turn", "99"], "its turns are 0 to"),
        (["{quoted}#" + EPISODE + "/1/999"], "no token 999"),
        (["{quoted}#" + EPISODE + "/x"], "expected a number"),
        (["{root}", EPISODE, "--step-by-step"], "on a terminal only"),
        (["{root}", "--step-by-step"], "--step-by-step is of an episode"),
        (["{root}", EPISODE, "--step-by-step", "--turn", "99"], "its turns are 0 to"),
    ],
)
def test_what_cannot_be_shown_is_told(agentgym, root, words, told) -> None:
    quoted = str(Address(root, "")).removesuffix("#")
    done = agentgym("show", *(word.format(root=root, quoted=quoted) for word in words))
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def at_terminal(root: str, *words: str, keys: bytes = b"", **variables: str) -> str:
    """Run it at a terminal of 24 lines, and return everything that was written there."""
    leader, follower = pty.openpty()
    env = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "LINES": "24", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym", "show", root, *words],
        stdin=follower, stdout=follower, stderr=follower, env=env | variables,
    )  # fmt: skip
    os.close(follower)
    found = b""
    for key in [b"", *(bytes([key]) for key in keys)]:
        os.write(leader, key)
        found += _written(leader, until=b"q quit" if keys else b"\0")
    process.wait(timeout=20)
    os.close(leader)
    return found.decode()


def _written(leader: int, *, until: bytes) -> bytes:
    found, deadline = b"", time.monotonic() + 20
    while until not in found and time.monotonic() < deadline:
        if not select.select([leader], [], [], 1)[0]:
            continue
        try:
            read = os.read(leader, 65536)
        except OSError:  # the other side is closed
            break
        if not read:
            break
        found += read
    return found


def test_keys_lead_through_the_turns(root) -> None:
    screens = at_terminal(root, EPISODE, "--step-by-step", keys=b"jjkGq").split("\x1b[H\x1b[2J")[1:]
    turns = [screen.rsplit(" of 0 to ", 1)[0].rsplit("\n", 1)[1] for screen in screens]
    assert [turn.rsplit("m", 1)[-1] for turn in turns][:4] == ["0", "1", "2", "1"]
    assert len(turns) == 5


def test_long_text_goes_through_the_pager_of_a_terminal(root, tmp_path) -> None:
    kept, script = tmp_path / "kept", tmp_path / "pager.py"
    script.write_text(f"import sys; open({str(kept)!r}, 'wb').write(sys.stdin.buffer.read())")
    pager = f"{sys.executable} {script}"
    at_terminal(root, EPISODE, PAGER=pager)
    assert "\x1b[" in kept.read_text()
    assert EPISODE in kept.read_text()
    kept.unlink()
    at_terminal(root, EPISODE, PAGER=pager, NO_COLOR="1")
    assert "\x1b[" not in kept.read_text()


@pytest.mark.parametrize("pager", ["", "no-such-pager", "less '", "/"])
def test_without_a_pager_that_runs_the_text_is_written(root, pager) -> None:
    written = at_terminal(root, EPISODE, PAGER=pager)
    assert written.count(EPISODE) == 1
    assert ("$PAGER cannot be run" in written) == bool(pager)
    assert "Traceback" not in written


def test_ctrl_c_is_left_to_the_pager(root, tmp_path) -> None:
    script = tmp_path / "pager.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "sys.stdin.read(); os.kill(os.getppid(), signal.SIGINT); time.sleep(1)\n"
        "print('left in good order')\n"
    )
    written = at_terminal(root, EPISODE, PAGER=f"{sys.executable} {script}")
    assert "left in good order" in written
    assert "interrupted" not in written


def test_what_is_piped_has_no_pager_and_no_colours(process, root) -> None:
    done = process(
        "show", root, EPISODE, env=os.environ | {"PAGER": "false", "PYTHONPATH": str(ROOT)}
    )
    assert done.code == 0
    assert EPISODE in done.out
    assert "\x1b" not in done.out


def test_a_run_names_the_address_of_an_episode(agentgym, root) -> None:
    last = agentgym("show", root).out.splitlines()[-1]
    address = last.removeprefix("one of them: agentgym show ")
    assert address.startswith(root.replace(" ", "%20") + "#")
    assert agentgym("show", address).code == 0
