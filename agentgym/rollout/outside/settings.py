"""The section `[agent]` of a run's configuration."""

import difflib
import re
import shlex
from pathlib import Path

from pydantic import BaseModel, field_validator

PLACES = ("prompt", "task", "task_file", "workdir", "base_url")
"""Names that stand in braces in a command, for what is put there."""


class AgentConfig(BaseModel, extra="forbid", frozen=True):
    """A program that plays the episodes, instead of the model alone (docs/gateway.md)."""

    command: str | None = None
    """The program and its arguments, with {prompt}, {task}, {task_file}, {workdir} and {base_url}
    in them; null: there is none. It runs on this machine, as you, once per episode. Files that are
    named from here are made absolute."""

    @field_validator("command")
    @classmethod
    def _find_files(cls, command: str | None) -> str | None:
        """Make files absolute that are named from here: the program runs elsewhere."""
        if command is None:
            return None
        words = shlex.split(command)  # raises ValueError where a quote is not closed
        if not words:
            raise ValueError("should name a program")
        program, *others = words
        found = [_absolute(program) if "/" in program else program, *map(_absolute, others)]
        return command if found == words else shlex.join(found)


def misspelt(command: str) -> dict[str, str]:
    """Return names in braces that are none of ours but like one, and which: braces else stay.

    >>> misspelt("agent {promt} {x} {task}")
    {'promt': 'prompt'}
    """
    names = [name for name in re.findall(r"\{([\w-]+)\}", command) if name not in PLACES]
    close = {name: difflib.get_close_matches(name, PLACES, n=1, cutoff=0.75) for name in names}
    return {name: found[0] for name, found in close.items() if found}


def _absolute(word: str) -> str:
    return str(Path(word).absolute()) if _is_file(word) else word


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):
        return False
