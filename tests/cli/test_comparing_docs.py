import doctest
import re
import shlex
from pathlib import Path

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
