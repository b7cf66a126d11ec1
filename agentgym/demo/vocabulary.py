"""The words that have a token of their own in the demo: those of its tasks, in Latin and Greek."""

from collections.abc import Iterator
from itertools import islice

from agentgym.demo.env import DemoConfig
from agentgym.demo.pages import Pages
from agentgym.demo.repair import Repair
from agentgym.demo.words import Words
from agentgym.envs.calculator import Calculator
from agentgym.envs.keydoor.layout import MOVES
from agentgym.tools import ToolSet
from agentgym.types import ToolSpec

_NUM_TASKS = 36
_FURTHER = (
    " you are walk on a grid step to take it then go the lava kills answer with one word after"
    " drawing of and every move seven words tell what look for whether is up down or here left"
    " right lies above below wall floor key door unknown tool I am certain think give page open"
    " error expression number"
)


def tools() -> list[ToolSpec]:
    """Return the tools of all kinds of tasks."""
    kinds = (Calculator(), Repair(), Words(), Pages())
    return [spec for each in kinds for spec in ToolSet.of(each).specs]


def known_words() -> Iterator[str]:
    """Yield texts whose words are known; scripts beyond Greek are spelled in bytes."""
    yield from (*MOVES, _FURTHER, "abcdefgh" * 3)
    yield from (each.system for each in (Calculator, Repair, Words, Pages))
    for task in islice(DemoConfig().tasks("train"), _NUM_TASKS):
        known = [task.prompt, str(task.answer or ""), *map(str, (task.payload or {}).values())]
        yield from (text for text in known if max(text, default="") < "\u0400")
