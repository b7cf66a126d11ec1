import os
import sys
from pathlib import Path

import gymnasium
import pytest
from documents import follow

PAGE = Path(__file__).parents[2] / "docs" / "gymnasium.md"


@pytest.mark.slow
def test_everything_on_the_page_is_as_it_says(tmp_path: Path) -> None:
    if "Taxi-v4" not in gymnasium.registry:
        pytest.skip("this gymnasium has no Taxi-v4")
    scripts = Path(sys.executable).parent
    path = os.pathsep.join([str(scripts), os.environ["PATH"]])
    assert follow(PAGE, tmp_path, env={"PATH": path}) == 6
