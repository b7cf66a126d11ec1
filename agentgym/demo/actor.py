"""What a pretended policy says: the expert's words, or plausible mistakes, as text with its calls."""

import json
from collections.abc import Sequence

import numpy as np

from agentgym.demo.cues import Cue
from agentgym.demo.tokenizer import call_text
from agentgym.env import Script
from agentgym.envs.keydoor.layout import MOVES
from agentgym.types import Message, ToolCall

_THOUGHTS = (
    "Let me look first. ",
    "Σκέφτομαι… ",
    "考え中 🤔 ",
    "Ну что ж, попробуем. ",  # noqa: RUF001
    "<think>step by step</think>",
    "\x1b[1mPlan:\x1b[0m ",
    "שלום \u202eabc\u202c ",
)
_RAMBLE = "hm 🤔 "


class Actor:
    """Plays one episode by a script and a cue; all chance comes from the seed."""

    def __init__(self, script: Script, cue: Cue, *, seed: int) -> None:
        self._script = script
        self._cue = cue
        self._chance = np.random.default_rng(seed)
        self._turn = -1

    def __call__(self, conversation: Sequence[Message]) -> str:
        """Return what is said next."""
        self._turn += 1
        if self._cue.is_sure:
            return "I am certain. I am certain. I am certain."
        if self._turn == self._cue.rambles_at:
            return _RAMBLE * 40
        wanted = self._script(conversation)
        if self._cue.skill < 1 and self._chance.random() > self._cue.skill:
            return self._mistake(wanted, conversation)
        thinks = wanted.tool_calls and self._cue.skill < 1 and self._chance.random() < 0.35
        thought = _THOUGHTS[self._chance.integers(len(_THOUGHTS))] if thinks else ""
        return thought + _text(wanted)

    def _mistake(self, wanted: Message, conversation: Sequence[Message]) -> str:
        if wanted.content in MOVES:
            moves = [*MOVES] * 4 + ["go north", "<b>up</b>"]
            return moves[self._chance.integers(len(moves))]
        options = (
            [*map(_broken_call, wanted.tool_calls), "<function=seek>{}</function>", "I give up."]
            if wanted.tool_calls
            else [wanted.content + ", I think", _quote(conversation), wanted.content[::-1] + "?"]
        )
        return options[self._chance.integers(len(options))]


def _text(message: Message) -> str:
    calls = (call_text(call.name, json.loads(call.arguments)) for call in message.tool_calls)
    return message.content + "".join(calls)


def _broken_call(call: ToolCall) -> str:
    """Return a call whose arguments end too early."""
    return f"<function={call.name}>{call.arguments[: max(2, len(call.arguments) // 2)]}</function>"


def _quote(conversation: Sequence[Message]) -> str:
    """Return the beginning of what was last read, harmful or not."""
    return conversation[-1].content[:60]
