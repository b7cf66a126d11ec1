import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentgym.config.editor import run_schema
from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.envs import ENVS
from agentgym.errors import ConfigError
from agentgym.trainers.credit import CREDITS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KEYDOOR = "agentgym/KeyDoor-v0"
LEVELS = 'shaping.levels=[{term = "outcome", threshold = 0.0}, {term = "valid"}]'


def validator(env: str | None = None) -> Draft202012Validator:
    schema = json.loads(json.dumps(run_schema(env)))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def wrong(text: str, env: str | None = KEYDOOR) -> list[str]:
    return [error.message for error in validator(env).iter_errors(tomllib.loads(text))]


@pytest.mark.parametrize("env", sorted(ENVS))
def test_the_schema_of_every_environment_accepts_its_defaults(env: str) -> None:
    text = render_toml(resolve_words([f"env.id={env}"]))
    assert wrong(text, env) == []
    assert wrong(text, None) == []


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").glob("*.toml")), ids=lambda p: p.name
)
def test_every_example_is_valid_and_a_typo_in_it_is_not(example: Path) -> None:
    found = tomllib.loads(example.read_text())
    for env in (None, found["env"]["id"]):
        check = validator(env)
        assert check.is_valid(found)
        for section in ("model", "rollout", "train", "credit", "optim"):
            assert not check.is_valid(found | {section: found.get(section, {}) | {"typo": 1}})
        assert not check.is_valid(found | {"typo": {}})
    assert not validator(found["env"]["id"]).is_valid(found | {"env": found["env"] | {"typo": 1}})


@pytest.mark.parametrize("credit", sorted(CREDITS))
@pytest.mark.parametrize("shaping", [("outcome",), ("gated", LEVELS)], ids=lambda s: s[0])
def test_every_member_of_a_union_is_accepted(credit: str, shaping: tuple[str, ...]) -> None:
    words = [f"credit.name={credit}", f"shaping.name={shaping[0]}", *shaping[1:]]
    assert wrong(render_toml(resolve_words([f"env.id={KEYDOOR}", *words]))) == []


@pytest.mark.parametrize("name", ["cgrpo", "datarus", "train_long_think_short"])
def test_a_shaper_with_defaults_for_everything_is_accepted_by_its_name(name: str) -> None:
    assert wrong(f'env.id = "{KEYDOOR}"\nshaping.name = "{name}"') == []


ENV = f'env.id = "{KEYDOOR}"\n'


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("credit.gamma = 0.9", True),  # of the default member, without its name
        ("credit.step_weight = 0", True),
        ("credit.history = 2", False),
        ('credit = {name = "salt", history = 2}', True),
        ('credit = {name = "salt", gamma = 0.9}', False),
        ('credit.name = "gigppo"', False),
        ("model.threads = 2", True),
        ('model.threads = "null"', True),
        ('model.threads = "two"', False),
        ("model.threads = true", False),
        ("model.threads = 0", False),
        ("optim.lr = 1", True),
        ("optim.lr = -1.0", False),
        ("optim.betas = [0.9, 0.99]", True),
        ("optim.betas = [0.9]", False),
        ('optim.decay = "cosin"', False),
        ('model.device = "cuda:1"', True),
        ('model.device = "gpu"', False),
        ('env.tier = "hard"', True),
        ('env.tier = "harder"', False),
        ("env.size = 6", True),
        ("env.size = 99", False),
        ('shaping.name = "gated"', False),
        ('shaping = {name = "gated", levels = [{term = "outcome"}]}', True),
        ('shaping = {name = "gated", levels = [{terms = "outcome"}]}', False),
        ('shaping = "off"', True),
        ('shaping = "on"', False),
        ("train = 3", False),
    ],
)
def test_the_schema_accepts_what_a_run_accepts(text: str, good: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(ENV + text)
    try:
        resolve_words([str(file)])
        accepted = True
    except ConfigError:
        accepted = False
    assert accepted == good
    assert (wrong(ENV + text) == []) == good


def test_the_open_schema_takes_any_key_of_env_but_needs_its_id() -> None:
    assert wrong('env = {id = "me/Mine-v0", size = 99}', None) == []
    assert wrong("env.tier = 'easy'", None) == ["'id' is a required property"]
    assert wrong("seed = 1", None) == ["'env' is a required property"]


def test_an_editor_finds_documentation_and_defaults() -> None:
    schema: Any = run_schema(KEYDOOR)
    definitions = schema["$defs"]
    tier = definitions["EnvSection"]["properties"]["tier"]
    assert tier["enum"] == ["easy", "medium", "hard"]
    assert tier["default"] == "easy"
    assert tier["description"].startswith("easy is 4x4")
    assert definitions["ModelConfig"]["properties"]["threads"]["default"] == "null"
    assert "title" not in json.dumps(definitions)
