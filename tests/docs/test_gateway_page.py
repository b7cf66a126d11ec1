"""The page about agent programs says what programs find, and what can be set."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from outside_programs import write_program

from agentgym.config.run import RunConfig
from agentgym.envs.calculator import CalculatorConfig
from agentgym.rollout.episode import Job, run_episode
from agentgym.rollout.outside import program
from agentgym.rollout.outside.app import LARGEST_BODY
from agentgym.rollout.outside.gateway import open_gateway
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Task

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"


def test_every_placeholder_and_variable_is_told(tmp_path: Path) -> None:
    text = PAGE.read_text()
    names = re.findall(r"^\| `\{(\w+)\}` \|", text, re.MULTILINE)
    filled = program.fill_in(" ".join(f"{{{name}}}" for name in names), dict.fromkeys(names, "x"))
    assert filled == ["x"] * len(names) == ["x"] * 5
    for variable in program._variables("u", "k", tmp_path):
        assert variable in text or variable.lower() == "no_proxy"


def test_its_configuration_and_its_bounds_are_those_in_use() -> None:
    text = PAGE.read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    config = RunConfig.model_validate(
        {"env": {"id": "agentgym/Calculator-v0"}, **tomllib.loads(block)}
    )
    assert config.agent.command
    assert config.agent.command.startswith("mini -t {prompt}")
    assert f"{LARGEST_BODY >> 20} MiB" in text
    assert f"{program._KEPT_BYTES >> 10} KiB" in text


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_its_curl_commands_are_answered_as_they_stand(tmp_path: Path) -> None:
    (commands,) = re.findall(r"```\n(curl .*?)```", PAGE.read_text(), re.DOTALL)
    body = f"""
import subprocess
ask([{{"role": "user", "content": task}}])
done = subprocess.run(["sh", "-ec", {commands!r}], capture_output=True, text=True)
print(done.stdout, done.stderr)
sys.exit(done.returncode)
"""
    async with open_gateway() as gateway:
        found = await run_episode(
            Job(task=Task("What is 6 * 7?", answer=42), group_id="g"),
            config=CalculatorConfig(),
            make_policy=scripted_policies("scripted:noop"),
            play=lambda scene: gateway.play(scene, write_program(tmp_path, body)),
        )
    assert (found.end, found.reason, found.outcome) == ("terminated", "env", 1.0)
    assert "$ calc" in found.steps[0].panels[0].text
    assert "42" in found.steps[0].panels[-1].text
