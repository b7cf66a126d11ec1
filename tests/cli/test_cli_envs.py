import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from agentgym.envs import ENVS

pytestmark = pytest.mark.slow


def test_environments_are_listed_with_tiers_splits_and_needs(agentgym) -> None:
    done = agentgym("envs", "--json")
    assert done.code == 0
    found = {each["id"]: each for each in done.json}
    assert set(found) >= set(ENVS)
    code = found["agentgym/Code-v0"]
    assert code["splits"] == ["train", "test"]
    assert code["needs"] == ["a sandbox"]
    assert len(code["tiers"]) == 3
    assert code["error"] is None
    assert code["package"] == "agentgym"
    assert "agentgym/KeyDoor-v0" in agentgym("envs").out


def test_one_environment_is_shown_with_its_keys_and_tools(agentgym) -> None:
    code = agentgym("envs", "agentgym/Code-v0", "--json").json
    assert [tool["name"] for tool in code["tools"]] == ["run_code", "run_tests", "submit"]
    keys = {key["name"]: key for key in code["keys"]}
    assert keys["max_turns"] == {
        "name": "max_turns",
        "required": False,
        "default": 4,
        "type": "whole number",
        "doc": "Steps after which an episode is truncated.",
    }
    assert keys["limits.wall_s"]["default"] == 10.0
    told = agentgym("envs", "agentgym/Calculator-v0").out
    assert "calc(expression)" in told
    assert 'env.tier       "easy" or "medium" or "hard"' in told
    assert "Steps after which an episode is truncated." in told
    done = agentgym("envs", "agentgym/Calculater-v0")
    assert done.code == 2
    assert "did you mean 'agentgym/Calculator-v0'" in done.err


REQUIRED = """
from collections.abc import Iterator
from typing import ClassVar

from agentgym import EnvConfig, Task


class NeedyConfig(EnvConfig):
    id: ClassVar[str] = "me/Needy-v0"
    word: str
    '''What is said.'''

    def tasks(self, split: str) -> Iterator[Task]:
        yield Task(self.word)
"""


def test_keys_that_must_be_given_are_shown_so(agentgym, tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text(REQUIRED)
    done = agentgym("envs", "needy.py")
    assert done.code == 0
    assert "env.word       text          must be given  What is said." in done.out
    assert done.err == "tools are not shown: me/Needy-v0: `word` must be given\n"
    found = agentgym("envs", "needy.py", "--json").json
    assert {key["name"]: key["required"] for key in found["keys"]} == {
        "max_turns": False,
        "word": True,
    }
    done = agentgym("bench", "env", "needy.py")
    assert (done.code, done.out) == (2, "")
    assert "error: me/Needy-v0: `word` must be given" in done.err
    assert "hint: name a subclass that has a default for it" in done.err


GOOD = """
import agentgym as ag

@ag.env("{id}")
def tasks():
    yield ag.Task("Say yes.", answer="yes")

@tasks.reward
def correct(ep, task) -> float:
    return float(ep.final_text == task.answer)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put packages where Python finds them, with entry points."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))

    def install(package: str, source: str, **points: str) -> None:
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name.replace('__', '/')}-v0 = {ref}" for name, ref in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[agentgym.envs]", *lines]) + "\n")
        (folder / f"{package}.py").write_text(source)

    return install


def test_plugins_are_found_and_a_broken_one_is_named_and_breaks_no_other(agentgym, install) -> None:
    install("plug_good", GOOD.format(id="me/Good-v0"), me__Good="plug_good:tasks")
    install(
        "plug_loud", "print('hello')\n" + GOOD.format(id="me/Loud-v0"), me__Loud="plug_loud:tasks"
    )
    install("plug_raises", "raise RuntimeError('no')", me__Raises="plug_raises:tasks")
    install("plug_exits", "import sys\nsys.exit(3)", me__Exits="plug_exits:tasks")
    install("plug_ours", "", agentgym__Code="plug_ours:tasks")
    install("plug_other", GOOD.format(id="me/Other-v1"), me__Other="plug_other:tasks")
    install("plug_gone", "", me__Gone="plug_gone:absent")
    install("plug_odd", "", me__Odd="plug_odd")
    needs = "\ntasks.env_config.packages = ('no_such_package.part',)\n"
    install("plug_needs", GOOD.format(id="me/Needs-v0") + needs, me__Needs="plug_needs:tasks")
    for package in ("plug_one", "plug_two"):
        install(package, GOOD.format(id="me/Twice-v0"), me__Twice=f"{package}:tasks")
    done = agentgym("envs", "--json")
    assert done.code == 0
    errors = {(each["id"], each["package"]): each["error"] for each in done.json}
    assert errors["me/Good-v0", "plug_good"] is None
    assert errors["me/Loud-v0", "plug_loud"] is None
    assert errors["me/Needs-v0", "plug_needs"] is None
    assert "no_such_package.part (missing)" in done.out
    assert "hello" in done.err
    assert errors["agentgym/Code-v0", "agentgym"] is None
    for (name, package), words in {
        ("me/Raises-v0", "plug_raises"): "plug_raises.py:1: importing raised RuntimeError: no",
        ("me/Exits-v0", "plug_exits"): "SystemExit",
        ("agentgym/Code-v0", "plug_ours"): "its name is one of agentgym's own",
        ("me/Other-v0", "plug_other"): "its id is me/Other-v1",
        ("me/Gone-v0", "plug_gone"): "there is no 'absent'",
        ("me/Odd-v0", "plug_odd"): "should be written pkg.mod:attr",
        ("me/Twice-v0", "plug_one"): "another package offers the same name",
        ("me/Twice-v0", "plug_two"): "another package offers the same name",
    }.items():
        assert words in errors[name, package]
    told = agentgym("envs")
    assert told.code == 0
    assert "me/Good-v0" in told.out
    assert "broken: me/Raises-v0 of plug_raises" in told.err
    assert agentgym("envs", "xyzzy").err.count("agentgym/Code-v0") == 1


def test_a_plugin_is_checked_and_played_by_its_id(agentgym, install) -> None:
    install("plug_fine", GOOD.format(id="me/Fine-v0"), me__Fine="plug_fine:tasks")
    install("plug_bad", "raise RuntimeError('no')", me__Bad="plug_bad:tasks")
    assert (
        agentgym("run", "me/Fine-v0", "-m", "scripted:noop", "-n", "1", "--json").json["success"][
            "n"
        ]
        == 1
    )
    done = agentgym("run", "me/Bad-v0", "-m", "scripted:noop")
    assert done.code == 1
    assert "plug_bad.py:1" in done.err
    assert "did you mean 'me/Fine-v0'" in agentgym("check", "me/Fone-v0").err


def test_a_broken_environment_is_named_and_hides_no_other(
    agentgym, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("no_config")
    module.Thing = int
    monkeypatch.setitem(sys.modules, "no_config", module)
    monkeypatch.setitem(ENVS, "test/Gone-v0", "no_such_package.envs:Config")
    monkeypatch.setitem(ENVS, "test/Thing-v0", "no_config:Thing")
    done = agentgym("envs")
    assert done.code == 0
    assert "agentgym/KeyDoor-v0" in done.out
    assert "test/Gone-v0" not in done.out
    assert "broken: test/Gone-v0" in done.err
    assert "broken: test/Thing-v0" in done.err


def test_check_reports_and_fails_with_1(agentgym, env_file) -> None:
    done = agentgym("check", "agentgym/Calculator-v0", "env.tier=hard", "--json")
    assert done.code == 0
    assert done.json["ok"]
    done = agentgym("check", env_file(step="raise ValueError('no')"))
    assert done.code == 1
    assert "mine.py:" in done.out


def test_check_refuses_keys_that_no_environment_hears_of(agentgym) -> None:
    done = agentgym("check", "agentgym/Calculator-v0", "train.steps=3")
    assert done.code == 2
    assert "command line: `train.steps` has no effect on a check" in done.err
    assert "hint: the keys of [env]: agentgym config explain env agentgym/Calculator-v0" in done.err


@pytest.mark.slow
def test_ctrl_c_stops_the_import_of_a_file_that_never_ends(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text("print('begun', flush=True)\nwhile True: pass\n")
    words = [sys.executable, "-m", "agentgym", "check", "endless.py"]
    child = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert child.stderr.readline() == "begun\n"
    child.send_signal(signal.SIGINT)
    try:
        assert child.wait(timeout=30) == 130
    finally:
        child.kill()
        child.communicate()


def test_check_names_the_nearest_environment(agentgym) -> None:
    done = agentgym("check", "agentgym/KeyDor-v0")
    assert done.code == 2
    assert "did you mean 'agentgym/KeyDoor-v0'" in done.err


def test_what_needs_a_sandbox_is_not_said_to_be_checked_without_one(
    agentgym, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = agentgym("check", "agentgym/Code-v0")
    assert done.code == 3
    assert "not checked" in done.out
    assert "hint: apt-get install bubblewrap" in done.err


def test_what_an_environment_prints_disturbs_no_json(agentgym, tmp_path: Path) -> None:
    source = GOOD.format(id="me/Loud-v0").replace("    yield", "    print('hello')\n    yield")
    (tmp_path / "loud.py").write_text(source)
    run = ("run", "loud.py", "-m", "scripted:noop", "-o", "run", "--json")
    for words in (("check", "loud.py", "--json"), ("envs", "loud.py", "--json"), run):
        done = agentgym(*words)
        assert done.json, done.err
        assert "hello" in done.err
