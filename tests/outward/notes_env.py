"""An environment that writes down what happens to it, for tests of those who drive it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import agentgym as ag
from agentgym.tools import Final


class NotesConfig(ag.EnvConfig):
    """Say the number of the task; or do what tools should not."""

    id: ClassVar[str] = "me/Notes-v0"
    uses_seed: ClassVar[bool] = True

    max_turns: int = 4
    log: str = ""
    """The file to which each event of an episode is appended."""

    def tasks(self, split: str) -> Iterator[ag.Task]:
        for number in range(8):
            yield ag.Task(f"Say {number}.", id=f"{split}-{number}", answer=number)

    def build(self, sandboxes: object = None) -> "Notes":
        return Notes(self)


class Notes(ag.ToolEnv):
    system: ClassVar[str] = "Obey."

    def __init__(self, config: NotesConfig) -> None:
        self._log = config.log
        self._notes: list[str] = []

    def start(self, task: ag.Task, *, seed: int) -> None:
        self._write("start", task=task.id, seed=seed)

    @ag.tool(inline=True)
    def note(self, text: str, times: int = 1) -> str:
        """Write something down.

        Args:
            text: What to write.
            times: How often.
        """
        self._notes += [text] * times
        return f"{len(self._notes)} notes"

    @ag.tool(inline=True)
    def hand_in(self, number: int) -> Final:
        """End the episode.

        Args:
            number: The answer.
        """
        return Final("Thanks.", reward={"outcome": float(number == self.task.answer)})

    @ag.tool(timeout_s=30)
    def hang(self) -> str:
        """Take very long."""
        self._write("hang")
        time.sleep(20)
        return "done"

    @ag.tool(inline=True)
    def fail(self) -> str:
        """Break."""
        raise RuntimeError("the disk is on fire")

    def score(self, text: str) -> dict[str, float]:
        return {"outcome": float(text.strip() == str(self.task.answer))}

    def close(self) -> None:
        self._write("close")

    def _write(self, event: str, **what: object) -> None:
        if self._log:
            with Path(self._log).open("a") as file:
                file.write(json.dumps({"event": event, **what}) + "\n")


def events(log: Path) -> list[str]:
    """Return what happened, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line)["event"] for line in lines]
