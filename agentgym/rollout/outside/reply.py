"""An answer in OpenAI's form: whole, or as a stream of events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentgym.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model said in one step, as a client is told."""

    id: str
    created: int
    """Seconds since 1970."""
    message: Message
    """With ids of calls that are unique in the episode."""
    is_cut: bool
    """Whether it ended at the limit on tokens."""
    prompt_tokens: int
    completion_tokens: int

    def to_json(self, model: str) -> dict[str, Any]:
        """Return a chat completion, under the name that the client has for the model."""
        choice = {
            "index": 0,
            "message": self._message(),
            "logprobs": None,
            "finish_reason": self._finish(),
        }
        return {
            **self._head("chat.completion", model),
            "choices": [choice],
            "usage": self._usage(),
        }

    def to_events(self, model: str, *, counts: bool) -> str:
        """Return the same as server-sent events; the last one is its usage, where that is asked."""
        events = [json.dumps(each) for each in self._chunks(model, counts=counts)]
        return "".join(f"data: {event}\n\n" for event in (*events, "[DONE]"))

    def _chunks(self, model: str, *, counts: bool) -> Iterator[dict[str, Any]]:
        head = self._head("chat.completion.chunk", model)
        said = self._message()
        for index, call in enumerate(said.get("tool_calls", ())):
            call["index"] = index
        for delta, finish in ((said, None), ({}, self._finish())):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            yield {**head, "choices": [choice]}
        if counts:
            yield {**head, "choices": [], "usage": self._usage()}

    def _head(self, kind: str, model: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": model}

    def _message(self) -> dict[str, Any]:
        found = self.message.to_openai()
        if self.message.tool_calls and not self.message.content:
            found["content"] = None
        return found

    def _finish(self) -> str:
        if self.is_cut:
            return "length"
        return "tool_calls" if self.message.tool_calls else "stop"

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
