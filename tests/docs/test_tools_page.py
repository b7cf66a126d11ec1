"""The page on tools, followed."""

import os
import sys
from pathlib import Path

import pytest
from documents import follow

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"


@pytest.mark.slow
def test_the_page_on_tools_does_what_it_says(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path, "OMP_NUM_THREADS": "1"}) == 6
