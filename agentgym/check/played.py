"""An episode as a check played it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agentgym.env import EnvStep, Reset
from agentgym.types import OUTCOME, Message, Task


class Turn(NamedTuple):
    """One step, with the keys around it."""

    message: Message
    state_key: str | None
    action_key: str
    answer: EnvStep
    next_state_key: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """What has to repeat."""
        return {
            "messages": self.answer.messages,
            "reward": self.answer.reward,
            "terminated": self.answer.terminated,
            "truncated": self.answer.truncated,
            "state_key": self.state_key,
            "next_state_key": self.next_state_key,
            "action_key": self.action_key,
        }


@dataclass(slots=True, kw_only=True)
class Episode:
    """What was said and answered."""

    policy: str
    task: Task
    seed: int
    where: str | None
    """The class of the environment."""
    reset: Reset
    turns: list[Turn] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """What the policy said."""
        return [turn.message for turn in self.turns]

    @property
    def outcome(self) -> float:
        """The sum of the term `outcome`."""
        return sum(turn.answer.reward.get(OUTCOME, 0.0) for turn in self.turns)

    @property
    def timed_out(self) -> bool:
        """Whether a time limit fired, so that nothing need repeat."""
        return any(turn.answer.info.get("timed_out") for turn in self.turns)

    def difference(self, other: "Episode") -> str | None:
        """Return the first thing that differs, in words; None when all is equal."""
        for name in ("messages", "tools"):
            mine, its = getattr(self.reset, name), getattr(other.reset, name)
            if mine != its:
                return f"reset: {name}: {mine!r:.120} and {its!r:.120}"
        for number, (turn, again) in enumerate(zip(self.turns, other.turns, strict=False)):
            for name, mine in turn.facts.items():
                if mine != again.facts[name]:
                    return f"step {number}: {name}: {mine!r:.120} and {again.facts[name]!r:.120}"
        return None
