import os
import re
import sys
from pathlib import Path

from documents import follow

from agentgym.lab.estimators import compared

PAGE = Path(__file__).parents[2] / "docs" / "credit-lab.md"


def test_the_page_shows_what_the_command_prints(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path}) == 1


def test_tables_have_estimators_that_there_are_each_once() -> None:
    estimators, _ = compared()
    tables = re.findall(r"^\| estimator .*\n(?:\|.*\n)+", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        rows = table.splitlines()[2:]
        named = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
        assert len(named) == len(set(named)) > 20
        assert set(named) <= set(estimators)
