"""A browser before a server that shows the demo run, and some that are harder to show."""

import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile_run import make_hostile_run
from trained_run import make_trained_run

from agentgym.demo import write_demo

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ROOT = Path(__file__).parents[3]
TOKENS: dict[str, str] = {}
"""What the addresses of servers bear behind them, without which pages may only read."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo run; it is not changed but by labels."""
    _needs_browser()
    root = tmp_path_factory.mktemp("pages") / "demo"
    write_demo(root)
    return root


@pytest.fixture(scope="session")
def address(demo: Path) -> Iterator[str]:
    """Where the runs are shown, the demo among them; without a slash at its end."""
    make_trained_run(demo.parent / "trained", "credit.name=gigpo", lag=2)
    make_hostile_run(demo.parent / "hostile")
    write_demo(demo.parent / "torn", flawed=True)
    with viewing(demo.parent, demo.parent / "cache") as url:
        yield url


@contextmanager
def viewing(root: Path, cache: Path) -> Iterator[str]:
    """Serve a run, or a folder of them; yield the address without the slash at its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym", "view", str(root), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)},
    )
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            assert waiting.select(60), "the server told no address within a minute"
        url, _, token = process.stdout.readline().strip().partition("/#token=")
        TOKENS[url] = token
        yield url
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Any]:
    """Chromium; where there is none, tests are left out."""
    api = _needs_browser()
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page in which nothing may go wrong, and nobody else may be asked."""
    with watched(browser, address) as opened:
        yield opened


@contextmanager
def watched(browser: Any, address: str) -> Iterator[Any]:
    """Open a page; what goes wrong in it until the end is a failure."""
    kept = {"name": "token", "value": TOKENS.get(address, "")}  # as if it had been opened before
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        base_url=address,
        storage_state={"origins": [{"origin": address, "localStorage": [kept]}]},
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: _is_wrong(message) and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
    page.on(
        "request", lambda each: each.url.startswith((address, "data:")) or wrong.append(each.url)
    )
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def watch(browser: Any) -> Any:
    """Open a page before another server, and watch it in the same way."""
    return lambda url: watched(browser, url)


@pytest.fixture(scope="session")
def view() -> Any:
    """Serve other runs."""
    return viewing


def _needs_browser() -> Any:
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install --no-install-recommends chromium")
    return pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def _is_wrong(message: Any) -> bool:
    """A refused request is an answer, which browsers log as an error."""
    refused = "the server responded with a status of 40" in message.text
    return message.type in ("error", "warning") and not refused
