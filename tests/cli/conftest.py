import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli.terminals import Terminal

from agentgym.cli.main import main


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def agentgym(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    # A file that is loaded puts its folder there, where `new` would then find its module.
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Run:
    """Run a command as a user does, in an empty folder."""

    def run(*arguments: str, prefix: str = "", **options: Any) -> Done:
        words = [sys.executable, "-W", "error", "-m", "agentgym", *arguments]
        if prefix:
            code = f"{prefix}\nimport sys\nfrom agentgym.cli.main import main\nsys.exit(main())"
            words = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, check=False, **options
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Run a command in a terminal, in an empty folder."""
    with ExitStack() as held:

        def start(*words: str, **options: Any) -> Terminal:
            started = Terminal(tmp_path, *words, **options)
            held.callback(started.close)
            return started

        yield start


BROKEN_ENV = """
from collections.abc import Iterator
from typing import Any, ClassVar

from agentgym import Env, EnvConfig, EnvStep, Message, Reset, Task


class Broken(Env):
    def reset(self, task: Task, *, seed: int) -> Reset:
        {reset}
        return Reset((Message("user", "hi"),))

    def step(self, message: Message) -> EnvStep:
        {step}
        return EnvStep((), {{"outcome": 1.0}}, True)


class BrokenConfig(EnvConfig):
    id: ClassVar[str] = "test/Broken-v0"

    def tasks(self, split: str) -> Iterator[Task]:
        for number in range(3):
            yield Task(f"task {{number}}", split=split)

    def build(self, sandboxes: Any = None) -> Env:
        return Broken()


{top}
"""


@pytest.fixture
def env_file(tmp_path: Path) -> Callable[..., str]:
    """Write an environment that raises where it is told to."""

    def write(**where: str) -> str:
        lines = {"reset": "pass", "step": "pass", "top": ""} | where
        (tmp_path / "mine.py").write_text(BROKEN_ENV.format(**lines))
        return "mine.py"

    return write
