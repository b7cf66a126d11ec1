"""Writing Markdown, to be read or pasted by people.

What models and environments say stands in fences that nothing in it can close, so that it is
shown as it is: no heading, link, image or HTML comes of it. Characters that command terminals or
turn the direction of text are spelled out, as the file may be printed.
"""

import re
from typing import BinaryIO

from agentgym.formats.writer import Writer
from agentgym.types import OUTCOME, Message, Step, Trajectory

_TICKS = re.compile("`+")
# C0 but tab and newline, DEL, C1, line and paragraph separators, directions, surrogates.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class MarkdownWriter(Writer):
    """Writes a chapter an episode."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, trajectory: Trajectory) -> str | None:
        """Write an episode."""
        self._file.write(to_markdown(trajectory).encode())
        return None


def to_markdown(trajectory: Trajectory) -> str:
    """Return an episode as Markdown."""
    blocks = [f"# Episode {code(trajectory.id)}", _facts(trajectory)]
    blocks += [_message(message) for message in trajectory.prompt]
    for number, step in enumerate(trajectory.steps, 1):
        blocks.append(f"## Turn {number}{_about(step)}")
        blocks += [_message(message) for message in (step.message, *step.replies)]
    return "\n\n".join(blocks) + "\n\n"


def code(text: str) -> str:
    """Return one line of text as code, whatever is in it.

    >>> code("a`b")
    '`` a`b ``'
    """
    flat = _visible(" ".join(text.split())) or " "
    ticks = "`" * (_longest(flat) + 1)
    space = " " if "`" in flat else ""
    return f"{ticks}{space}{flat}{space}{ticks}"


def fenced(text: str, language: str = "") -> str:
    """Return text in a fence that is longer than any run of backticks in it."""
    fence = "`" * max(3, _longest(text) + 1)
    return f"{fence}{language}\n{_visible(text)}\n{fence}"


def _visible(text: str) -> str:
    """Spell out what is not seen; a carriage return before a newline is part of it."""
    plain = text.replace("\r\n", "\n")
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), plain)


def _longest(text: str) -> int:
    return max(map(len, _TICKS.findall(text)), default=0)


def _facts(trajectory: Trajectory) -> str:
    task = trajectory.task
    known = any(OUTCOME in step.reward_terms for step in trajectory.steps)
    facts = {
        "environment": task.env,
        "task": task.id,
        "policy": trajectory.policy,
        "ended": f"{trajectory.end} {trajectory.reason}".strip(),
        "outcome": f"{trajectory.outcome:.6g}" if known else "not recorded",
        "turns": str(len(trajectory.steps)),
        "sampled tokens": str(trajectory.num_sampled),
    }
    return "\n".join(f"- {name}: {code(value)}" for name, value in facts.items() if value)


def _about(step: Step) -> str:
    terms = (f"{code(name)} {value:+.4g}" for name, value in step.reward_terms.items() if value)
    return "".join(f" · {term}" for term in terms)


def _message(message: Message) -> str:
    blocks = [f"**{message.role}**"]
    if message.content:
        blocks.append(fenced(message.content))
    for call in message.tool_calls:
        blocks += [f"calls {code(call.name)}", fenced(call.arguments, "json")]
    return "\n\n".join(blocks)
