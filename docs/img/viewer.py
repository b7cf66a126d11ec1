"""The pictures in docs/viewer.md and the README, of the demo run in Chromium.

.venv/bin/python docs/img/viewer.py [NAME ...]
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent / "viewer"
COLOURS = 256  # of a picture, which makes it half as large

MAP = "train-000002-000"  # a grid of doors and keys
GROUP = "train-000002-003"  # programs to mend
EPISODE = f"{GROUP}.2.0"


class Picture(NamedTuple):
    """A page, and what is done there before it is looked at."""

    target: str
    keys: str = ""
    """Pressed one after the other."""
    clicks: str = ""
    """A selector of what is clicked first."""
    size: tuple[int, int] = (1280, 800)
    theme: str = "light"


def pictures(address: str, shared: Path) -> Mapping[str, Picture]:
    """Return the pictures by their names."""
    swapped = first_episode(address, 'tag="switched"')
    return {
        "run": Picture("/run/demo?view=groups"),
        "lens": Picture(f"/run/demo/group/{GROUP}?credit=gigpo&minus=grpo", size=(1280, 560)),
        "map": Picture(f"/run/demo/group/{MAP}?view=map", clicks=".map .node >> nth=4"),
        "why": Picture(f"/run/demo/episode/{EPISODE}?view=tokens&turn=1&token=3", size=(1280, 900)),
        "aligned": Picture(f"/run/demo/group/{MAP}"),
        "ledger": Picture(f"/run/demo/episode/{EPISODE}?turn=1"),
        "ribbon": Picture(f"/run/demo/episode/{swapped}?view=tokens&colour=ratio"),
        "compare": Picture("/compare/demo/demo?view=matrix", size=(1280, 560)),
        "fork": Picture(f"/run/demo/episode/{MAP}.2.0?turn=6&fork=1"),
        "share": Picture(f"{shared.as_uri()}#/run/demo/group/{GROUP}?credit=salt&minus=grpo"),
        "truth": Picture("/run/demo/episode/train-000004-005.5.0?turn=0&view=tokens&truth=1"),
        "triage": Picture("/run/demo?view=episodes&where=tag%3Dpaid_failure"),
        "address": Picture(f"/run/demo/episode/{EPISODE}?turn=3", keys=":"),
        "dark": Picture(f"/run/demo/episode/{EPISODE}?view=tokens&turn=1", theme="dark"),
        "phone": Picture(f"/run/demo/episode/{EPISODE}?turn=1", size=(400, 800)),
    }


def first_episode(address: str, where: str) -> str:
    """Return the first episode that a filter lets through."""
    with urlopen(f"{address}/api/runs/demo/episodes?limit=1&where={where}") as answer:
        return str(json.load(answer)["rows"][0]["id"])


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve the demo run; gives the address without a slash at its end, and the token behind it."""
    agentgym = [sys.executable, "-m", "agentgym"]
    subprocess.run([*agentgym, "demo", folder / "demo"], check=True, stdout=subprocess.DEVNULL)
    words = ["view", str(folder / "demo"), "--port", "0"]
    with subprocess.Popen([*agentgym, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.match(r"(http://[^/]+)/(#\S+)", process.stdout.readline())
        try:
            assert found is not None, "the viewer does not start"
            wait_for_index(found[1])
            yield found[1], found[2]
        finally:
            process.terminate()


def wait_for_index(address: str) -> None:
    """Return when all of the demo run has been read."""
    while True:
        with urlopen(f"{address}/api/runs/demo") as answer:
            found = json.load(answer)["indexed"]
        if 0 < found["of_bytes"] == found["bytes"]:
            return
        time.sleep(0.1)


def draw(browser: Any, address: str, token: str, name: str, picture: Picture) -> None:
    """Take one picture."""
    width, height = picture.size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=picture.theme)
    page.goto(picture.target if "://" in picture.target else address + picture.target + token)
    page.locator("main > *").first.wait_for()
    page.wait_for_load_state("networkidle") if "://" in picture.target else page.wait_for_timeout(
        1500
    )
    if picture.clicks:
        page.locator(picture.clicks).click(force=True)
    for key in picture.keys:
        page.keyboard.press(key)
    page.wait_for_timeout(500)
    target = FOLDER / f"{name}.png"
    page.screenshot(path=target)
    page.close()
    Image.open(target).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        target, optimize=True
    )


def main() -> None:
    """Draw all of them, or those that are named."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, served(folder := Path(name)) as (address, token):
        shared = folder / "group.html"
        share = f"{address}/share?run=demo&group={GROUP}&credit=salt,grpo,gigpo"
        with urlopen(share) as answer, shared.open("wb") as file:
            shutil.copyfileobj(answer, file)
        wanted = pictures(address, shared)
        with sync_playwright() as playwright:
            found = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            for each in sys.argv[1:] or wanted:
                draw(browser, address, token, each, wanted[each])


if __name__ == "__main__":
    main()
