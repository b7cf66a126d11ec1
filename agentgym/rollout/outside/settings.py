"""The section `[agent]` of a run's configuration."""

import shlex

from pydantic import BaseModel, field_validator


class AgentConfig(BaseModel, extra="forbid", frozen=True):
    """A program that plays the episodes, instead of the model alone (docs/gateway.md)."""

    command: str | None = None
    """The program and its arguments, with {prompt}, {task}, {task_file}, {workdir} and {base_url}
    in them; null: there is none. It runs on this machine, as you, once per episode."""

    @field_validator("command")
    @classmethod
    def _check_command(cls, command: str | None) -> str | None:
        if command is not None and not shlex.split(command):  # raises ValueError at open quotes
            raise ValueError("should name a program")
        return command
