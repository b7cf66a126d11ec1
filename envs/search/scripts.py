"""Scripted agents: one that reads well, and an imperfect teacher to imitate.

Both know the steps of the question and what an article says about them; what they look for is
always a name that they have read, in the question or in an article.
"""

import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from agentgym.env import Script
from agentgym.envs.search.corpus import Corpus
from agentgym.envs.search.dice import Dice
from agentgym.envs.search.plan import Plan, Step, clues
from agentgym.envs.search.relations import RELATIONS
from agentgym.envs.search.text import normalise
from agentgym.envs.search.world import Entity
from agentgym.types import Message, Task, ToolCall

_RESULT = re.compile(r"^\[([^\[\]]+)\]", re.MULTILINE)
_MOST_RESULTS = 10

Reading = Generator[Message, str, None]
"""Yields messages, and is sent what the tools answered."""


@dataclass(frozen=True, slots=True)
class Skill:
    """How well a scripted agent reads: shares of 1."""

    first_hit: bool = False
    """Opens whatever comes first, without a look at the title."""
    misread: float = 0.0
    """How often it takes another fact of the article for the one it needs."""
    forget: float = 0.0
    """How often it cites the last article only."""


SKILLS = {"expert": Skill(), "teacher": Skill(first_hit=True, misread=0.4, forget=0.3)}


def script(task: Task, corpus: Corpus, *, skill: Skill, seed: int) -> Script:
    """Return the agent of this skill."""
    plan = Plan.from_payload(task.payload)
    reader = _Reader(corpus, skill, Dice("search script", task.id, seed)).answer(plan)
    started = False

    def play(conversation: Sequence[Message]) -> Message:
        nonlocal started
        if not started:
            started = True
            return next(reader)
        return reader.send(conversation[-1].content)

    return play


class _Lost(Exception):  # noqa: N818  it is no error of the program
    """There is nothing left to follow."""


class _Reader:
    """Works a plan off with the tools."""

    def __init__(self, corpus: Corpus, skill: Skill, dice: Dice) -> None:
        self._corpus = corpus
        self._skill = skill
        self._dice = dice
        self._found: dict[str, None] = {}
        self._opened: dict[str, None] = {}

    def answer(self, plan: Plan) -> Reading:
        """Look for each name in turn, and say what the last step led to."""
        try:
            known = list(plan.names)
            for step in plan.steps:
                known = yield from self._follow(step, known)
            if plan.steps[-1].verb == "find":
                yield from self._open_all(known)
            text = known[0]
        except _Lost:
            text = "unknown"
        cited = list(self._opened)
        if self._dice.chance(self._skill.forget):
            cited = cited[-1:]
        citations = "".join(f" [{id}]" for id in cited)
        yield Message("assistant", f"answer: {text}{citations}")

    def _follow(self, step: Step, known: list[str]) -> Generator[Message, str, list[str]]:
        if step.verb == "find":
            return (yield from self._find(step, known[0]))
        values = []
        for name in known:
            entity = yield from self._look_up(name)
            values.append(self._read(entity, step.relation))
        if step.verb == "get":
            return values[:1]
        choose = min if step.verb == "least" else max
        numbers = [int(value) if value.isdigit() else 0 for value in values]
        return [known[numbers.index(choose(numbers))]]

    def _look_up(self, name: str) -> Generator[Message, str, Entity]:
        """Search a name and open its article, unless that was done before."""
        wanted = self._corpus.by_name[normalise(name)]
        if wanted.id in self._opened:
            return wanted
        if wanted.id in self._found:
            return (yield from self._open(wanted.id))
        ids = yield from self._search([name, name], [wanted])
        first = self._skill.first_hit or wanted.id not in ids
        return (yield from self._open(ids[0] if first else wanted.id))

    def _find(self, step: Step, name: str) -> Generator[Message, str, list[str]]:
        """Search for what points to a name."""
        value = self._corpus.by_name[normalise(name)]
        wanted = self._corpus.bearers.get((step.relation, value.id), ())
        ids = yield from self._search(clues(step, name), wanted)
        found = [each.name for each in wanted if each.id in ids]
        if not found:
            raise _Lost
        return found

    def _search(
        self, queries: Sequence[str], wanted: Sequence[Entity]
    ) -> Generator[Message, str, list[str]]:
        """Search, and for more results in other words while something is missing."""
        ids: list[str] = []
        for place, query in enumerate(queries):
            more = {"k": _MOST_RESULTS} if place else {}
            ids += _RESULT.findall((yield _call("search", query=query, **more)))
            if self._skill.first_hit or all(each.id in ids for each in wanted):
                break
        if not ids:
            raise _Lost
        self._found |= dict.fromkeys(ids)
        return ids

    def _open_all(self, names: Sequence[str]) -> Generator[Message, str, None]:
        for name in names:
            entity = self._corpus.by_name[normalise(name)]
            if entity.id not in self._opened:
                yield from self._open(entity.id)

    def _open(self, id: str) -> Generator[Message, str, Entity]:
        yield _call("open", doc_id=id)
        self._opened[id] = None
        if id not in self._corpus.by_id:
            raise _Lost
        return self._corpus.by_id[id]

    def _read(self, entity: Entity, relation: str) -> str:
        """Return what the article says, or perhaps another fact of the same sort."""
        if self._dice.chance(self._skill.misread):
            is_number = RELATIONS[relation].order is not None
            others = [r for r in entity.facts if (RELATIONS[r].order is not None) == is_number]
            relation = self._dice.pick(others or [relation])
        if relation not in entity.facts:
            raise _Lost
        return self._corpus.mentions[entity.id, relation]


def _call(name: str, **arguments: str | int) -> Message:
    text = json.dumps(arguments, ensure_ascii=False)
    return Message("assistant", tool_calls=(ToolCall(name, text, "call_0"),))
