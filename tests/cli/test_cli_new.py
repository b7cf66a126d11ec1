"""Every flavour of `agentgym new` is really built, installed, found, checked, played and trained."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from outside import PIP, make_venv

FLAVOURS = ("tool", "stateful", "sandbox", "gymnasium")
Outside = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """Run a command of a virtual environment of its own."""
    commands = make_venv(tmp_path / "venv")

    def run(command: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [commands / command, *words],
            cwd=tmp_path,
            env={**os.environ, **PIP},
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    return run


def _soaked(flavour: str) -> Any:
    """What the page on environments goes through as well, or is much like another, can wait."""
    waits = flavour in ("stateful", "gymnasium")
    return pytest.param(flavour, marks=pytest.mark.soak if waits else ())


@pytest.mark.slow
@pytest.mark.sandbox
@pytest.mark.parametrize("flavour", [_soaked(each) for each in FLAVOURS])
def test_a_package_is_built_installed_found_checked_run_and_tested(
    tmp_path: Path, outside: Outside, flavour: str
) -> None:
    def agentgym(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return outside("agentgym", *words, **options)

    done = agentgym("new", "my-thing", f"--{flavour}", "--id", "stranger/Thing-v3")
    assert done.returncode == 0, done.stderr
    done = outside("pip", "install", "./my-thing")
    assert done.returncode == 0, done.stderr
    found = {each["id"]: each for each in json.loads(agentgym("envs", "--json").stdout)}
    assert found["stranger/Thing-v3"]["package"] == "my-thing"
    assert found["stranger/Thing-v3"]["error"] is None
    done = agentgym("check", "stranger/Thing-v3", "--strict", "--json")
    assert done.returncode == 0, done.stdout
    done = agentgym("run", "stranger/Thing-v3", "-n", "10", "-o", "run", "--json")
    assert json.loads(done.stdout)["success"]["mean"] == 1.0, done.stderr
    assert agentgym("replay", "run", "--verify").returncode == 0
    done = agentgym("play", "stranger/Thing-v3", "-o", "played", input="/hint\nnothing\n/quit\n")
    assert done.returncode == 0, done.stderr
    done = outside("pytest", "-q", "my-thing/tests")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("My Env",), "no name for a package"),
        (("class",), "would hide another"),
        (("json",), "would hide another"),
        (("gymnasium",), "would hide another"),
        (("numpy",), "would hide another"),
        (("tests",), "would hide another"),
        (("a/../-x",), "no name for a package"),
        (("mine", "--tool", "--sandbox"), "--tool and --sandbox cannot be given together"),
        (("mine", "--id", "Mine"), "no id of an environment"),
        (("mine", "--id", "agentgym/Mine-v0"), "agentgym/ is for its own"),
    ],
)
def test_a_bad_name_is_refused_before_anything_is_written(
    agentgym, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = agentgym("new", *words)
    assert done.code == 2
    assert told in done.err
    assert "hint:" in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_written_over(agentgym, tmp_path: Path) -> None:
    assert agentgym("new", "mine").code == 0
    before = (tmp_path / "mine/pyproject.toml").read_text()
    done = agentgym("new", "mine", "--stateful")
    assert done.code == 2
    assert "exists already" in done.err
    assert (tmp_path / "mine/pyproject.toml").read_text() == before


def test_a_folder_that_cannot_be_written_is_named(agentgym) -> None:
    done = agentgym("new", "/proc/mine")
    assert done.code == 1
    assert "error: cannot write /proc/mine/pyproject.toml: No such file" in done.err


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_source_is_formatted_typed_and_clean(agentgym, tmp_path: Path, flavour: str) -> None:
    assert agentgym("new", "mine", f"--{flavour}").code == 0
    for words in (["ruff", "check"], ["ruff", "format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", *words, "mine"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
