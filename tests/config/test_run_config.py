import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from agentgym.config.overlay import flatten, render_toml, resolve
from agentgym.config.run import EnvSection, RunConfig, free_dir, recorded, resolve_words
from agentgym.envs import ENVS
from agentgym.errors import ConfigError
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.shaping.outcome import Outcome

KEYDOOR = "agentgym/KeyDoor-v0"
CODE = "agentgym/Code-v0"
GATED = ("shaping.name=gated", 'shaping.levels=["low", "high"]')

TERMS = "shaping.name=terms"


def _term(piece: str) -> str:
    return f'shaping.terms=[{{term="a",{piece}}}]'


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve_words([f"env.id={CODE}", *words])
    return f"{caught.value} | {caught.value.hint}"


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, agentgym.config.run; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("env", sorted(ENVS))
@pytest.mark.parametrize("credit", sorted(CREDITS))
def test_every_environment_and_estimator_renders_and_reads_back(
    env: str, credit: str, tmp_path: Path
) -> None:
    resolved = resolve_words([f"env.id={env}", f"credit.name={credit}", "env.max_turns=7"])
    file = tmp_path / "config.toml"
    file.write_text(render_toml(resolved))
    again = recorded(file)
    assert again.config == resolved.config
    assert again.provenance == resolved.provenance
    assert again.provenance["env.max_turns"] == "command line"
    assert again.provenance["train.steps"] == "default"


def test_terms_of_shaping_may_be_tables_in_a_list(tmp_path: Path) -> None:
    file = tmp_path / "gated.toml"
    file.write_text(
        f'[env]\nid = "{CODE}"\n[shaping]\nname = "gated"\n'
        '[[shaping.levels]]\nterm = "outcome"\n[[shaping.levels]]\nterm = "public"\nweight = 0.5\n'
    )
    resolved = resolve(RunConfig, [file])
    assert [level.weight for level in resolved.config.shaping.levels] == [1.0, 0.5]
    assert resolved.provenance["shaping.levels"] == f"{file}:5"
    (tmp_path / "config.toml").write_text(render_toml(resolved))
    assert recorded(tmp_path / "config.toml").config == resolved.config


def test_shaping_off_is_the_outcome_alone_wherever_it_stands(tmp_path: Path) -> None:
    off, gated = tmp_path / "off.toml", tmp_path / "gated.toml"
    off.write_text(f'shaping = "off"\nenv.id = "{CODE}"\n')
    gated.write_text('[shaping]\nname = "gated"\nlevels = [{term = "outcome"}]\n')
    for files, words, source in (
        ([off], [], f"{off}:1"),
        ([gated, off], [], f"{off}:1"),
        ([off, gated], ["shaping=off"], "command line"),
    ):
        resolved = resolve(RunConfig, files, words)
        assert resolved.config.shaping == Outcome()
        assert resolved.provenance["shaping.name"] == source
        (tmp_path / "config.toml").write_text(render_toml(resolved))
        assert recorded(tmp_path / "config.toml").provenance == resolved.provenance
    assert resolve(RunConfig, [off, gated]).config.shaping.name == "gated"
    given = {"env": {"id": CODE}, "shaping": "off"}
    assert RunConfig.model_validate(given).shaping == Outcome()


def test_the_section_of_an_environment_has_its_keys() -> None:
    config = resolve_words([f"env.id={CODE}", "env.tier=easy"]).config
    assert config.env.id == CODE
    assert config.env.config.tier == "easy"
    assert flatten(config)["env.tier"] == "easy"
    assert EnvSection.of(CODE, tier="easy") == config.env


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["env.teir=easy"], "unknown key `env.teir` | did you mean `env.tier`?"),
        (["env.tier=esy"], "`env.tier` should be 'easy', 'medium' or 'hard'"),
        (["env.size=4"], "unknown key `env.size`"),
        (["env.max_turns=0"], "`env.max_turns` should be greater than or equal to 1, not 0"),
        (["env.id=agentgym/Cod-v0"], "unknown environment 'agentgym/Cod-v0' | did you mean"),
        (["env.id=3"], "`env.id` should be a valid string, not 3"),
        (["env.id=3", "env.tier=easy"], "`env.id` should be a valid string, not 3"),
        (["trian.steps=3"], "unknown key `trian` | did you mean `train`?"),
        (["zzz=3"], "unknown key `zzz` | known keys: seed, out, env, model"),
        (["credit.name=grop"], "unknown credit 'grop' | did you mean \"grpo\"?"),
        (["credit.name=grpo", "credit.step_weight=1"], 'is no key of credit "grpo"'),
        (["shaping=of"], '`shaping` should be a table of keys or "off", not "of"'),
        (["shaping.name=gate"], 'did you mean "gated"?'),
        (["eval.split=dev"], "`eval.split`: agentgym/Code-v0 has the splits train, test"),
        (["rollout.sampling.top_p=0.9"], "unknown key `rollout.sampling.top_p`"),
        (["sandbox.limits.wall_s=-1"], "`sandbox.limits.wall_s` should be greater than 0"),
        (
            ["credit=gigo"],
            '`credit` should be a table of keys, not "gigo" | name one with credit.name=gigpo',
        ),
        (["loss.correction=tis"], "name one with loss.correction.name=tis; known: none, tis"),
        ([TERMS, _term('gates=[{name="abov"}]')], "unknown gate 'abov' | did you mean \"above\"?"),
        ([TERMS, _term("gates=[{}]")], "`shaping.terms.0.gates.0.name` is missing | known: above"),
        ([TERMS, _term('gates=["above"]')], "`shaping.terms.0.gates.0` should be a table of keys"),
        ([TERMS, _term('gates=["above"]')], 'name one with {name = "above"}'),
        ([TERMS, _term('form={name="potental"}')], 'did you mean "potential"?'),
        ([TERMS, _term("form={gamma=1}")], 'is no key of shaping.terms.0.form "as_given"'),
        ([TERMS, _term('schedule={name="linear",untl=1}')], "`shaping.terms.0.schedule.until`?"),
        ([TERMS, "shaping.terms=[3]"], "`shaping.terms.0` should be a table of keys, not 3"),
        (["loss.clip_low=true"], "`loss.clip_low` should be a number, not true"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], text: str) -> None:
    assert text in refused(*words)


def test_an_environment_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"missing key `env\.id`"):
        resolve_words(["seed=1"])
    with pytest.raises(ConfigError, match="unknown key `trian`"):
        resolve_words(["trian.steps=1"])
    with pytest.raises(ConfigError, match=r"`env\.id` is missing"):
        resolve_words(["env.tier=easy"])


@pytest.mark.parametrize(
    ("word", "told", "hint"),
    [
        ("mine.py", "'mine.py' is no configuration file", "given as env.id=mine.py"),
        (KEYDOOR, f"{KEYDOOR!r} is no configuration file", f"given as env.id={KEYDOOR}"),
        ("done", "done is a run directory", "its configuration: done/config.toml"),
        (".", "cannot read the configuration file '.': Is a directory", ""),
    ],
)
def test_what_stands_in_the_place_of_a_file_is_told_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, told: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "run.json").touch()
    with pytest.raises(ConfigError) as error:
        resolve_words([word, "seed=1"])
    assert told in str(error.value)
    assert hint in str(error.value.hint)


def test_a_file_is_kept_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from agentgym import EnvConfig\n"
        "class MineConfig(EnvConfig):\n    id = 'me/Mine-v0'\n    depth: int = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    for ref in ("mine.py", "mine.py:MineConfig"):
        config = resolve_words([f"env.id={ref}", "env.depth=4"]).config
        assert config.env.id == str(tmp_path / ref)
        assert config.run_dir().name.startswith("mine-")


def test_a_folder_may_be_named_like_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of.pyenv").mkdir()
    (tmp_path / "of.pyenv" / "mine.py").write_text(
        "from agentgym import EnvConfig\nclass MineConfig(EnvConfig):\n    id = 'me/Mine-v0'\n"
    )
    monkeypatch.chdir(tmp_path)
    config = resolve_words(["env.id=of.pyenv/mine.py"]).config
    assert config.env.id == str(tmp_path / "of.pyenv" / "mine.py")


def test_a_run_may_be_written_below_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = resolve_words(["env.id=agentgym/KeyDoor-v0", "out=~/runs/a"]).config
    assert config.run_dir() == Path("/home/somebody/runs/a")


def test_a_free_directory_gets_a_number(tmp_path: Path) -> None:
    assert free_dir(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a-2").mkdir()
    assert free_dir(tmp_path / "a") == tmp_path / "a-3"


def test_every_section_forbids_unknown_keys_and_changes() -> None:
    def models(model: type[BaseModel]) -> set[type[BaseModel]]:
        found = {model}
        for info in model.model_fields.values():
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                found |= models(info.annotation)
        return found

    for model in models(RunConfig):
        assert model.model_config.get("extra") == "forbid", model
        assert model.model_config.get("frozen"), model
