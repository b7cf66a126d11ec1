from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from agentgym.config.keys import Entry, entries, field_docs, type_words
from agentgym.config.overlay import flatten
from agentgym.config.run import EnvSection, RunConfig, resolve_refs, resolve_words
from agentgym.envs import ENVS
from agentgym.errors import ConfigError
from agentgym.trainers.credit import CREDITS

KEYDOOR = "agentgym/KeyDoor-v0"


def all_entries(env: str | None = None) -> list[Entry]:
    return list(entries(RunConfig, {"env": {"id": env}} if env else {}))


@pytest.mark.parametrize("env", [None, *sorted(ENVS)])
def test_every_key_and_section_is_documented(env: str | None) -> None:
    assert [entry.key for entry in all_entries(env) if not entry.doc] == []


@pytest.mark.parametrize("credit", sorted(CREDITS))
def test_the_keys_and_defaults_are_those_of_a_resolved_configuration(credit: str) -> None:
    resolved = flatten(resolve_words([f"env.id={KEYDOOR}", f"credit.name={credit}"]).config)
    picked = {"credit.name": credit, "shaping.name": "outcome", "sandbox.name": "local"}
    picked |= {"engine.name": "local", "renderer.name": "chat"}
    picked |= {"credit.base.name": "grpo", "loss.name": "ppo", "loss.correction.name": "none"}
    found = {
        entry.key: entry.default
        for entry in all_entries(KEYDOOR)
        if not entry.is_section and all(picked[key] == kind for key, kind in entry.when)
    }
    assert found.keys() == resolved.keys()
    given = {"env.id": KEYDOOR, "credit.name": credit}
    values = {key: list(v) if isinstance(v, tuple) else v for key, v in resolved.items()}
    assert found | given == values


def test_members_of_a_union_keep_their_keys_apart() -> None:
    gammas = [entry for entry in all_entries() if entry.key == "credit.gamma"]
    discounting = [name for name, kind in CREDITS.items() if "gamma" in kind.model_fields]
    assert [entry.when for entry in gammas] == [(("credit.name", name),) for name in discounting]
    (name,) = [entry for entry in all_entries() if entry.key == "credit.name"]
    assert set(name.choices) == set(CREDITS)
    assert name.default == "gigpo"
    assert [entry.kind for entry in all_entries() if entry.key == "credit" and entry.default] == [
        "gigpo"
    ]


def test_tables_in_a_list_have_keys_too() -> None:
    (threshold,) = [e for e in all_entries() if e.key == "shaping.levels.threshold"]
    assert threshold.when == (("shaping.name", "gated"),)
    (levels,) = [e for e in all_entries() if e.key == "shaping.levels"]
    assert levels.type == "list of tables"
    assert levels.is_required
    assert levels.bounds == ("length at least 1",)


def test_a_bound_is_told_as_the_field_has_it() -> None:
    (rate,) = [e for e in all_entries() if e.key == "rollout.max_fault_rate"]
    assert rate.bounds == ("at least 0", "at most 1")
    (device,) = [e for e in all_entries() if e.key == "model.device"]
    assert device.bounds[0].startswith("matching ^(auto|")


class Base(BaseModel):
    kept: int = 1
    """Of the base."""
    changed: int = 1
    """Of the base."""


class Derived(Base):
    changed: int = 2
    """Of the class."""
    bare: int = 3
    described: int = Field(default=4, description="By its field.")


def test_docstrings_are_inherited_and_overridden() -> None:
    assert field_docs(Derived) == {"kept": "Of the base.", "changed": "Of the class."}
    docs = {entry.key: entry.doc for entry in entries(Derived, {})}
    assert docs["bare"] == ""
    assert docs["described"] == "By its field."


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool, "true or false"),
        (int | None, "whole number or null"),
        (Annotated[float, Field(gt=0)], "number"),
        (tuple[float, float], "list of 2 numbers"),
        (tuple[int, ...], "list of whole numbers"),
        (list[str], "list of text"),
        (list[int | str], "list of values: whole number or text"),
        (tuple[int, str], "list of 2 values: whole number, text"),
        (dict[str, Any], "table"),
        (list[Base], "list of tables"),
        (Literal["a", "b"] | None, "text or null"),
        (Literal[1, 2], "whole number"),
        (Path, "path"),
        (Any, "anything"),
    ],
)
def test_types_are_told_in_words(annotation: Any, words: str) -> None:
    assert type_words(annotation) == words


def test_an_environment_of_a_decorated_file_has_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "yes.py"
    file.write_text(
        "import agentgym as ag\n\n@ag.env('me/Yes-v0', max_turns=3)\n"
        "def tasks():\n    '''Say yes.'''\n    yield ag.Task('Say yes.')\n"
    )
    found = {e.key: e for e in entries(EnvSection, {"id": str(file)})}
    assert found["max_turns"].default == 3
    assert found["max_turns"].doc


def test_what_stands_for_a_configuration_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f'[env]\nid = "{KEYDOOR}"\n')
    over = tmp_path / "b.toml"
    over.write_text("seed = 4\n")
    assert resolve_refs([KEYDOOR], ["seed=3"]).config.seed == 3
    assert resolve_refs([str(file), str(over)]).config.seed == 4
    run = tmp_path / "run"
    run.mkdir()
    for refs, words in {
        (KEYDOOR, str(file)): "cannot be merged",
        (str(run),): "is no TOML file, run directory or environment",
        ("agentgym/KeyDor-v0",): "unknown environment",
        ("gone",): "'gone' is no TOML file",
    }.items():
        with pytest.raises(ConfigError, match=words):
            resolve_refs(refs)
