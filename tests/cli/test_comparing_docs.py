import doctest
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

KEYDOOR = "agentgym/KeyDoor-v0"
PAGE = Path(__file__).parents[2] / "docs" / "comparing.md"


def commands() -> list[tuple[str, str]]:
    """Return each command of the page and what it should print; `...` stands for anything."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def test_the_commands_and_examples_of_the_page_run(agentgym) -> None:
    assert len(commands()) == 7
    for command, output in commands():
        name, *words = shlex.split(command)
        assert name == "agentgym"
        done = agentgym(*words)
        assert done.code == 0, (command, done.err)
        if output != "...\n":
            assert done.out == output, command
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False)
    assert attempted
    assert not failed
    agentgym("run", KEYDOOR, "-m", "scripted:random", "-n", "30", "-o", "runs/long", "--clean")
    found = run_example()
    assert found["turns"].difference == pytest.approx(np.mean(found["b"] - found["a"]))
    assert len(found["a"]) == 30


def run_example() -> dict[str, Any]:
    """Return the names that the first example of the page leaves behind."""
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    for each in doctest.DocTestParser().get_examples(block[1]):
        exec(each.source, names)
    return names
