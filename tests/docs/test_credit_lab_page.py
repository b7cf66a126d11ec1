import os
import re
import sys
from pathlib import Path

import pytest
from documents import follow

from agentgym.lab.estimators import VARIANTS, compared
from agentgym.trainers.credit import CREDITS

pytestmark = pytest.mark.slow

WITHOUT_TERMS = {"ui_s1"}
"""They read reward terms that none of these environments gives."""

PAGE = Path(__file__).parents[2] / "docs" / "credit-lab.md"


def test_the_page_shows_what_the_command_prints(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path}) == 1


def named_in(section: str) -> list[str]:
    """The estimators in the table of a section."""
    page = PAGE.read_text("utf-8")
    text = page[page.index(f"## {section}\n") :]
    (table,) = re.findall(r"^\| estimator .*\n(?:\|.*\n)+", text.split("\n## ")[0], re.MULTILINE)
    rows = table.splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize("section", ["KeyDoor, exactly", "Code", "Calculator"])
def test_tables_have_estimators_that_there_are_each_once(section: str) -> None:
    named = named_in(section)
    assert len(named) == len(set(named)) > 20
    assert set(named) <= {*CREDITS, *VARIANTS}


@pytest.mark.parametrize("section", ["KeyDoor, exactly", "Code", "Calculator"])
def test_tables_have_the_estimators_that_are_asked(section: str) -> None:
    estimators, _ = compared()
    assert set(named_in(section)) == set(estimators) - WITHOUT_TERMS
