"""Tasks of the kind `repair`: one wrong line of a small file. Tests are looked up, and nothing is run."""

from collections.abc import Iterator, Sequence
from itertools import count
from random import Random
from typing import ClassVar

from agentgym.env import Script
from agentgym.envs.tool_env import ToolEnv
from agentgym.panels import Diff, Panel, Table, Terminal
from agentgym.renderers.calls import dump
from agentgym.tools import Final, ToolError, tool
from agentgym.types import OUTCOME, Message, Task, ToolCall, digest

_PATH = "stats.py"
_LINES = (
    ("def total(x):", "    return sum(x)", "    return sum(x) + 1"),
    ("def middle(x):", "    return sorted(x)[len(x) // 2]", "    return x[len(x) // 2]"),
    ("def spread(x):", "    return max(x) - min(x)", "    return max(x) - x[0]"),
    ("def évens(x):", "    return [v for v in x if v % 2 == 0]", "    return [v for v in x if v % 2]"),
)  # fmt: skip


def tasks(split: str) -> Iterator[Task]:
    """Yield files, each with one wrong function."""
    chance = Random(f"repair {split}")
    for number in count():
        chosen = chance.sample(_LINES, 3)
        broken = chance.randrange(3)
        lines = [
            line
            for index, (head, right, wrong) in enumerate(chosen)
            for line in (head, wrong if index == broken else right, "")
        ]
        name = f"{digest(lines)[:8]}-{number}"
        payload = {"lines": lines, "line": 3 * broken + 2, "right": chosen[broken][1]}
        question = f"A test of {_PATH} fails. Mend the file, run the tests, then submit."
        yield Task(question, id=f"repair-{split}-{name}", payload=payload, split=split)


class Repair(ToolEnv):
    """`tests` is what more passes than before, `tidy` 1.5 where the file was also left tidy."""

    system: ClassVar[str] = "You mend programs."

    def start(self, task: Task, *, seed: int) -> None:
        """Begin with the wrong file."""
        self._lines = list(task.payload["lines"])
        self._best = self._passed()
        self._output = ""

    @tool(inline=True)
    def read(self, path: str) -> str:
        """Show a file with numbered lines.

        Args:
            path: Its name.
        """
        _check(path)
        return "\n".join(f"{number:>3}  {line}" for number, line in enumerate(self._lines, 1))

    @tool(inline=True)
    def write(self, path: str, line: int, text: str) -> str:
        """Replace one line, and show the difference.

        Args:
            path: The name of the file.
            line: The number of the line, from 1.
            text: What shall stand there.
        """
        _check(path)
        if not 1 <= line <= len(self._lines):
            raise ToolError(f"{path} has the lines 1 to {len(self._lines)}")
        old, self._lines[line - 1] = self._lines[line - 1], text
        return f"--- {path}\n+++ {path}\n@@ -{line} +{line} @@\n-{old}\n+{text}"

    @tool(inline=True)
    def run_tests(self) -> str:
        """Run the tests, in colours."""
        marks = {True: "\x1b[32mPASSED\x1b[0m", False: "\x1b[1;31mFAILED\x1b[0m"}
        heads = [line for line in self._lines if line.startswith("def ")]
        rows = [f"test {head[4:-4]:<8} {marks[ok]}" for head, ok in zip(heads, self._verdicts())]  # noqa: B905
        self._output = "\n".join([*rows, f"\x1b[2m{self._passed()} of 3 passed\x1b[0m"])
        return self._output

    def panels(self) -> tuple[Panel, ...]:
        """Draw how the file changed, which tests would pass, and what they said last."""
        heads = [line[4:-4] for line in self._lines if line.startswith("def ")]
        rows = tuple(zip(heads, self._verdicts(), strict=False))
        before, after = "\n".join(self.task.payload["lines"]), "\n".join(self._lines)
        drawn: list[Panel] = [
            Diff(before=before, after=after, title=_PATH),
            Table(columns=("test", "passes"), rows=rows, title="tests"),
        ]
        return (
            (*drawn, Terminal(text=self._output, title="tests")) if self._output else tuple(drawn)
        )

    @tool(inline=True)
    def submit(self) -> Final:
        """Hand the file in."""
        right = self._passed() == 3
        gain = max(0.0, (self._passed() - self._best) * 1.0)
        is_tidy = all(line == line.rstrip() for line in self._lines)
        terms = {OUTCOME: float(right), "tests": gain + 0.5 * (right and is_tidy)}
        return Final("accepted" if right else "refused", terms | {"tidy": float(is_tidy)})

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the script that reads, mends, tests and submits."""
        if level != "expert":
            return super().expert(task, seed=seed, level=level)
        payload = task.payload
        mend = {"path": _PATH, "line": payload["line"], "text": payload["right"]}
        plan = [("read", {"path": _PATH}), ("write", mend), ("run_tests", {}), ("submit", {})]

        def script(conversation: Sequence[Message]) -> Message:
            spoken = sum(message.role == "assistant" for message in conversation)
            name, arguments = plan[min(spoken, len(plan) - 1)]
            return Message("assistant", tool_calls=(ToolCall(name, dump(arguments), "call_0"),))

        return script

    def _verdicts(self) -> list[bool]:
        right = {head: line for head, line, _ in _LINES}
        places = [at for at, line in enumerate(self._lines) if line in right]
        found = [self._lines[at + 1].rstrip() == right[self._lines[at]] for at in places]
        return [*found, False, False, False][:3]

    def _passed(self) -> int:
        return sum(self._verdicts())


def _check(path: str) -> None:
    if path != _PATH:
        raise ToolError(f"there is no file {path}; there is {_PATH}")
