import sys
from types import ModuleType

import pytest

from agentgym.envs import ENVS


def test_environments_are_listed_with_tiers_splits_and_tools(agentgym) -> None:
    done = agentgym("envs", "--json")
    assert done.code == 0
    found = {each["id"]: each for each in done.json}
    assert set(found) == set(ENVS)
    code = found["agentgym/Code-v0"]
    assert code["tools"] == ["run_code", "run_tests", "submit"]
    assert code["splits"] == ["train", "test"]
    assert len(code["tiers"]) == 3
    assert code["error"] is None
    assert "agentgym/KeyDoor-v0" in agentgym("envs").out


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


def test_check_says_what_is_not_here_yet(agentgym) -> None:
    for word in ("sandbox", "run"):
        done = agentgym("check", word)
        assert done.code == 2
        assert "not here yet" in done.err
        assert "hint:" in done.err


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
