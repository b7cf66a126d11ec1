import os
import sys
from pathlib import Path

import pytest
from documents import follow

PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"


@pytest.mark.slow
def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    for package in ("textworld", "textarena", "reasoning_gym", "bfcl_eval"):
        pytest.importorskip(package)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path}) == 12
