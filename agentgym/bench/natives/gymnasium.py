"""Gymnasium: one instance, reset with the seed of each task."""

from collections.abc import Sequence

from agentgym.bench.natives import Native, Play
from agentgym.env import EnvConfig
from agentgym.envs.gymnasium import GymnasiumConfig
from agentgym.types import Message, Task


def native(config: EnvConfig) -> Native:
    """Play without agentgym; where the adapter shows a picture, the picture is drawn here, too."""
    assert isinstance(config, GymnasiumConfig)
    game = config.games().take()
    env, parse = game.env, game.actions.parse
    draws = env.render_mode == "ansi"

    def prepare(task: Task, messages: Sequence[Message]) -> Play:
        actions = [parse(message.content) for message in messages]
        seed = task.payload["seed"]

        def play() -> int:
            env.reset(seed=seed)
            if draws:
                env.render()
            for number, action in enumerate(actions, start=1):
                _, _, terminated, truncated, _ = env.step(action)
                if draws:
                    env.render()
                if terminated or truncated:
                    return number
            return len(actions)

        return play

    return Native("gymnasium", prepare)
