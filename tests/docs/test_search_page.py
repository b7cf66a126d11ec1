import os
import sys
from pathlib import Path

import pytest
from documents import follow

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "search.md"


def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path}) == 2
