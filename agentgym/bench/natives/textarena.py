"""TextArena: a game made for each episode, as its users do."""

from collections.abc import Sequence
from random import Random

from agentgym.bench.natives import Native, Play
from agentgym.env import EnvConfig
from agentgym.envs.textarena import TextArenaConfig
from agentgym.envs.textarena.opponents import candidates
from agentgym.types import Message, Task


def native(config: EnvConfig) -> Native:
    """Play without agentgym; the other player reads its moves, but makes those that it made there."""
    assert isinstance(config, TextArenaConfig)
    name = config.game

    def prepare(task: Task, messages: Sequence[Message]) -> Play:
        seed = task.payload["seed"]
        num_players, moves = _moves(config, task, messages)
        seat = seed % num_players

        def play() -> int:
            import textarena

            env = textarena.make(name)
            env.reset(num_players=num_players, seed=seed)
            chance = Random(seed) if num_players == 2 else None
            seen = ""
            for move in moves:
                player, observation = env.get_observation()
                if chance is not None and player != seat:
                    next(candidates(observation[len(seen) :], observation, chance))
                    seen = observation
                env.step(action=move)
            env.close()
            return len(messages)

        return play

    return Native("textarena", prepare)


def _moves(
    config: TextArenaConfig, task: Task, messages: Sequence[Message]
) -> tuple[int, list[str]]:
    """Return how many play, and their moves in order; the log holds none that were refused."""
    env = config.build()
    try:
        env.reset(task, seed=0)
        for message in messages:
            env.step(message)
        if env.game.num_players == 1:
            return 1, [message.content for message in messages]
        return 2, [text for sender, text in env.game.state.logs if sender >= 0]
    finally:
        env.close()
