"""The contract of a renderer: messages on one side, token ids on the other, and a wall between.

Sampled ids are kept as they were sampled; what the environment answers is appended. Text that
became tokens once is never tokenised again, so that a stream only grows.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from agentgym.types import Message, ToolSpec


class RendererConfig(BaseModel, ABC):
    """What a user sets of a renderer; a subclass has its own `name` and builds it."""

    # Not as class arguments: type checkers would then ask every subclass to repeat `frozen`.
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str

    @abstractmethod
    def build(self, tokenizer: Any) -> "Renderer":
        """Make the renderer of a model's tokenizer, one of transformers.

        Raises:
            ConfigError: it cannot render for this tokenizer.
        """


class Renderer(ABC):
    """Knows one tokenizer and its chat template."""

    stop_token_ids: tuple[int, ...]
    """Any of these ends a completion."""

    @abstractmethod
    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        """Render a whole conversation, up to where the assistant is to speak."""

    @abstractmethod
    def extend(self, messages: Sequence[Message], *, stopped: bool) -> list[int]:
        """Render what follows a completion: the new messages, up to the assistant's turn.

        `stopped` is False when the completion was cut before its stop token; the ids then begin
        with that token. Appending these ids to the completion equals rendering everything.
        """

    @abstractmethod
    def complete(self, message: Message) -> list[int]:
        """Render an assistant's message as a policy would have sampled it, stop token included."""

    @abstractmethod
    def parse(self, token_ids: Sequence[int]) -> Message:
        """Read a completion. Never raises: broken tool calls keep their text as arguments."""

    @abstractmethod
    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of any ids, special tokens included."""
