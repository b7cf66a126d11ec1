"""What an environment gave, looked at before anything is made of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agentgym.env import Env, EnvStep, Reset
from agentgym.errors import EnvError, boundary
from agentgym.panels import Panel, checked_panels
from agentgym.types import Message, digest_texts


def checked_reset(given: Any, what: str) -> Reset:
    """Return what `reset` gave.

    Raises:
        EnvError: it is no start of an episode.
    """
    if not isinstance(given, Reset):
        raise EnvError(f"{what} returned {type(given).__name__}, expected Reset(messages, tools)")
    _check_messages(given.messages, what)
    return given


def checked_step(given: Any, what: str) -> EnvStep:
    """Return what `step` gave.

    Raises:
        EnvError: it is no answer, or a reward term is no finite number.
    """
    if not isinstance(given, EnvStep):
        raise EnvError(
            f"{what} returned {type(given).__name__}, expected EnvStep(messages, reward, ...)"
        )
    _check_messages(given.messages, what)
    _check_terms(given.reward, what)
    return given


def checked_terms(given: Any, what: str) -> dict[str, float]:
    """Return reward terms.

    Raises:
        EnvError: they are none, or one is no finite number.
    """
    _check_terms(given, what)
    return dict(given)


def state_key_of(env: Env, observation: Sequence[Message]) -> str:
    """Return the key of the present state; the last observation where it has none of its own.

    Raises:
        EnvError: it is no text.
    """
    key = env.state_key()
    if key is None:
        return digest_texts([each.content for each in observation])
    if not isinstance(key, str):
        raise EnvError(f"state_key of {type(env).__name__} gave {key!r:.80}, expected a text")
    return key


def action_key_of(env: Env, message: Message) -> str:
    """Return the environment's key of an action.

    Raises:
        EnvError: it is no text.
    """
    key = env.action_key(message)
    if not isinstance(key, str):
        raise EnvError(f"action_key of {type(env).__name__} gave {key!r:.80}, expected a text")
    return key


def draws(env: Env) -> bool:
    """Return whether an environment has panels of its own."""
    return type(env).panels is not Env.panels


def panels_of(env: Env, name: str) -> tuple[Panel, ...]:
    """Return what the environment called `name` draws of the present state.

    Raises:
        EnvError: it raised, or gave what is no panel.
    """
    if not draws(env):
        return ()
    what = f"panels of {name}"
    try:
        with boundary(EnvError, what):
            given = env.panels()
    except EnvError as error:
        raise EnvError(f"{what}: {error}", hint=error.hint) from error
    return checked_panels(given, what)


def _check_messages(given: Any, what: str) -> None:
    if not isinstance(given, (tuple, Sequence)) or isinstance(given, str):
        raise EnvError(f"{what} gave the messages {given!r:.80}, expected a tuple of Message")
    for each in given:
        if not isinstance(each, Message):
            raise EnvError(f"{what} gave the message {each!r:.80}, expected Message(role, content)")
        if not isinstance(each.content, str):
            raise EnvError(
                f"{what} gave a message with the content {each.content!r:.80}, expected a text",
                hint="write str(...), or json.dumps(...)",
            )


def _check_terms(given: Any, what: str) -> None:
    # A dict is known at once, while to ask an abstract class takes as long as all of the rest.
    if not isinstance(given, (dict, Mapping)):
        raise EnvError(
            f"{what} gave the reward {given!r:.80}, expected a dict of terms",
            hint='write {"outcome": 1.0}',
        )
    for name, value in given.items():
        if not isinstance(name, str):
            raise EnvError(f"{what} gave a reward term the name {name!r:.80}, expected a text")
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise EnvError(
                f"{what} gave the reward term {name!r} = {value!r:.80}, expected a finite number"
            )
