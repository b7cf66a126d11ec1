"""The page that teaches environments, followed by a stranger in a folder of their own."""

import os
from pathlib import Path
from string import Template

import pytest
from documents import File, follow, steps
from outside import PIP, make_venv

import agentgym

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/environments.md"


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    commands = make_venv(tmp_path / "venv")
    folder = tmp_path / "stranger"
    folder.mkdir()
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    assert follow(PAGE, folder, env={**PIP, "PATH": path, "OMP_NUM_THREADS": "1"}) >= 18


def test_the_class_of_the_page_is_the_one_that_new_writes() -> None:
    (shop,) = [each for each in steps(PAGE) if isinstance(each, File) and each.name == "shop.py"]
    scaffold = Path(agentgym.__file__).parent / "cli/scaffold/stateful/env.py.tmpl"
    assert shop.text == Template(scaffold.read_text()).substitute(id="me/Shop-v0")
