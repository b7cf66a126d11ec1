"""The two programs that are measured: the server as a process, and Chromium before it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx

from agentgym.errors import EngineError, MissingError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_WIDTH, _HEIGHT = 1280, 800
_LONGEST_S = 120.0  # for one thing that is waited for
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class Server:
    """`agentgym view` of one run."""

    def __init__(self, process: "subprocess.Popen[str]", run: str) -> None:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("http"):
            raise EngineError("agentgym view did not start", hint=f"agentgym view {run} says why")
        self.address = line.partition("#")[0].strip().rstrip("/")
        self._process = process

    def ask(self, path: str) -> Any:
        """Return an answer as a JSON value."""
        answer = httpx.get(f"{self.address}{path}", timeout=_LONGEST_S, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def wait_for_index(self, *, every_s: float = 0.1) -> int:
        """Wait until everything is in the index; return how many episodes that are."""
        while True:
            (run,) = self.ask("/api/runs")
            indexed = self.ask(f"/api/runs/{run['run']}")["indexed"]
            if indexed["of_bytes"] and indexed["bytes"] == indexed["of_bytes"]:
                return int(indexed["episodes"])
            time.sleep(every_s)

    @property
    def peak_mb(self) -> float | None:
        """The most memory that it had; None: this system does not tell."""
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            if found := _PEAK.search(status):
                return int(found[1]) / 1000
        return None

    @property
    def cpu_s(self) -> float | None:
        """The processor time that it took so far; None: this system does not tell."""
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/stat").read_text()
            user, system = status.rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return None


@contextmanager
def serving(run: Path, cache: Path) -> Iterator[Server]:
    """Serve a run; its index stands in `cache`."""
    command = [sys.executable, "-m", "agentgym", "view", str(run), "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    )
    try:
        yield Server(process, str(run))
    finally:
        process.terminate()
        process.communicate()


class Browser:
    """Headless Chromium; every visit is that of a browser which was never here."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self._watch = (files("agentgym.bench") / "view_watch.js").read_text()

    @property
    def version(self) -> str:
        """Of Chromium."""
        return str(self._opened.version)

    @contextmanager
    def visit(self, url: str, content: str) -> Iterator["Visit"]:
        """Open a page, and wait until this content of it is painted."""
        context = self._opened.new_context(viewport={"width": _WIDTH, "height": _HEIGHT})
        try:
            page = context.new_page()
            page.set_default_timeout(_LONGEST_S * 1000)
            session = context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.add_init_script(f"{self._watch}\nbench.awaitFirst({content!r});")
            page.goto(url, wait_until="commit")
            yield Visit(page, session)
        finally:
            context.close()


class Visit:
    """A page of the viewer; times are milliseconds."""

    def __init__(self, page: Any, session: Any) -> None:
        self._page = page
        self._session = session
        self.first_ms = float(page.evaluate("bench.first"))
        """From the beginning of the navigation."""

    @property
    def cpu_ms(self) -> float:
        """The processor time that its main thread took so far."""
        found = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(1e3 * each["value"] for each in found if each["name"] == "TaskDuration"))

    def measure(self, what: str, argument: object) -> Sequence[float]:
        """Do something again and again, and return what each took."""
        found: list[float] = self._page.evaluate(f"(given) => bench.{what}(given)", argument)
        return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """Open Chromium.

    Raises:
        MissingError: there is none, or the package playwright is not there.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise MissingError(
            "bench view needs the package playwright", hint="pip install playwright"
        ) from None
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        place = next(filter(None, map(shutil.which, _NAMES)), None)
        try:
            opened = playwright.chromium.launch(executable_path=place, args=arguments)
        except Error as error:
            raise MissingError(
                f"Chromium does not start: {str(error).splitlines()[0]}",
                hint="apt-get install chromium, or: playwright install chromium",
            ) from error
        try:
            yield Browser(opened)
        finally:
            opened.close()
