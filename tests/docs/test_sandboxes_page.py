"""The page on sandboxes, followed: its example is run, and its commands typed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from documents import follow

PAGE = Path(__file__).parents[2] / "docs" / "sandboxes.md"

pytestmark = pytest.mark.sandbox


@pytest.mark.slow
def test_the_commands_print_what_it_says(tmp_path: Path) -> None:
    if shutil.which("dpkg-query") is None:
        pytest.skip("images are made of Debian packages, and this is no Debian")
    with tempfile.TemporaryDirectory() as cache:
        Path(cache).chmod(0o755)  # for the users of sandboxes
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        assert follow(PAGE, tmp_path, env={"PATH": path, "XDG_CACHE_HOME": cache}) == 4


def test_the_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
