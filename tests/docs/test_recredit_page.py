"""The page on what the record says: its commands and examples run, its tables are whole."""

import doctest
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from strategies import make_table
from trained_run import make_trained_run

from agentgym.check.run.table import CHECKS
from agentgym.cli.main import main
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.diagnostics import diagnose

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "recredit.md"
TEXT = PAGE.read_text("utf-8")


def test_the_commands_and_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_trained_run(tmp_path / "runs" / "keydoor")
    commands = re.findall(r"^\$ agentgym (.*)$", TEXT, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["recredit", "rescore", "check"]
    for command in commands:
        assert main(shlex.split(command)) == 0, capsys.readouterr().err
    for settings in re.findall(r"^    --credit (.*)$", TEXT, re.MULTILINE):
        words = ["recredit", "runs/keydoor", "--no-notes", "--credit", *shlex.split(settings)]
        assert main(words) == 0, capsys.readouterr().err
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False)
    assert attempted
    assert not failed


def test_the_tables_of_the_page_have_the_columns_that_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_trained_run(tmp_path / "runs" / "keydoor")
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL):
        command, _, shown = block.partition("\n")
        main(shlex.split(command.removeprefix("$ agentgym ")))
        assert headings(shown) == headings(capsys.readouterr().out), command


def headings(text: str) -> list[list[str]]:
    """Return the cells of the lines that name columns."""
    lines = [line for line in text.splitlines() if line[:1].isupper() and line == line.upper()]
    return [re.split(r"\s{2,}", line) for line in lines]


def test_every_check_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", TEXT, re.MULTILINE)
    expected = [(check.name, check.promise, ", ".join(check.caught)) for check in CHECKS]
    assert [row for row in rows if row[0] in {check.name for check in CHECKS}] == expected


def test_every_scalar_is_explained() -> None:
    table = make_table([[1.0], [0.0]])
    rewards = table.term("outcome")
    cause = np.zeros(int(table.token_start[-1]), dtype=np.int8)
    found = diagnose(GRPO(), table, rewards, GRPO()(table, rewards), cause)
    named = set(re.findall(r"`(\w+/\w+)`", TEXT.partition("## While training")[2]))
    assert named == set(found)
