"""TextWorld: one instance a game, started once and reset for each episode."""

from collections.abc import Sequence

from agentgym.bench.natives import Native, Play
from agentgym.env import EnvConfig
from agentgym.envs.textworld import TextWorldConfig
from agentgym.envs.textworld.console import take
from agentgym.envs.textworld.env import wanted_by
from agentgym.types import Message, Task


def native(config: EnvConfig) -> Native:
    """Play without agentgym, asking for the same information, which costs most of a step."""
    assert isinstance(config, TextWorldConfig)

    def prepare(task: Task, messages: Sequence[Message]) -> Play:
        console = take(wanted_by(task))
        env, commands = console.env, [message.content for message in messages]

        def play() -> int:
            env.reset()
            for number, command in enumerate(commands, start=1):
                _, _, done = env.step(command)
                if done:
                    return number
            return len(commands)

        return play

    return Native("textworld", prepare)
