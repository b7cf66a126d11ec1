"""Commands with an engine and a renderer of a user: the complete examples of docs/engines.md."""

import os
from pathlib import Path

import pytest
from documents import File, steps

from agentgym.store.episodes import read_episodes
from agentgym.types import Trajectory

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
SMALL = """\
seed = 1
[env]
id = "agentgym/KeyDoor-v0"
rules = false
max_turns = 3
[model]
device = "cpu"
[model.tiny]
layers = 1
width = 16
heads = 2
max_context = 2048
[rollout]
groups = 2
group_size = 2
[rollout.sampling]
max_tokens = 5
[train]
steps = 1
"""
OWN = ("engine.name=plain_engine.py", "engine.max_tokens=4", "renderer.name=lines_renderer.py")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for step in steps(PAGE):
        if isinstance(step, File):
            (tmp_path / step.name).write_text(step.text)
    (tmp_path / "small.toml").write_text(SMALL)


def episodes(root: Path) -> list[Trajectory]:
    return list(read_episodes(root))


@pytest.mark.parametrize("own", [OWN, OWN[:2], OWN[2:]], ids=["both", "engine", "renderer"])
def test_an_engine_and_a_renderer_of_a_file_train(agentgym, tmp_path, own) -> None:
    done = agentgym("train", "small.toml", *own, "out=own", "--json")
    assert done.code == 0, done.err
    assert done.json["step"] == 1
    found = episodes(tmp_path / "own")
    assert len(found) == 4
    for trajectory in found:
        assert trajectory.end != "error"
        assert trajectory.drift == 0
        completions = [step.completion for step in trajectory.steps]
        assert all(each and each.versions == ((0, 0),) for each in completions)
        if own != OWN[2:]:
            assert all(len(each.token_ids) <= 4 for each in completions if each)


def test_a_run_goes_on_and_is_scored_from_another_folder(
    agentgym, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert agentgym("train", "small.toml", *OWN, "out=own").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = str(tmp_path / "own")
    done = agentgym("resume", run, "train.steps=2", "--json")
    assert done.code == 0, done.err
    assert done.json["step"] == 2
    versions = {
        step.completion.versions
        for trajectory in episodes(tmp_path / "own")
        for step in trajectory.steps
        if step.completion
    }
    assert versions == {((0, 0),), ((0, 1),)}
    done = agentgym("eval", run, "eval.episodes=2", "--json")
    assert done.code == 0, done.err
    assert done.json["faults"] == 0
    assert agentgym("check", "run", run).code == 0
    os.rename(tmp_path / "plain_engine.py", tmp_path / "moved.py")
    done = agentgym("resume", run, "train.steps=3")
    assert done.code == 2
    assert "plain_engine.py: No such file" in done.err


def test_a_model_of_this_disk_plays_with_them(agentgym, tmp_path) -> None:
    assert agentgym("train", "small.toml", "out=ours").code == 0
    model = next((tmp_path / "ours" / "checkpoints").glob("*/config.json"), None) or next(
        (tmp_path / "ours").rglob("config.json")
    )
    words = ("env.max_turns=2", "env.rules=false", "eval.episodes=2", *OWN)
    done = agentgym(
        "run", "agentgym/KeyDoor-v0", "-m", str(model.parent), *words, "out=played", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["faults"] == 0


def test_code_of_a_user_that_raises_is_told_with_its_line(agentgym, tmp_path) -> None:
    engine = (tmp_path / "plain_engine.py").read_text()
    broken = engine.replace("        return PlainEngine(", "        return None.x(")
    (tmp_path / "broken.py").write_text(broken)
    done = agentgym("train", "small.toml", "engine.name=broken.py", "out=broken")
    assert done.code == 1
    assert "broken.py raised AttributeError" in done.err
    assert f"broken.py:{broken.split('None.x')[0].count(chr(10)) + 1})" in done.err
    short = engine.replace("logprobs=logprobs", "logprobs=logprobs[1:]")
    (tmp_path / "short.py").write_text(short)
    done = agentgym("train", "small.toml", "engine.name=short.py", "out=short")
    assert done.code == 1
    found = episodes(tmp_path / "short")
    assert {each.end for each in found} == {"error"}
    assert all("tokens with" in str(each.reason) for each in found)
