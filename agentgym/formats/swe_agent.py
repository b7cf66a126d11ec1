"""Reading the `.traj` files of SWE-agent: one attempt at an issue, or several, a document.

`history` is what the model saw and said, with the calls of tools; without it, `trajectory` has
thoughts, actions and observations.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, FiniteFloat, ValidationError

from agentgym.formats.conversation import Chat, asked, cut, to_step, with_reasoning
from agentgym.formats.reader import NO_END, Part, Reader, Told, check, has_keys, short_name
from agentgym.formats.source import Source, Value
from agentgym.types import End, Message, Step, Task, Timings, Trajectory

_FAULTS = ("error", "exit_api")  # in the status: of the environment, the program or the service
_OWN = ("submitted", "submitted (exit_forfeit)", "exit_forfeit", "exit_command")  # by the model


class _Turn(Part):
    action: str = ""
    observation: str = ""
    response: str = ""
    thought: str = ""
    execution_time: FiniteFloat = 0.0
    reasoning_content: str | None = None
    query: list[Chat] = Field(default_factory=list)


class _Said(Chat):
    is_demo: bool = False
    tool_call_ids: list[str] | None = None


class _Info(Part):
    exit_status: str | int | None = None


class _Attempt(Part):
    trajectory: list[_Turn]
    history: list[_Said] = Field(default_factory=list)
    info: _Info = _Info()
    environment: str | None = None
    replay_config: Any = None


class _Attempts(Part):
    attempts: list[_Attempt]


class _Problem(Part):
    id: str | None = None


class _Model(Part):
    name: str = ""


class _Agent(Part):
    model: _Model = _Model()


class _Config(Part):
    """What it was started with."""

    problem_statement: _Problem = _Problem()
    agent: _Agent = _Agent()


class SweAgentReader(Reader):
    """An episode for each attempt. Whether the issue was solved it does not say."""

    name = "SWE-agent"

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for `trajectory` and `info`, or `attempts` that have them."""
        first = source.first
        if _is_attempt(first):
            return "`trajectory` and `info`"
        attempts = first["attempts"] if has_keys(first, "attempts") else None
        if isinstance(attempts, list) and attempts and all(map(_is_attempt, attempts)):
            return "`attempts` with `trajectory` and `info`"
        return None

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make the episodes; the best of several attempts stands there twice, and is read once."""
        if has_keys(value.value, "attempts"):
            attempts = check(_Attempts, value).attempts
        else:
            attempts = [check(_Attempt, value)]
        for number, attempt in enumerate(attempts):
            yield self._episode(attempt, value, number)

    def _episode(self, attempt: _Attempt, value: Value, number: int) -> Trajectory:
        prompt, steps = _from_history(attempt, self.told) or _from_turns(attempt, self.told)
        if len(steps) == len(attempt.trajectory):
            for step, turn in zip(steps, attempt.trajectory, strict=True):
                step.timings = Timings(env_s=max(0.0, turn.execution_time))
        elif steps:
            self.told["with answers that were asked for again, left out"] += 1
        config = _config(attempt)
        name = short_name(config.problem_statement.id or _place(attempt), Path(value.name).stem)
        end, reason = _end(attempt.info)
        if reason == NO_END:
            self.told["without an end"] += 1
        return Trajectory(
            id=name if number == 0 else f"{name}.{number}",
            task=Task(_issue(attempt, prompt), id=name),
            group_id=name,
            member=number,
            policy=config.agent.model.name,
            prompt=prompt,
            steps=steps,
            end=end,
            reason=reason,
            seconds=sum(max(0.0, turn.execution_time) for turn in attempt.trajectory),
        )


def _is_attempt(value: Any) -> bool:
    return has_keys(value, "trajectory", "info") and isinstance(value["trajectory"], list)


def _config(attempt: _Attempt) -> _Config:
    """Return what it was started with, as far as the file has it: as JSON in JSON."""
    try:
        return _Config.model_validate_json(attempt.replay_config or "")
    except ValidationError:
        return _Config()


def _place(attempt: _Attempt) -> str | None:
    """Return the name of the environment, where it is more than that of all of them."""
    return None if attempt.environment in ("main", "swe_main") else attempt.environment


def _issue(attempt: _Attempt, prompt: Sequence[Message]) -> str:
    """Return what was asked, which is not what was shown as an example."""
    pairs = zip(prompt, attempt.history, strict=False)
    return asked([message for message, each in pairs if not each.is_demo] or prompt)


def _from_history(file: _Attempt, told: Told) -> tuple[tuple[Message, ...], list[Step]] | None:
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


def _from_turns(file: _Attempt, told: Told) -> tuple[tuple[Message, ...], list[Step]]:
    query: Sequence[Chat] = file.trajectory[0].query if file.trajectory else ()
    steps = []
    for turn in file.trajectory:
        said = turn.response or "\n\n".join(filter(None, (turn.thought, turn.action)))
        answer = (Message("user", turn.observation),) if turn.observation else ()
        message = Message("assistant", with_reasoning(turn.reasoning_content, said))
        steps.append(to_step(message, *answer))
    return tuple(each.to_ours(told) for each in query), steps


def _end(info: _Info) -> tuple[End, str]:
    """Return how it ended; what was submitted because a limit was reached was cut off."""
    status = info.exit_status
    if status is None:
        return "truncated", NO_END
    reason = str(status)
    if reason in _OWN:
        return "terminated", reason
    return ("error" if any(word in reason for word in _FAULTS) else "truncated"), reason
