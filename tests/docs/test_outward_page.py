"""The page on the way out, followed; what needs an environment of its own is run there."""

import os
import sys
from pathlib import Path

import pytest
from documents import follow

PAGE = Path(__file__).parents[2] / "docs" / "outward.md"


@pytest.mark.slow
def test_the_page_on_the_way_out_does_what_it_says(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path}) == 1
