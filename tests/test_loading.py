import sys
import textwrap

import pytest

from agentgym.env import EnvConfig
from agentgym.errors import ConfigError, EnvError
from agentgym.loading import did_you_mean, load_env, load_file, load_object

TABLE = {
    "agentgym/KeyDoor-v0": "my_envs.doors:KeyDoorConfig",
    "agentgym/Calculator-v0": "my_envs.absent:Config",
    "agentgym/Code-v0": "my_envs.doors:NOTHING",
}

ENV = """
from typing import ClassVar
from agentgym.env import EnvConfig

class KeyDoorConfig(EnvConfig):
    id: ClassVar[str] = "me/KeyDoor-v0"
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a source file into the current folder, which is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(name, source):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_id_a_module_and_a_file_name_the_same_environment(write):
    write("my_envs/doors.py", ENV)
    for ref in (
        "my_envs.doors:KeyDoorConfig",
        "agentgym/KeyDoor-v0",
        "my_envs/doors.py",
        "my_envs/doors.py:KeyDoorConfig",
    ):
        found = load_env(ref, TABLE)
        assert issubclass(found, EnvConfig)
        assert found.id == "me/KeyDoor-v0"


def test_what_a_table_names_is_not_looked_for_in_the_present_folder(write):
    write("my_envs/doors.py", ENV)
    with pytest.raises(ConfigError, match="No module named 'my_envs'"):
        load_env("agentgym/KeyDoor-v0", TABLE)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("agentgym/keydoor-v0", "agentgym/KeyDoor-v0"),
        ("agentgym/KeyDor-v0", "agentgym/KeyDoor-v0"),
        ("KeyDoor", "agentgym/KeyDoor-v0"),
        ("keydor", "agentgym/KeyDoor-v0"),
        ("calc", "agentgym/Calculator-v0"),
        ("Code-v1", "agentgym/Code-v0"),
    ],
)
def test_an_unknown_environment_is_answered_with_the_nearest(name, meant):
    with pytest.raises(ConfigError, match="unknown environment") as error:
        load_env(name, TABLE)
    assert error.value.exit_code == 2
    assert error.value.hint.startswith(f"did you mean {meant!r}? known: agentgym/Calculator-v0, ")


@pytest.mark.parametrize("name", ["", "xyzzy", "agentgym.gym:agentgym/Code-v0x", "a/b:c"])
def test_an_unknown_environment_like_nothing_else_lists_what_is_known(name):
    with pytest.raises(ConfigError, match="unknown environment") as error:
        load_env(name, TABLE)
    assert "agentgym/KeyDoor-v0" in error.value.hint


def test_nothing_is_meant_where_nothing_is_near():
    assert did_you_mean("xyzzy", TABLE) is None
    assert did_you_mean("", TABLE) is None
    assert did_you_mean("x", []) is None


def test_a_missing_file_names_the_nearest(write):
    write("envs/calc.py", ENV)
    with pytest.raises(ConfigError, match=r"cannot read envs/clac\.py: No such file") as error:
        load_env("envs/clac.py", TABLE)
    assert error.value.hint == "did you mean 'envs/calc.py'?"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n\nraise ValueError('no key')\n", r"my\.py:3: .*ValueError: no key"),
        ("def f():\n    return 1 / 0\n\nf()\n", r"my\.py:2: .*ZeroDivisionError"),
        ("import json\njson.loads('{')\n", r"my\.py:2: .*JSONDecodeError"),
        ("import not_installed\n", r"my\.py:1: .*No module named 'not_installed'"),
        ("x = = 1\n", r"my\.py:1: .*SyntaxError"),
        ("\n\nraise SystemExit(3)\n", r"my\.py:3: .*SystemExit"),
    ],
    ids=["raise", "function", "library", "import", "syntax", "exit"],
)
def test_a_file_that_raises_is_an_error_with_file_and_line(write, source, message):
    write("my.py", source)
    with pytest.raises(EnvError, match=message):
        load_env("my.py", TABLE)
    with pytest.raises(EnvError, match=message):  # every time, not only the first
        load_env("my:Config", TABLE)


def test_a_library_that_refuses_a_file_names_the_line_of_the_file(write):
    write("my.py", "from agentgym.types import Task\n\nTask('x', answer={1})\n")
    with pytest.raises(EnvError, match=r"my\.py:3: .*TypeError"):
        load_env("my.py", TABLE)


def test_a_hint_given_inside_a_file_is_kept(write):
    write("my.py", "from agentgym.errors import ConfigError\nraise ConfigError('x', hint='do y')\n")
    with pytest.raises(EnvError, match=r"my\.py:2") as error:
        load_env("my.py", TABLE)
    assert error.value.hint == "do y"


def test_a_file_with_several_environments_asks_which(write):
    second = ENV.replace("class KeyDoorConfig", "class SecondConfig").replace("KeyDoor-v0", "B-v0")
    write("my.py", ENV + second)
    with pytest.raises(ConfigError, match="defines 2 environments") as error:
        load_env("my.py", TABLE)
    assert error.value.hint == "name one: my.py:KeyDoorConfig, my.py:SecondConfig"
    assert load_env("my.py:SecondConfig", TABLE).id == "me/B-v0"


def test_what_a_file_imports_and_shared_bases_do_not_count(write):
    write("doors.py", ENV)
    write(
        "my.py",
        """
        from typing import ClassVar
        from agentgym.env import EnvConfig
        from doors import KeyDoorConfig  # beside the file

        class Base(EnvConfig):
            size: int = 3

        class MineConfig(Base):
            id: ClassVar[str] = "me/Mine-v0"
        """,
    )
    assert load_env("my.py", TABLE).__name__ == "MineConfig"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("my.py", "defines no environment"),
        ("my.py:NOTHING", "is 5, not the config"),
        ("my.py:Plain", "is the class Plain, not the config"),
        ("my.py:Absent", "there is no 'Absent'"),
        ("my:Absent", "there is no 'Absent'"),
        ("absent:Config", "No module named 'absent'"),
        ("my.sub:Config", r"No module named 'my\.sub'"),
        ("agentgym/Calculator-v0", r"No module named 'my_envs"),
        ("my-env:Config", "does not name an object"),
        ("my:", "does not name an object"),
    ],
)
def test_what_is_no_environment_is_a_config_error(write, ref, message):
    write("my.py", "NOTHING = 5\nclass Plain: pass\n")
    with pytest.raises(ConfigError, match=message):
        load_env(ref, TABLE)


def test_an_environment_is_answered_with_its_config(write):
    write("my.py", "from agentgym.env import Env\nclass Mine(Env): pass\n")
    with pytest.raises(ConfigError, match="class Mine") as error:
        load_env("my.py:Mine", TABLE)
    assert error.value.hint == "name the config of this environment"


def test_a_config_without_id_is_told_how(write):
    write("my.py", "from agentgym.env import EnvConfig\nclass Mine(EnvConfig): pass\n")
    with pytest.raises(ConfigError, match="has no id") as error:
        load_env("my.py", TABLE)
    assert "ClassVar[str]" in error.value.hint


def test_a_file_is_run_once_until_it_changes(write):
    write("my.py", "import itertools\nvalue = 1\n")
    first = load_file("my.py")
    assert load_file("my.py") is first
    write("my.py", "value = 2\n")
    assert load_file("my.py:value") == 2
    with pytest.raises(ConfigError, match="does not name a file"):
        load_file("my.txt")


def test_dataclasses_and_pydantic_models_of_a_file_work(write):
    write(
        "my.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from pydantic import BaseModel

        @dataclass
        class Point:
            x: int

        class Model(BaseModel):
            inner: Inner | None = None

        class Inner(BaseModel):
            x: int
        """,
    )
    assert load_file("my.py:Point")(1).x == 1
    assert load_file("my.py:Model")(inner={"x": 2}).inner.x == 2


def test_an_object_may_be_inside_another():
    assert load_object("agentgym.types:Message.from_openai")({"role": "user"}).role == "user"
    with pytest.raises(ConfigError, match="there is no 'from_opnai'") as error:
        load_object("agentgym.types:Message.from_opnai")
    assert error.value.hint == "did you mean 'from_openai'?"


def test_what_is_no_class_has_attributes_too(write):
    write("my.py", "NUMBER = 3\n")
    assert load_file("my.py:NUMBER.real") == 3
    with pytest.raises(ConfigError, match=r"'my\.py:NUMBER\.reel': there is no 'reel'") as error:
        load_file("my.py:NUMBER.reel")
    assert error.value.hint == "did you mean 'real'?"


def test_the_standard_library_is_not_hidden_by_the_current_folder(write):
    write("json.py", "raise RuntimeError('shadow')\n")
    write("my.py", ENV + "import json\njson.dumps(1)\n")
    assert load_env("my.py", TABLE).id == "me/KeyDoor-v0"


@pytest.mark.parametrize(
    ("ref", "hint"),
    [
        ("my", "did you mean 'my.py'?"),
        ("./my", "did you mean './my.py'?"),
        ("folder", "it is a folder; name a file in it: folder/file.py"),
        (".", "it is a folder; name a file in it: file.py"),
        ("~/my", "did you mean '~/my.py'?"),
    ],
)
def test_a_path_that_is_no_file_is_answered_with_what_is_there(write, monkeypatch, ref, hint):
    monkeypatch.setenv("HOME", str(write("my.py", ENV).parent))
    write("folder/other.py", ENV)
    with pytest.raises(ConfigError, match="unknown environment") as error:
        load_env(ref, TABLE)
    assert error.value.hint == hint


def test_a_tilde_stands_for_the_home_folder(write, monkeypatch):
    monkeypatch.setenv("HOME", str(write("my.py", ENV).parent))
    assert load_env("~/my.py", TABLE).id == "me/KeyDoor-v0"


def test_what_names_have_in_common_brings_none_of_them_near(write):
    assert did_you_mean("agentgym/Any-v0", TABLE) is None
    write("other.py", ENV)
    with pytest.raises(ConfigError) as error:
        load_env("mine.py", TABLE)
    assert error.value.hint == "a path is taken from the current folder"


def test_a_folder_named_like_a_file_is_not_meant_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").mkdir()
    with pytest.raises(ConfigError, match=r"cannot read my\.py: Is a directory") as error:
        load_env("my.py", TABLE)
    assert error.value.hint == "a path is taken from the current folder"


def test_a_file_that_is_no_text_is_named(write):
    write("my.py", "x = 1\0")
    with pytest.raises(EnvError, match=r"my\.py: importing raised SyntaxError"):
        load_env("my.py", TABLE)
