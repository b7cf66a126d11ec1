"""The page on renderers, followed."""

import os
import re
import sys
from pathlib import Path

import pytest
from documents import follow

from agentgym.renderers.syntaxes import SYNTAXES

PAGE = Path(__file__).parents[2] / "docs" / "renderers.md"


@pytest.mark.slow
def test_the_page_on_renderers_does_what_it_says(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path, "OMP_NUM_THREADS": "1"}) == 4


def test_the_page_lists_every_syntax() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == list(SYNTAXES)
