"""The shapes and types of what an environment answers."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from agentgym.check.report import Failed
from agentgym.env import EnvStep, Reset
from agentgym.types import Message, ToolSpec

_RESET_HINT = "return Reset(messages=(Message(...),), tools=...)"
_STEP_HINT = 'return EnvStep(messages=(Message(...),), reward={"outcome": ...}, terminated=...)'


def checked_reset(reset: Any) -> Reset:
    """Return what `reset` gave, if it is what it must be.

    Raises:
        Failed: it is not.
    """
    if not isinstance(reset, Reset):
        raise Failed(f"reset returned {_kind(reset)}, expected Reset", hint=_RESET_HINT)
    _check_messages("reset", reset.messages, roles=("system", "user", "assistant", "tool"))
    if not reset.messages or reset.messages[-1].role == "assistant":
        raise Failed(
            "reset left the policy nothing to answer",
            hint="end the messages of reset with one of role user",
        )
    if not isinstance(reset.tools, tuple) or not all(
        isinstance(tool, ToolSpec) for tool in reset.tools
    ):
        raise Failed(f"reset gave tools={reset.tools!r:.80}, expected a tuple of ToolSpec")
    return reset


def checked_step(answer: Any, message: Message, *, has_tools: bool) -> EnvStep:
    """Return what `step` gave for `message`, if it is what it must be.

    Raises:
        Failed: it is not.
    """
    if not isinstance(answer, EnvStep):
        raise Failed(f"step returned {_kind(answer)}, expected EnvStep", hint=_STEP_HINT)
    _check_messages("step", answer.messages, roles=("user", "tool"))
    _check_reward(answer.reward)
    for name in ("terminated", "truncated"):
        if not isinstance(getattr(answer, name), bool):
            raise Failed(f"step gave {name}={getattr(answer, name)!r}, expected a bool")
    if not isinstance(answer.info, Mapping):
        raise Failed(f"step gave info={answer.info!r:.80}, expected a dict")
    if not (answer.terminated or answer.truncated):
        if not answer.messages:
            raise Failed(
                "step went on without a message: the policy has nothing to answer",
                hint="add a message, or end the episode with terminated=True",
            )
        if has_tools:
            _check_answered(answer, message)
    return answer


def _check_messages(what: str, messages: Any, *, roles: tuple[str, ...]) -> None:
    if not isinstance(messages, tuple):
        raise Failed(f"{what} gave messages of type {_kind(messages)}, expected a tuple")
    for message in messages:
        if not isinstance(message, Message):
            raise Failed(f"{what} gave {_kind(message)} as a message, expected Message")
        if message.role not in roles:
            raise Failed(f"{what} gave a message of role {message.role!r}, expected one of {roles}")
        if not isinstance(message.content, str):
            raise Failed(f"{what} gave content of type {_kind(message.content)}, expected str")
        try:
            message.content.encode()
        except UnicodeEncodeError:
            raise Failed(
                f"{what} gave text that UTF-8 cannot hold: {message.content!r:.80}",
                hint='clean it: text.encode("utf-8", "replace").decode()',
            ) from None


def _check_reward(reward: Any) -> None:
    if not isinstance(reward, dict):
        raise Failed(f"step gave reward={reward!r:.80}, expected a dict of terms", hint=_STEP_HINT)
    for name, value in reward.items():
        if not isinstance(name, str):
            raise Failed(f"a reward term is called {name!r}, expected a string")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Failed(
                f"the reward term {name!r} is {value!r} of type {_kind(value)}, expected a float",
                hint="write float(...)",
            )


def _check_answered(answer: EnvStep, message: Message) -> None:
    asked = Counter(call.id for call in message.tool_calls)
    answered = Counter(each.tool_call_id for each in answer.messages if each.role == "tool")
    if asked != answered:
        raise Failed(
            f"tool calls {sorted(asked.elements())} were answered by tool messages for "
            f"{sorted(map(str, answered.elements()))}",
            hint="answer each call by one message of role tool with its tool_call_id",
        )


def _kind(value: object) -> str:
    return type(value).__name__
