"""The pytest fixture fails a test with what a person needs to mend the environment."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from agentgym.check import fixture
from agentgym.check.fixture import CheckEnv
from agentgym.envs.keydoor import KeyDoorConfig

pytestmark = pytest.mark.slow

BROKEN = """
import agentgym as ag


@ag.env("me/Broken-v0")
def tasks():
    yield ag.Task("Say yes.")


@tasks.reward
def always(transcript) -> float:
    return 1.0
"""

TEST = """
def test_it(check_env):
    check_env("broken.py", level="semantic")


def test_what_it_declares(check_env):
    assert check_env("broken.py", level="static", max_turns=3).ok
    assert not check_env("broken.py", level="static").is_complete
"""


def test_a_failed_check_fails_the_test_with_file_and_hint(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "test_broken.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "failed  11 gold: " in done.stdout
    assert "broken.py:5: silence scores 1.000 in the mean, more than noop_score" in done.stdout
    assert "hint: pay only for what was achieved" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_example_is_python() -> None:
    assert fixture.__doc__
    ast.parse(fixture.__doc__.partition("\n\n")[2])


def test_a_configuration_may_be_given_as_a_class(check_env: CheckEnv) -> None:
    assert check_env(KeyDoorConfig, level="static", tier="hard").is_complete
