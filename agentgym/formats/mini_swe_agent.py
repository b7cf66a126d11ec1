"""Reading the trajectories of mini-swe-agent: a conversation with times and costs, a document."""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Literal

from pydantic import FiniteFloat

from agentgym.formats.conversation import Chat, asked, cut
from agentgym.formats.reader import NO_END, Part, Reader, Told, check, names_format, short_name
from agentgym.formats.source import Source, Value
from agentgym.types import End, Message, Step, Task, Timings, Trajectory

_LIMITS = ("LimitsExceeded", "TimeExceeded", "RepeatedFormatError")


class _Usage(Part):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Response(Part):
    usage: _Usage | None = None


class _Extra(Part):
    timestamp: FiniteFloat | None = None
    cost: FiniteFloat | None = None
    response: _Response | str | None = None
    """As text, where it could not be written otherwise."""
    interrupt_type: str | None = None


class _Said(Chat):
    extra: _Extra = _Extra()

    def usage(self) -> dict[str, float]:
        """Return what the service counted."""
        response = self.extra.response
        counted = response.usage if isinstance(response, _Response) else None
        found = counted.model_dump() if counted else {}
        found["cost"] = self.extra.cost
        return {name: float(each) for name, each in found.items() if each is not None}


class _Exit(Part):
    """The last message, which no model was shown: what was submitted, or what went wrong."""

    role: Literal["exit"]
    content: str = ""
    extra: _Extra = _Extra()

    def to_ours(self, _: Told) -> Message:
        """Return it as the last answer."""
        return Message("user", self.content)


class _Model(Part):
    model_name: str = ""


class _Config(Part):
    model: _Model = _Model()


class _Info(Part):
    exit_status: str | None = None
    config: _Config = _Config()


class _File(Part):
    messages: list[_Said | _Exit]
    info: _Info = _Info()
    instance_id: str | None = None


class MiniSweAgentReader(Reader):
    """An episode a file. Whether the issue was solved it does not say."""

    name = "mini-swe-agent"

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for `trajectory_format`."""
        return names_format(source.first, "trajectory_format", "mini-swe-agent")

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make the episode."""
        file = check(_File, value)
        said = [each for each in file.messages if each.role != "exit" or each.content]
        prompt, steps = cut(each.to_ours(self.told) for each in said)
        _measure(steps, said[len(prompt) :])
        if any(each.extra.interrupt_type == "FormatError" for each in said):
            self.told["with answers of a wrong form, which are not among its messages"] += 1
        name = short_name(file.instance_id, Path(value.name).name.partition(".")[0])
        end, reason = _end(file.info.exit_status)
        if reason == NO_END:
            self.told["without an end"] += 1
        times = [each.extra.timestamp for each in said if each.extra.timestamp is not None]
        yield Trajectory(
            id=name,
            task=Task(asked(prompt), id=name),
            group_id=name,
            policy=file.info.config.model.model_name,
            prompt=prompt,
            steps=steps,
            end=end,
            reason=reason,
            seconds=max(0.0, times[-1] - times[0]) if times else 0.0,
        )


def _measure(steps: Sequence[Step], said: Sequence[_Said | _Exit]) -> None:
    """Give the steps their usage, and the seconds between the times at which messages came."""
    times = [each.extra.timestamp for each in said]
    passed = (max(0.0, b - a) if a and b else 0.0 for a, b in pairwise(times))
    owner = -1
    spent: dict[int, dict[str, float]] = {}
    for each, seconds in zip(said, chain((0.0,), passed), strict=False):
        own = isinstance(each, _Said) and each.role == "assistant"
        owner += own
        found = spent.setdefault(owner, {"generate_s": 0.0, "env_s": 0.0})
        found["generate_s" if own else "env_s"] += seconds
        if isinstance(each, _Said) and own:
            steps[owner].usage = each.usage()
    for number, found in spent.items():
        steps[number].timings = Timings(**found)


def _end(status: str | None) -> tuple[End, str]:
    """Return how it ended; all but submission and limits are exceptions of the program."""
    if not status:
        return "truncated", NO_END
    if status == "Submitted":
        return "terminated", status
    return ("truncated" if status in _LIMITS else "error"), status
