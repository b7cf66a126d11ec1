"""The page on engines and renderers, followed."""

import os
import sys
from pathlib import Path

import pytest
from documents import File, follow, steps

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"


@pytest.mark.slow
def test_the_page_on_engines_does_what_it_says(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path, "OMP_NUM_THREADS": "1"}) == 4


def test_each_example_is_whole_and_shorter_than_60_lines() -> None:
    files = [step for step in steps(PAGE) if isinstance(step, File)]
    assert [file.name for file in files] == ["plain_engine.py", "lines_renderer.py"]
    for file in files:
        assert len(file.text.splitlines()) < 60
        compile(file.text, file.name, "exec")
