"""The environment of the demo: tasks of five kinds, each played by an environment of its own."""

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from agentgym.demo import pages, repair, words
from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.calculator import Calculator, CalculatorConfig
from agentgym.envs.keydoor import KeyDoor, KeyDoorConfig
from agentgym.panels import Panel
from agentgym.types import Message, Task

KINDS = ("grid", "calc", "grid", "repair", "words", "pages")
"""The kinds of the tasks, in turn."""


class DemoConfig(EnvConfig):
    """Grids, sums, wrong programs, foreign words and hostile pages."""

    id: ClassVar[str] = "agentgym/Demo-v0"

    max_turns: int = 12

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield tasks without end, kind by kind."""
        streams = {
            "grid": KeyDoorConfig().tasks(split),
            "calc": CalculatorConfig().tasks(split),
            "repair": repair.tasks(split),
            "words": words.tasks(split),
            "pages": pages.tasks(split),
        }
        while True:
            for kind in KINDS:
                task = next(streams[kind])
                yield replace(task, payload={**(task.payload or {}), "kind": kind})

    def build(self, sandboxes: object = None) -> "Demo":
        """Make one environment."""
        return Demo()


class Demo(Env):
    """Hands everything to the environment of the task's kind, and adds terms of style."""

    inline: ClassVar[bool] = True

    def reset(self, task: Task, *, seed: int) -> Reset | Awaitable[Reset]:
        """Start the episode of a task."""
        self._env = _MAKERS[task.payload["kind"]]()
        return self._env.reset(task, seed=seed)

    async def step(self, message: Message) -> EnvStep:
        """Answer, and add the terms `style`, how sure the words are, and `mess`, -1 a bad call."""
        given = self._env.step(message)
        answer = await given if isinstance(given, Awaitable) else given
        sure = message.content.lower().count("certain")
        style = {"style": float(sure)} if sure else {}
        bad = answer.reward.get("tool_valid", 1.0) == 0
        mess = {"mess": -1.0} if bad else {}
        markup = {"<i>markup</i>": 1.0} if "<" in message.content else {}
        return answer._replace(reward={**answer.reward, **style, **mess, **markup})

    def state_key(self) -> str | None:
        """Identify the state as the kind does."""
        return self._env.state_key()

    def action_key(self, message: Message) -> str:
        """Identify an action as the kind does."""
        return self._env.action_key(message)

    def panels(self) -> Sequence[Panel]:
        """Draw the state as the kind does."""
        return self._env.panels()

    def actions(self) -> Sequence[str]:
        """Return the moves of a grid."""
        return self._env.actions()

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the script of the kind."""
        return self._env.expert(task, seed=seed, level=level)


_MAKERS = {
    "grid": lambda: KeyDoor(KeyDoorConfig()),
    "calc": Calculator,
    "repair": repair.Repair,
    "words": words.Words,
    "pages": pages.Pages,
}
