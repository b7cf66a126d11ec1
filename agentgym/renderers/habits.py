"""What a template does around answers: how they begin and end, and what it does to earlier ones."""

from dataclasses import dataclass

from agentgym.errors import ConfigError, PolicyError
from agentgym.renderers.probe import (
    ANSWER,
    CALL,
    RESULT,
    TOOL,
    USER,
    divide_start,
    turn,
)
from agentgym.renderers.template import Template
from agentgym.types import Message


@dataclass(frozen=True, kw_only=True)
class End:
    """What ends an answer."""

    token: str
    is_own: bool
    """Otherwise it is the first token of whatever follows."""


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What a template does around answers."""

    answer: End
    call: End
    """Of an answer with calls, where these are the template's own."""
    opening: str
    """What is given to an assistant to begin with, such as a thought that was begun."""
    begins_thought: bool
    """It is a thought, which the assistant has to end."""
    writes_empty_thoughts: bool
    """An answer without a thought is rendered with an empty one."""


def find_habits(template: Template) -> Habits:
    """Ask a template.

    Raises:
        ConfigError: no token ends an answer.
    """
    answer = _end(template, ANSWER, USER)
    if answer is None:
        raise ConfigError(
            "the chat template does not end an assistant's turn with a token of its own",
            hint="use a template that writes such a token, as <|im_end|>, after each answer",
        )
    call = _end(template, CALL, RESULT) if template.form.takes_calls else None
    _, opening = divide_start(template)
    text = template.render([USER, ANSWER])
    return Habits(
        answer=answer,
        call=call or answer,
        opening=opening,
        begins_thought=opening.strip() == "<think>",
        writes_empty_thoughts="</think>" in text,
    )


def control_texts(template: Template) -> list[str]:
    """Return the tokens of control that a template writes around messages."""
    conversations = [[USER, ANSWER, USER], [USER, CALL, RESULT], [USER, CALL, RESULT, ANSWER, USER]]
    texts = []
    for conversation in conversations:
        try:
            texts.append(template.render(conversation, generate=True))
        except PolicyError:  # it takes no calls
            continue
    return template.controls_in("".join(texts))


def _end(template: Template, message: Message, following: Message) -> End | None:
    found = turn(template, message)
    if found is None:
        return None
    if token := template.control_at_start(found.behind):
        return End(token=token, is_own=True)
    if found.behind.strip():
        return None
    try:
        text = template.render([USER, message], tools=[TOOL])
        more = template.render([USER, message, following], tools=[TOOL])
    except PolicyError:
        return None
    token = template.control_at_start(more[len(text) :]) if more.startswith(text) else None
    return End(token=token, is_own=False) if token else None
