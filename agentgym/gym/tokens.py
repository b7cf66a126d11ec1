"""The same environment seen through a tokenizer: ids in, ids out."""

from collections.abc import Sequence
from typing import Any, Protocol, SupportsFloat, TypeAlias

import gymnasium
from gymnasium import spaces


class Tokenizer(Protocol):
    """What is needed of a tokenizer; those of transformers have it."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the ids of a text."""
        ...

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of ids."""
        ...

    def __len__(self) -> int:
        """Return how many ids there are."""
        ...


Ids: TypeAlias = tuple[int, ...]


class TokenEnv(gymnasium.Wrapper[Any, Any, str, str]):
    """Wraps a text environment; observations and actions are tuples of ids.

    The text goes through the tokenizer each time. To train a language model on exactly the ids it
    sampled, use agentgym's own rollout, which keeps them.

    Args:
        env: An environment whose observations and actions are texts.
        tokenizer: `encode(text, add_special_tokens=False)`, `decode(ids)` and `len()`.
    """

    def __init__(self, env: gymnasium.Env[str, str], tokenizer: Tokenizer) -> None:
        super().__init__(env)
        self._tokenizer = tokenizer
        ids = spaces.Discrete(len(tokenizer))
        self.observation_space = spaces.Sequence(ids)
        self.action_space = spaces.Sequence(ids)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Ids, dict[str, Any]]:
        """Start an episode."""
        text, info = self.env.reset(seed=seed, options=options)
        return self._encoded(text), info

    def step(self, action: Sequence[int]) -> tuple[Ids, SupportsFloat, bool, bool, dict[str, Any]]:
        """Say what the ids spell."""
        said = self._tokenizer.decode([int(each) for each in action])
        text, reward, terminated, truncated, info = self.env.step(said)
        return self._encoded(text), reward, terminated, truncated, info

    def _encoded(self, text: str) -> Ids:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))
