"""Engines and renderers of users, named in a configuration by their place."""

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from agentgym.config.editor import run_schema
from agentgym.config.keys import entries
from agentgym.config.overlay import flatten, render_toml, resolve
from agentgym.config.run import RunConfig, recorded, resolve_words
from agentgym.engine import Engine, EngineConfig
from agentgym.engines import AnyEngine
from agentgym.engines.local import LocalEngineConfig
from agentgym.errors import AgentGymError, ConfigError, EngineError, PolicyError
from agentgym.renderer import Renderer, RendererConfig

ENV = "env.id=agentgym/KeyDoor-v0"


class Section(NamedTuple):
    """One of the sections that take a class of a user."""

    name: str
    module: str
    base: type[BaseModel]
    thing: type
    error: type[AgentGymError]
    ours: str

    def source(self, config: str = "MineConfig", more: str = "") -> str:
        base = self.base.__name__
        return (
            f"from {self.module} import {base}\n\n\nclass {config}({base}):\n"
            f'    """Mine."""\n\n    depth: int = 3\n    """How deep."""\n'
            f"\n    def build(self, *args, **kwargs):\n        return self.depth\n{more}"
        )


SECTIONS = (
    Section("engine", "agentgym.engine", EngineConfig, Engine, EngineError, "local"),
    Section("renderer", "agentgym.renderer", RendererConfig, Renderer, PolicyError, "chat"),
)


@pytest.fixture(params=SECTIONS, ids=lambda section: section.name)
def section(request: pytest.FixtureRequest) -> Section:
    found: Section = request.param
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, from which modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    # Other tests have files of this name, whose folders stay on the path once they were loaded.
    monkeypatch.setattr(
        sys, "path", [each for each in sys.path if not Path(each, "mine.py").exists()]
    )
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def resolved(section: Section, ref: str, *words: str) -> Any:
    found = resolve_words([ENV, f"{section.name}.name={ref}", *words])
    return found, getattr(found.config, section.name)


def refused(*words: str, kind: type[AgentGymError] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        resolve_words([ENV, *words])
    return f"{caught.value} | {caught.value.hint}"


@pytest.mark.parametrize("ref", ["mine.py", "mine.py:MineConfig", "./mine.py", "mine:MineConfig"])
def test_a_class_is_a_member_of_its_section(here: Path, section: Section, ref: str) -> None:
    (here / "mine.py").write_text(section.source())
    found, config = resolved(section, ref, f"{section.name}.depth=4")
    assert isinstance(config, section.base)
    assert type(config).__name__ == "MineConfig"
    assert config.build() == 4
    name = ref if ref == "mine:MineConfig" else str(here / ref)
    assert {key: value for key, value in flatten(found.config).items() if section.name in key} == {
        f"{section.name}.name": name,
        f"{section.name}.depth": 4,
    }
    assert found.provenance[f"{section.name}.depth"] == "command line"


def test_a_file_of_settings_names_it_and_the_command_line_goes_over_it(
    here: Path, section: Section
) -> None:
    (here / "mine.py").write_text(section.source())
    file = here / "a.toml"
    file.write_text(
        f'env.id = "agentgym/KeyDoor-v0"\n[{section.name}]\nname = "mine.py"\ndepth = 5\n'
    )
    found = resolve(RunConfig, [file])
    assert getattr(found.config, section.name).depth == 5
    assert found.provenance[f"{section.name}.depth"] == f"{file}:4"
    over = resolve(RunConfig, [file], [f"{section.name}.depth=6"])
    assert getattr(over.config, section.name).depth == 6
    ours = f'{section.name}={{name = "{section.ours}"}}'
    with pytest.raises(ConfigError, match="unknown key") as error:
        resolve(RunConfig, [file], [f"{section.name}.name={section.ours}"])
    assert str(error.value.hint).endswith(ours.replace("=", "='", 1) + "'")
    assert getattr(resolve(RunConfig, [file], [ours]).config, section.name).name == section.ours
    file.write_text(file.read_text().replace("depth", "dept"))
    with pytest.raises(ConfigError, match=rf"a\.toml:4: unknown key `{section.name}\.dept`") as e:
        resolve(RunConfig, [file])
    assert e.value.hint == f"did you mean `{section.name}.depth`?"


def test_what_is_recorded_is_read_again_from_any_folder(
    here: Path, section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "mine.py").write_text(section.source())
    found, config = resolved(section, "mine.py", f"{section.name}.depth=7")
    file = here / "config.toml"
    file.write_text(render_toml(found))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    again = recorded(file)
    assert again.config == found.config
    assert again.provenance == found.provenance
    assert getattr(again.config, section.name) == config


def test_it_is_copied_and_pickled(here: Path, section: Section) -> None:
    (here / "mine.py").write_text(section.source())
    _, config = resolved(section, "mine.py", f"{section.name}.depth=8")
    assert pickle.loads(pickle.dumps(config)) == config
    assert pickle.loads(pickle.dumps(config)).model_fields_set == config.model_fields_set
    assert config.model_copy(update={"depth": 9}).depth == 9


def test_a_class_may_call_itself_what_it_likes(here: Path, section: Section) -> None:
    named = section.source().replace(
        "    depth: int", '    name: Literal["m"] = "m"\n    depth: int'
    )
    (here / "mine.py").write_text(f"from typing import Literal\n{named}")
    _, config = resolved(section, "mine.py")
    assert config.name == str(here / "mine.py")


def test_a_section_given_in_python_takes_the_class_too(here: Path, section: Section) -> None:
    (here / "mine.py").write_text(section.source())
    given = {"env": {"id": "agentgym/KeyDoor-v0"}, section.name: {"name": "mine.py", "depth": 2}}
    config = RunConfig.model_validate(given)
    assert getattr(config, section.name).depth == 2
    assert config.model_dump()[section.name] == {"name": str(here / "mine.py"), "depth": 2}
    assert json.loads(config.model_dump_json())[section.name]["depth"] == 2
    assert RunConfig.model_validate(config.model_dump()) == config
    mine = getattr(config, section.name)
    assert getattr(RunConfig.model_validate(given | {section.name: mine}), section.name) is mine


@pytest.mark.parametrize(
    ("source", "ref", "told"),
    [
        (None, "mine.py", "cannot read mine.py: No such file or directory | a path is taken"),
        (None, "absent.mod:Config", "No module named 'absent'"),
        ("", "mine.py", "mine.py defines no {name} | subclass {module}.{base}, with"),
        ("", "mine.py:MineConfig", "there is no 'MineConfig'"),
        ("MineConfig = 3\n", "mine.py:MineConfig", "is 3, not the config of"),
        ("class Mine: pass\n", "mine:Mine", "is the class Mine, not the config of"),
        (
            "{good}{second}",
            "mine.py",
            "defines 2 {name}s | name one: mine.py:MineConfig, mine.py:B",
        ),
        ("{base_only}", "mine.py", "the class MineConfig has no build | see {module} for"),
        ("from {module} import {thing}\n", "mine.py:{thing}", "name the config of this {name}"),
        ("", "{near}", "unknown {name} '{near}' | did you mean '{ours}'? known: {ours}"),
        ("", "mine", "unknown {name} 'mine' | did you mean 'mine.py'?"),
    ],
    ids=lambda value: None if value is None else str(value)[:20],
)
def test_what_is_no_such_class_is_told_with_its_source(
    here: Path, section: Section, source: str | None, ref: str, told: str
) -> None:
    base = section.base.__name__
    words = {
        "name": section.name,
        "module": section.module,
        "base": base,
        "thing": section.thing.__name__,
        "near": section.ours[:-1],
        "ours": section.ours,
        "good": section.source(),
        "second": section.source("B"),
        "base_only": f"from {section.module} import {base}\nclass MineConfig({base}):\n    x: int = 1\n",
    }
    if source is not None:
        (here / "mine.py").write_text(source.format(**words))
    text = refused(f"{section.name}.name={ref.format(**words)}")
    assert text.startswith("command line: ")
    assert told.format(**words) in text


def test_code_that_raises_is_the_fault_of_the_engine_and_says_where(
    here: Path, section: Section
) -> None:
    (here / "mine.py").write_text("x = 1\nraise ValueError('no')\n")
    text = refused(f"{section.name}.name=mine.py", kind=section.error)
    assert text.startswith("command line: ")
    assert "mine.py:2: importing raised ValueError: no" in text


def test_bases_and_what_is_imported_do_not_count(here: Path, section: Section) -> None:
    base = section.base.__name__
    (here / "shared.py").write_text(section.source("SharedConfig"))
    (here / "mine.py").write_text(
        f"from {section.module} import {base}\nfrom shared import SharedConfig\n"
        f"class Base({base}):\n    size: int = 1\n"
        "class MineConfig(Base):\n    def build(self, *args, **kwargs): ...\n"
    )
    assert type(resolved(section, "mine.py")[1]).__name__ == "MineConfig"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["depth=x"], "`{name}.depth` should be a valid integer"),
        (["dpth=4"], "unknown key `{name}.dpth` | did you mean `{name}.depth`?"),
        (["depth.more=4"], "`{name}.depth` should be a valid integer"),
    ],
)
def test_its_keys_are_checked(here: Path, section: Section, words: list[str], told: str) -> None:
    (here / "mine.py").write_text(section.source())
    text = refused(f"{section.name}.name=mine.py", *(f"{section.name}.{word}" for word in words))
    assert told.format(name=section.name) in text


def test_a_name_that_is_no_text_is_no_place(section: Section) -> None:
    text = refused(f"{section.name}.name=3")
    assert f"`{section.name}.name`" in text or f"unknown {section.name} 3" in text


def test_its_keys_are_explained(here: Path, section: Section) -> None:
    (here / "mine.py").write_text(section.source())
    found, config = resolved(section, "mine.py", f"{section.name}.depth=4")
    known = {entry.key: entry for entry in entries(RunConfig, found.config.model_dump())}
    depth = known[f"{section.name}.depth"]
    assert depth.doc == "How deep."
    assert depth.when == ((f"{section.name}.name", config.name),)
    assert set(known[f"{section.name}.name"].choices) >= {section.ours, config.name}
    assert known[f"{section.name}.name"].is_open


def test_editors_take_any_keys_under_a_name_that_is_none_of_ours(section: Section) -> None:
    check = Draft202012Validator(json.loads(json.dumps(run_schema())))
    env = {"env": {"id": "agentgym/KeyDoor-v0"}}
    for given, good in (
        ({"name": "mine.py", "depth": 3}, True),
        ({"name": section.ours}, True),
        ({}, True),
        ({"name": section.ours, "depth": 3}, False),
        ({"depth": 3}, False),
    ):
        assert check.is_valid(env | {section.name: given}) == good, given


# Installed packages


@pytest.fixture
def install(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put packages where Python finds them, with entry points."""
    folder = here / "site"
    monkeypatch.syspath_prepend(str(folder))

    def install(package: str, section: Section, source: str, **points: str) -> None:
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"[agentgym.{section.name}s]", *(f"{n} = {ref}" for n, ref in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        (folder / f"{package}.py").write_text(source)

    return install


def test_what_an_installed_package_offers_has_a_name_of_its_own(
    here: Path, section: Section, install: Callable[..., None]
) -> None:
    install("part_deep", section, section.source(), deep="part_deep:MineConfig")
    found, config = resolved(section, "deep", f"{section.name}.depth=2")
    assert (config.name, config.depth) == ("deep", 2)
    (here / "config.toml").write_text(render_toml(found))
    assert recorded(here / "config.toml").config == found.config
    (name,) = [e for e in entries(RunConfig, {}) if e.key == f"{section.name}.name"]
    assert "deep" in name.choices
    assert pickle.loads(pickle.dumps(config)) == config
    assert f"did you mean 'deep'? known: {'chat, deep' if section.ours == 'chat' else 'deep'}" in (
        refused(f"{section.name}.name=dep")
    )


@pytest.mark.parametrize("other", SECTIONS, ids=lambda section: section.name)
def test_packages_that_offer_what_cannot_be_are_told(
    here: Path, section: Section, other: Section, install: Callable[..., None]
) -> None:
    source = other.source()
    for package in ("part_one", "part_two"):
        install(package, section, source, twice=f"{package}:MineConfig")
    install("part_ours", section, source, **{section.ours: "part_ours:MineConfig"})
    install("part_gone", section, source, gone="part_gone:Absent")
    install("part_odd", section, source, odd="part_odd")
    install("part_raises", section, "1 / 0\n", raises="part_raises:MineConfig")
    for name, told in {
        "twice": "another package offers the same name; remove one of them",
        "gone": "'part_gone:Absent': there is no 'Absent'",
        "odd": "should be written pkg.mod:attr",
    }.items():
        assert told in refused(f"{section.name}.name={name}")
    raised = refused(f"{section.name}.name=raises", kind=section.error)
    assert "part_raises.py:1: importing raised ZeroDivisionError" in raised
    config = resolve_words([ENV, f"{section.name}.name={section.ours}"]).config
    assert type(getattr(config, section.name)).__module__.startswith("agentgym.")
    install("part_other", section, source, wrong="part_other:MineConfig")
    if other is section:
        assert resolved(section, "wrong")[1].name == "wrong"
    else:
        assert "not the config of" in refused(f"{section.name}.name=wrong")


def test_any_model_may_have_such_a_section(here: Path) -> None:
    class Serving(BaseModel, extra="forbid", frozen=True):
        engine: AnyEngine = LocalEngineConfig()

    (here / "mine.py").write_text(SECTIONS[0].source())
    found = resolve(Serving, overrides=["engine.name=mine.py", "engine.depth=2"])
    assert found.config.model_dump()["engine"] == {"name": str(here / "mine.py"), "depth": 2}
    assert resolve(Serving, overrides=["engine.max_batch=2"]).config.engine.max_batch == 2
