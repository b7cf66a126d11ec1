"""`agentgym serve` as a process of its own, with real replicas behind it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from agentgym.engine import Loaded
from agentgym.engines.served.client import ServedEngine
from agentgym.engines.served.settings import ServedEngineConfig

START_S = 60.0


class Serving:
    """A server that is up, seen from outside."""

    def __init__(self, process: "subprocess.Popen[bytes]", told: dict[str, Any]) -> None:
        self.process = process
        self.told = told
        self.url: str = told["url"]
        self.token_file = Path(told["token_file"])
        self.token = self.token_file.read_text().strip()

    def ask(self, method: str, path: str, **keys: Any) -> httpx.Response:
        """Ask with the token, by hand."""
        headers = {"Authorization": f"Bearer {self.token}", **keys.pop("headers", {})}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=30, **keys)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", "/status").json()
        return found

    def pids(self) -> list[int]:
        return [each["pid"] for each in self.status()["replicas"] if each["pid"]]

    def engine(self, loaded: Loaded, **keys: Any) -> ServedEngine:
        config = ServedEngineConfig(url=self.url, token_file=str(self.token_file), **keys)
        return config.build(loaded)

    def wait_until_up(self) -> dict[str, Any]:
        def is_up() -> bool:
            return all(each["state"] == "up" for each in self.status()["replicas"])

        wait_until(is_up, START_S)
        return self.status()


@contextmanager
def serving(folder: Path, *words: str, replicas: int = 1) -> Iterator[Serving]:
    """Serve a model on the CPU, and leave no process behind."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "agentgym", "serve", str(folder), "--json", "--port", "0"),
            *("--replicas", str(replicas), "model.device=cpu", "model.threads=1", *words),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    children: list[psutil.Process] = []
    try:
        yield Serving(process, _told(process))
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError("Ctrl-C did not end the server") from None
        assert not psutil.wait_procs(children, timeout=5)[1]


def wait_until(is_so: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def _told(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    assert process.stdout is not None
    text = b""
    while line := process.stdout.readline():
        text += line
        if line == b"}\n":
            found: dict[str, Any] = json.loads(text)
            return found
    assert process.stderr is not None
    raise AssertionError(process.stderr.read().decode())
