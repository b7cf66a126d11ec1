"""A browser before a server that shows the demo run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym.demo import write_demo

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo run; it is not changed but by labels."""
    _needs_browser()
    root = tmp_path_factory.mktemp("pages") / "demo"
    write_demo(root)
    return root


@pytest.fixture(scope="session")
def address(demo: Path) -> Iterator[str]:
    """Where the demo run is shown; without a slash at its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym", "view", str(demo), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(demo.parent / "cache"), "PYTHONPATH": str(ROOT)},
    )
    try:
        yield re.match(r"http://[^/]+", process.stdout.readline())[0]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; where there is none, tests are left out."""
    api = _needs_browser()
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page in which nothing may go wrong, and nobody else may be asked."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=address)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: _is_wrong(message) and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda each: each.url.startswith((address, "data:")) or wrong.append(each.url)
    )
    yield page
    context.close()
    assert wrong == []


def _needs_browser() -> Any:
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install --no-install-recommends chromium")
    return pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def _is_wrong(message: Any) -> bool:
    """A refused request is an answer, which browsers log as an error."""
    refused = "the server responded with a status of 40" in message.text
    return message.type in ("error", "warning") and not refused
