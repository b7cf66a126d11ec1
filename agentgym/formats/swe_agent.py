"""Reading the `.traj` files of SWE-agent: one attempt at an issue, a document.

`history` is what the model saw and said, with the calls of tools; without it, `trajectory` has
thoughts, actions and observations. Those of mini-swe-agent are conversations with `messages`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field, FiniteFloat

from agentgym.env import action_key
from agentgym.formats.conversation import Chat, asked, cut
from agentgym.formats.reader import NO_END, Part, Reader, Told, check, has_keys, short_name
from agentgym.formats.source import Source, Value
from agentgym.types import End, Message, Step, Task, Timings, Trajectory


class _Turn(Part):
    action: str = ""
    observation: str = ""
    response: str = ""
    thought: str = ""
    execution_time: FiniteFloat = 0.0
    query: list[Chat] = Field(default_factory=list)


class _Said(Chat):
    is_demo: bool = False
    tool_call_ids: list[str] | None = None


class _Info(Part):
    exit_status: str | None = None
    submission: Any = None


class _File(Part):
    trajectory: list[_Turn]
    history: list[_Said] = Field(default_factory=list)
    info: _Info = _Info()
    environment: str = ""


class SweAgentReader(Reader):
    """An episode a file. Whether the issue was solved it does not say."""

    name = "SWE-agent"

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for `trajectory` and `info`."""
        first = source.first
        if has_keys(first, "trajectory", "info") and isinstance(first["trajectory"], list):
            return "`trajectory` and `info`"
        return None

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make the episode."""
        file = check(_File, value)
        prompt, steps = _from_history(file, self.told) or _from_turns(file, self.told)
        if len(steps) == len(file.trajectory):
            for step, turn in zip(steps, file.trajectory, strict=True):
                step.timings = Timings(env_s=max(0.0, turn.execution_time))
        name = short_name(file.environment, value.name)
        end, reason = _end(file.info)
        if reason == NO_END:
            self.told["without an end"] += 1
        yield Trajectory(
            id=name,
            task=Task(asked(prompt), id=name),
            group_id=name,
            prompt=prompt,
            steps=steps,
            end=end,
            reason=reason,
            seconds=sum(step.timings.env_s for step in steps),
        )


def _from_history(file: _File, told: Told) -> tuple[tuple[Message, ...], list[Step]] | None:
    own = next(
        (n for n, each in enumerate(file.history) if each.role == "assistant" and not each.is_demo),
        None,
    )
    if own is None:
        return None
    return cut([_message(each, told) for each in file.history], prompt=own)


def _message(said: _Said, told: Told) -> Message:
    """Return a message; an answer names its call in a list of one."""
    if said.tool_call_id is None and said.role == "tool" and said.tool_call_ids:
        said = said.model_copy(update={"tool_call_id": said.tool_call_ids[0]})
    return said.to_ours(told)


def _from_turns(file: _File, told: Told) -> tuple[tuple[Message, ...], list[Step]]:
    query: Sequence[Chat] = file.trajectory[0].query if file.trajectory else ()
    steps = []
    for turn in file.trajectory:
        said = turn.response or "\n\n".join(filter(None, (turn.thought, turn.action)))
        message = Message("assistant", said)
        answer = (Message("user", turn.observation),) if turn.observation else ()
        steps.append(Step(message=message, replies=answer, action_key=action_key(message)))
    return tuple(each.to_ours(told) for each in query), steps


def _end(info: _Info) -> tuple[End, str]:
    """Return how it ended; what was submitted because a limit was reached was cut off."""
    status = info.exit_status
    if status is None:
        return "truncated", NO_END
    if status == "submitted":
        return "terminated", status
    return ("error" if "error" in status else "truncated"), status
