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
    def extend(
        self,
        token_ids: Sequence[int],
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        known: int,
    ) -> list[int] | None:
        """Render what follows a completion: the new messages, up to the assistant's turn.

        `token_ids` say the first `known` messages, of which the last is the assistant's; they end
        with its completion. Where that was cut before its stop token, the ids returned begin with
        that token. Appended, they equal rendering everything, as far as what was sampled is what
        the renderer would have written.

        None: they cannot be appended, since what was said is to be rendered in another way now
        that these messages follow, as where thoughts are left out of earlier answers. The caller
        then renders everything anew, as another segment.
        """

    @abstractmethod
    def complete(self, message: Message) -> list[int]:
        """Render an assistant's message as a policy would have sampled it, stop token included."""

    @abstractmethod
    def parse(self, token_ids: Sequence[int]) -> Message:
        """Read a completion. Never raises: broken tool calls keep their text as arguments."""

    def describe(self) -> str:
        """Return in a few words how it renders."""
        return type(self).__name__

    @abstractmethod
    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of any ids, special tokens included."""
