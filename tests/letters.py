"""A renderer whose tokens are characters."""

from collections.abc import Sequence

from agentgym.renderer import Renderer
from agentgym.types import Message, ToolSpec

STOP = 0


class Letters(Renderer):
    """One token per character; 0 ends a message, 1 opens the assistant's turn."""

    stop_token_ids = (STOP,)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        return [t for m in messages for t in (*map(ord, m.content), STOP)] + [1]

    def extend(
        self,
        token_ids: Sequence[int],
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        known: int,
    ) -> list[int]:
        stop = [] if token_ids[-1] == STOP else [STOP]
        return stop + self.prompt(messages[known:], tools)

    def complete(self, message: Message) -> list[int]:
        return [*map(ord, message.content), STOP]

    def parse(self, token_ids: Sequence[int]) -> Message:
        return Message("assistant", "".join(map(chr, token_ids)).strip("\0"))

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(map(chr, token_ids))
