"""What a question asks, as steps over the facts; how it is put in words, and its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from agentgym.envs.search.corpus import Corpus
from agentgym.envs.search.dice import Dice
from agentgym.envs.search.relations import PLURALS, RELATIONS, Kind, Relation
from agentgym.envs.search.text import normalise
from agentgym.envs.search.world import Entity

Verb = Literal["get", "find", "least", "most"]
_MOST_FOUND = 4


class Step(NamedTuple):
    """One step of a plan.

    `get` goes from the subject of a relation to its value, `find` from the value to the
    subjects; `least` and `most` choose among several by a number.
    """

    verb: Verb
    relation: str

    @property
    def of(self) -> Relation:
        """The relation itself."""
        return RELATIONS[self.relation]


@dataclass(frozen=True, slots=True)
class Plan:
    """Names to begin with, and what to do from there."""

    names: tuple[str, ...]
    steps: tuple[Step, ...]

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "Plan":
        """Read what `payload` wrote."""
        steps = tuple(Step(verb, relation) for verb, relation in payload["steps"])
        return cls(tuple(payload["names"]), steps)

    def payload(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"names": list(self.names), "steps": [list(step) for step in self.steps]}

    @property
    def composition(self) -> str:
        """The steps without the names."""
        return " > ".join(f"{step.verb} {step.relation}" for step in self.steps)


class Solution(NamedTuple):
    """The only answer, every spelling of it, and the articles that show it, in order."""

    answer: str
    accepted: tuple[str, ...]
    documents: tuple[str, ...]


def solve(plan: Plan, corpus: Corpus) -> Solution | None:
    """Return the solution; None where there is none, or where it is not the only one."""
    here = [corpus.by_name[normalise(name)] for name in plan.names]
    known = list(plan.names)
    visited = list(here)
    documents: dict[str, None] = {}
    for step, following in zip(plan.steps, [*plan.steps[1:], None], strict=True):
        if step.verb == "find":
            here = _bearers(corpus, step, here[0], known[0])
            known = [each.name for each in here]
            several = following is not None and following.verb != "get"
            if not (2 <= len(here) <= _MOST_FOUND if several else len(here) == 1):
                return None
            documents |= dict.fromkeys(each.id for each in here)
            visited += here
            continue
        if any(step.relation not in each.facts for each in here):
            return None
        documents |= dict.fromkeys(each.id for each in here)
        if step.verb == "get":
            value = here[0].facts[step.relation]
            if isinstance(value, int):
                return Solution(str(value), (str(value),), tuple(documents))
            here, known = [value], [corpus.mentions[here[0].id, step.relation]]
            visited += here
        else:
            best = _extreme(step, here)
            if best is None:
                return None
            known = [known[here.index(best)]]
            here = [best]
    if len({each.id for each in visited}) < len(visited):
        return None  # it leads in a circle
    return Solution(here[0].name, here[0].names, tuple(documents))


def ask(plan: Plan, kind: Kind, dice: Dice) -> str:
    """Put a plan in words; `kind` is what its names stand for."""
    names = list(plan.names)
    last = names.pop()
    phrase = f"the {PLURALS[kind]} {', '.join(names)} and {last}" if names else last
    number = len(plan.names)
    value: str = kind
    for step, following in zip(plan.steps, [*plan.steps[1:], None], strict=True):
        if step.verb == "get":
            phrase = dice.pick(step.of.phrases).format(s=phrase)
            value = step.of.value
        elif step.verb == "find":
            several = following is not None and following.verb != "get"
            value = step.of.subject
            noun = PLURALS[step.of.subject] if several else value
            phrase = f"the {noun} {step.of.inverse.format(o=phrase)}"
            number = 0
        else:
            order = step.of.order
            assert order is not None
            words = order.least if step.verb == "least" else order.most
            phrase = f"the {words[number != 2]} of {phrase}"
    return f"{'Who' if value == 'person' else 'What'} is {phrase}?"


def clues(step: Step, name: str) -> list[str]:
    """Return what to search for to find the subjects of a value: as asked, then as told."""
    noun = step.of.subject
    told = [sentence.removesuffix(".").format(s=noun, o=name) for sentence in step.of.sentences]
    return [f"{noun} {step.of.inverse.format(o=name)}", *told]


def _bearers(corpus: Corpus, step: Step, value: Entity, known: str) -> list[Entity]:
    """Return the subjects; none where an article would have to be read to know another name."""
    found = corpus.bearers.get((step.relation, value.id), ())
    told = {corpus.mentions[each.id, step.relation] for each in found}
    return list(found) if known == value.name and told == {value.name} else []


def _extreme(step: Step, here: Sequence[Entity]) -> Entity | None:
    values = [each.facts[step.relation] for each in here]
    numbers = [value for value in values if isinstance(value, int)]
    wanted = min(numbers) if step.verb == "least" else max(numbers)
    return here[numbers.index(wanted)] if numbers.count(wanted) == 1 else None
