import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

KEYDOOR = "agentgym/KeyDoor-v0"
TOML = f"""seed = 3

[env]
id = "{KEYDOOR}"
tier = "hard"

[credit]
name = "gigpo"
gamma = 0.5
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "a.toml").write_text(TOML)
    return "a.toml"


def test_a_key_is_explained_with_its_value_and_the_line_that_set_it(agentgym, config) -> None:
    done = agentgym("config", "explain", "env.tier", config)
    assert done.code == 0
    assert done.out == (
        "env.tier\n"
        "  easy is 4x4 with 2 cells of lava, medium 5x5 with 3, hard 6x6 with 6.\n\n"
        '  takes    "easy" or "medium" or "hard"\n'
        '  default  "easy"\n'
        '  value    "hard"  # a.toml:5\n'
    )
    assert "must be given" in agentgym("config", "explain", "env.id").out
    found = agentgym("config", "explain", "train.max_seconds").out
    assert "number or null, above 0" in found
    assert "value" not in found


def test_a_key_of_several_members_is_explained_for_each(agentgym, config) -> None:
    told = agentgym("config", "explain", "credit.gamma", config).out
    assert 'credit.gamma  where credit.name = "discounted_grpo"' in told
    assert 'value    none: credit.name is "gigpo"' in told
    assert "value    0.5  # a.toml:9" in told
    found = agentgym("config", "explain", "credit.gamma", config, "credit.name=salt", "--json").json
    assert {"discounted_grpo", "gigpo"} < {each["when"]["credit.name"] for each in found}
    assert {each["value"] for each in found} == {None}


def test_a_table_is_explained_with_all_that_was_set_in_it(agentgym, tmp_path: Path) -> None:
    text = 'env.id = "agentgym/KeyDoor-v0"\nopenai.extra.top_k = 3\n'
    (tmp_path / "b.toml").write_text(text)
    words = ("openai.extra", "b.toml", "openai.extra.a.b=1")
    told = agentgym("config", "explain", *words).out
    assert "  value    {top_k = 3, a = {b = 1}}  # b.toml:2, command line\n" in told
    (found,) = agentgym("config", "explain", *words, "--json").json
    assert found["value"] == {"top_k": 3, "a": {"b": 1}}
    assert found["source"] == "b.toml:2, command line"
    assert "top_k" in agentgym("config", "explain", "openai", "b.toml").out
    (empty,) = agentgym("config", "explain", "openai.extra", KEYDOOR, "--json").json
    assert (empty["value"], empty["source"]) == ({}, "default")


def test_a_section_lists_its_keys_and_a_union_its_members(agentgym, config) -> None:
    told = agentgym("config", "explain", "rollout").out
    assert "rollout.sampling.temperature" in told
    assert "rollout.group_size" in told
    told = agentgym("config", "explain", "credit").out
    assert re.search(
        r"^gigpo, the default +An episode advantage plus one among", told, re.MULTILINE
    )
    assert "credit.step_weight" not in told
    used = agentgym("config", "explain", "credit", config, "credit.base.name=rloo").out
    assert re.search(r'^credit.base.name +"rloo" +command line', used, re.MULTILINE)
    assert used.count("credit.base.") == 3  # with what rloo has of its own, and where to look
    told = agentgym("config", "explain", "credit.name=portool").out
    assert "Sureness: reconstructed (docs/credit.md)." in told
    assert '"grpo" or "dr_grpo" or "discounted_grpo" or "rloo" or ...' in told
    assert "credit.base.singletons" not in told  # one of several that a base may have
    assert "keys of it: agentgym config explain credit.base.name=grpo" in told
    assert agentgym("config", "explain", "credit.base").out.count("[credit.base]") == 1
    only = agentgym("config", "explain", "credit.name=salt", "--json").json
    keys = [each["key"] for each in only]
    assert keys[:3] == ["credit", "credit.history", "credit.base.name"]
    assert "credit.base.singletons" in keys
    loss = agentgym("config", "explain", "loss").out
    assert "loss.name picks one of ppo, gspo, cispo, topr, opmd, dcpo, rec" in loss
    told = agentgym("config", "explain", "env", config).out
    assert "a.toml:5" in told


def test_without_a_key_all_sections_are_listed(agentgym, config) -> None:
    told = agentgym("config", "explain")
    assert told.code == 0
    for name in ("seed", "[env]", "[credit]", "[eval]"):
        assert f"\n{name} " in told.out
    assert '"gigpo"' in agentgym("config", "explain", config).out
    found = {each["key"]: each for each in agentgym("config", "explain", config, "--json").json}
    assert found["seed"]["value"] == 3
    assert found["seed"]["source"] == "a.toml:1"
    assert found["env.tier"]["choices"] == ["easy", "medium", "hard"]


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["credit.stepweight"], "unknown key `credit.stepweight`", "`credit.step_weight`?"),
        (["credits"], "unknown key `credits`", "did you mean `credit`?"),
        (["zzz"], "unknown key `zzz`", "agentgym config explain lists all"),
        (["env.tier"], "depends on the environment", "agentgym config explain env.tier ENV"),
        (["env.teir", KEYDOOR], "unknown key `env.teir`", "did you mean `env.tier`?"),
        (["env.tier", "agentgym/KeyDor-v0"], "unknown environment", KEYDOOR),
        (["credit.name=gigpoo"], "unknown credit 'gigpoo'", "did you mean credit.name=gigpo?"),
        (["optim.name=adam"], "unknown key `optim.name`", "agentgym config explain"),
        (["max_turns"], "unknown key `max_turns`", "did you mean `env.max_turns`?"),
        (["."], "is no TOML file, run directory or environment", ""),
        (["gone.py"], "cannot read gone.py", ""),
        (["seed", "gone.toml"], "no configuration file 'gone.toml'", ""),
        (["seed", "gone"], "'gone' is no TOML file, run directory or environment", ""),
        (["seed", "train.steps=1"], "missing key `env.id`", "env.id=..."),
        (["seed", KEYDOOR, "trian.steps=1"], "unknown key `trian`", "did you mean `train`?"),
    ],
)
def test_what_cannot_be_explained_is_named_with_what_to_do(
    agentgym, words: list[str], error: str, hint: str
) -> None:
    done = agentgym("config", "explain", *words)
    assert (done.code, done.out) == (2, "")
    assert error in done.err.splitlines()[0]
    assert hint in done.err


@pytest.mark.sandbox
def test_a_file_system_that_is_read_only_is_named(tmp_path: Path) -> None:
    words = ["-m", "agentgym", "config", "schema", KEYDOOR, "-o", f"{tmp_path}/s.json"]
    done = subprocess.run(
        ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"error: cannot write {tmp_path}/s.json: Read-only file system" in done.stderr


def test_the_schema_goes_to_stdout_or_into_a_file(agentgym, tmp_path: Path) -> None:
    done = agentgym("config", "schema", KEYDOOR)
    assert done.code == 0
    assert done.json["$schema"].endswith("2020-12/schema")
    assert agentgym("config", "schema", KEYDOOR, "-o", "s.json").out == ""
    assert json.loads((tmp_path / "s.json").read_text()) == done.json
    again = agentgym("config", "schema", "-o", "s.json")
    assert again.code == 2
    assert again.err == (
        "error: s.json exists already\nhint: choose another name, or give --force\n"
    )
    assert agentgym("config", "schema", "-o", "s.json", "--force").code == 0
    assert json.loads((tmp_path / "s.json").read_text()) != done.json
    assert os.listdir(tmp_path) == ["s.json"]
    assert agentgym("config", "schema", "me/Gone-v0").code == 2
    assert "there is no folder 'gone'" in agentgym("config", "schema", "-o", "gone/s.json").err


def test_two_configurations_are_told_apart_by_key_value_and_source(
    agentgym, config, tmp_path
) -> None:
    (tmp_path / "b.toml").write_text(TOML.replace("gigpo", "discounted_grpo").replace("3", "4"))
    done = agentgym("config", "diff", config, "b.toml")
    assert done.code == 0
    assert "seed\n  - 3  # a.toml:1\n  + 4  # b.toml:1\n" in done.out
    assert "credit.step_weight\n  - 1.0  # default\n  + no such key\n" in done.out
    assert "credit.gamma" not in done.out
    found = agentgym("config", "diff", config, "b.toml", "--json").json
    assert found["seed"]["b"] == {"value": 4, "source": "b.toml:1"}
    assert found["credit.norm"]["b"] is None
    same = agentgym("config", "diff", config, "b.toml", "seed=1", "credit={}")
    assert (same.code, same.out) == (0, "")
    assert "no key differs" in same.err


def test_a_run_differs_from_the_defaults_by_what_was_said(agentgym) -> None:
    assert agentgym("run", KEYDOOR, "env.tier=hard", "-n", "2", "-o", "r").code == 0
    found = agentgym("config", "diff", "r", "--json").json
    assert found["env.tier"]["a"] == {"value": "hard", "source": "command line"}
    assert found["env.tier"]["b"] == {"value": "easy", "source": "default"}
    assert set(found) == {"out", "env.tier", "eval.episodes"}
    assert agentgym("config", "diff", "r", "r").out == ""


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a.toml", "gone.toml"], "no configuration file 'gone.toml'"),
        (["a.toml", "a.toml", "a.toml"], "diff compares two, not 3"),
        (["seed=1"], "diff compares two, not 0"),
        (["a.toml", "sed=1"], "unknown key `sed`"),
    ],
)
def test_what_cannot_be_compared_is_named(agentgym, config, words: list[str], error: str) -> None:
    done = agentgym("config", "diff", *words)
    assert done.code == 2
    assert error in done.err
