"""mini-swe-agent, unmodified, in an environment of its own: the proof that programs need no change."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from agentgym.engine import Engine, SamplingConfig
from agentgym.engines.local import LocalEngine
from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.tiny import TinyConfig
from agentgym.envs.calculator import CalculatorConfig
from agentgym.renderer import Renderer
from agentgym.renderers.chat import ChatRendererConfig
from agentgym.rollout.collect import token_policies
from agentgym.rollout.episode import Job, run_episode
from agentgym.rollout.outside.gateway import open_gateway
from agentgym.trainers.exact import check_exact
from agentgym.types import Completion, Message, Task, ToolCall, ToolSpec, Trajectory

_PACKAGES = ("mini-swe-agent==2.4.6", "litellm==1.106.2", "mcp>=2,<3")  # litellm imports mcp
_VARIABLES = {
    "MSWEA_CONFIGURED": "true",
    "MSWEA_COST_TRACKING": "ignore_errors",
    "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "2",
    "MSWEA_SILENT_STARTUP": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
_CURL = 'curl -sS -H "Authorization: Bearer $OPENAI_API_KEY" "$AGENTGYM_URL/'
_COMMANDS = (
    "pwd",
    f'{_CURL}tools/calc" -d \'{{"expression": "6 * 7"}}\'',
    f'{_CURL}answer" -d 42',
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT",
)

pytestmark = pytest.mark.soak


class Knowing(Engine):
    """Says the tokens of commands one after the other, as a model would that knows them."""

    max_context = 16_000

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._commands = iter(_COMMANDS)

    async def generate(self, token_ids: Sequence[int], *_: Any, **__: Any) -> Completion:
        arguments = json.dumps({"command": next(self._commands)})
        message = Message("assistant", "I look.", (ToolCall("bash", arguments),))
        ids = tuple(self._renderer.complete(message))
        return Completion(token_ids=ids, logprobs=(-1.0,) * len(ids), finish_reason="stop")

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the program: that of MINI_SWE_AGENT, or one that is installed by pip, for a minute."""
    if given := os.environ.get("MINI_SWE_AGENT"):
        return given
    folder = tmp_path_factory.mktemp("mini-swe-agent")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    done = subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "-q", *_PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"mini-swe-agent cannot be installed: {done.stderr[-300:]}")
    return str(folder / "bin" / "mini")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    bash = ToolSpec("bash", "Execute a bash command", {"type": "object", "properties": {}})
    small = TinyConfig(layers=1, width=32, heads=2, max_context=8192)
    folder = tmp_path_factory.mktemp("model")
    return load_model(
        ModelConfig(tiny=small, device="cpu"), folder=folder, texts=_COMMANDS, tools=[bash], seed=1
    )


async def play(mini: str, engine: Engine, renderer: Renderer, folder: Path) -> Trajectory:
    words = "-t {prompt} -m openai/agentgym --yolo --exit-immediately"
    command = f"{mini} {words} -o {folder}/mini.json"
    async with open_gateway() as gateway:
        found = await run_episode(
            Job(task=Task("What is 6 * 7?", answer=42), group_id="g"),
            config=CalculatorConfig(),
            make_policy=token_policies(engine, renderer, SamplingConfig(max_tokens=40)),
            play=lambda scene: gateway.play(scene, command),
        )
    check_exact([found])
    assert found.drift == 0
    return found


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in _VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MSWEA_GLOBAL_CONFIG_DIR", str(tmp_path))


async def test_it_solves_a_task_with_the_tools_of_the_environment(
    mini: str, loaded: Any, tmp_path: Path
) -> None:
    renderer = ChatRendererConfig().build(loaded.tokenizer)
    found = await play(mini, Knowing(renderer), renderer, tmp_path)
    assert (found.end, found.reason, found.outcome) == ("terminated", "env", 1.0)
    (segment,) = found.segments  # nothing that mini-swe-agent repeats was rendered anew
    assert [step for step, _, _ in segment.steps] == list(range(len(found.steps)))
    assert found.steps[1].replies[0].role == "tool"
    assert "42" in found.steps[1].replies[0].content
    assert found.steps[1].reward_terms == {"tool_valid": 1.0}
    assert [tool.name for tool in found.tools] == ["bash"]


async def test_what_a_model_without_sense_says_is_kept_token_by_token(
    mini: str, loaded: Any, tmp_path: Path
) -> None:
    """It answers without calls, which mini-swe-agent leaves out of its history, and gives up."""
    engine = LocalEngine(loaded.model, max_context=8192)
    try:
        found = await play(mini, engine, ChatRendererConfig().build(loaded.tokenizer), tmp_path)
    finally:
        await engine.close()
    assert found.end == "terminated"
    assert len(found.steps) == 3
    assert [segment.reason for segment in found.segments] == ["start", "branch", "branch"]
    assert [step.replies[0].role for step in found.steps[:2]] == ["user", "user"]
