"""Policies whose advantages are estimated: what they do depends on the conversation alone.

A script is begun anew at each step, with randomness of that step, so that an episode can go on
from anywhere as the policy would have gone on.
"""

import random
from collections.abc import Sequence

from agentgym.env import Env
from agentgym.rollout.policy import MakePolicy, Policy, Reply
from agentgym.rollout.scripted import RandomPolicy, scripted_policies
from agentgym.types import Message, Task, ToolSpec, derive_seed


class MixedPolicy(Policy):
    """Acts at random with probability `epsilon`, and else as a script does."""

    def __init__(
        self, env: Env, task: Task, seed: int, *, script: MakePolicy, epsilon: float
    ) -> None:
        self._env, self._task, self._seed = env, task, seed
        self._script, self._epsilon = script, epsilon

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Draw which of the two answers, and let it."""
        own = derive_seed(self._seed, len(messages))
        if random.Random(own).random() < self._epsilon:
            return await RandomPolicy(self._env, derive_seed(own)).act(messages, tools, seed=seed)
        script = self._script(self._env, self._task, derive_seed(own))
        return await script.act(messages, tools, seed=seed)


def mixed_policies(name: str, epsilon: float) -> MakePolicy:
    """Return the maker of policies that follow `scripted[:LEVEL]`, but for a share of chance.

    Raises:
        ConfigError: the name is no scripted policy; later, the environment has no such script.
    """
    script = scripted_policies(name)

    def make(env: Env, task: Task, seed: int) -> Policy:
        return MixedPolicy(env, task, seed, script=script, epsilon=epsilon)

    return make
