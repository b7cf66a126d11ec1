import os
import shutil
import sys
from pathlib import Path

import pytest
from documents import follow

PAGE = Path(__file__).parents[2] / "docs" / "grading.md"


@pytest.mark.sandbox
def test_the_page_shows_what_its_program_prints(tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path}) == 1
