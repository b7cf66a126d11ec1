"""A Docker engine of our own, which a row may kill: private socket, data and containers."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from agentgym.check.report import NotChecked
from agentgym.check.sandbox import host
from agentgym.errors import AgentGymError, SandboxUnavailable
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.images import build

IMAGE = "agentgym/check:latest"

_START_S = 30.0
_END_S = 30.0
_BURIED_S = 5.0
_NAMESPACE = "agentgym-check"


class OwnEngine:
    """A `dockerd` below one folder; nothing of it is left when it is closed. Its calls block."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.url = f"unix://{folder}/docker.sock"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls, *options: str) -> Iterator[Self]:
        """Start one with an image made of what is installed here, and end it.

        Raises:
            NotChecked: it cannot be here, with the reason.
        """
        if os.getuid() != 0 or shutil.which("dockerd") is None:
            raise NotChecked("an engine of our own needs root and dockerd")
        with tempfile.TemporaryDirectory(prefix="agentgym-engine-") as folder:
            own = cls(Path(folder), *options)
            try:
                own.start()
                own._make_image()
                yield own
            finally:
                own.close()

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            NotChecked: it does not.
        """
        folder = self._folder
        self._forget_dead_containerd()
        settings = folder / "daemon.json"  # those of this machine are not for this engine
        settings.write_text("{}")
        argv = ["dockerd", "--host", self.url, "--pidfile", f"{folder}/pid", "--bridge", "none"]
        argv += ["--config-file", str(settings)]
        argv += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
        argv += ["--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        argv += ["--containerd-namespace", _NAMESPACE]
        argv += ["--containerd-plugins-namespace", f"{_NAMESPACE}-plugins", *self._options]
        with open(folder / "log", "ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                Engine(self.url).close()
                return
            except SandboxUnavailable as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    last = (folder / "log").read_text().splitlines()[-2:]
                    raise NotChecked(f"no second engine can be started here: {last}") from error
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> None:
        """Send it SIGTERM or SIGKILL, and wait until it has ended."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(_END_S)

    def close(self) -> None:
        """End it, what it started, and the containerd that one which was killed has left."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.end(signal.SIGTERM)
        for pid in self._left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        for place in sorted((line.split()[4] for line in mounts), reverse=True):
            if place.startswith(f"{self._folder}/"):
                subprocess.run(["umount", "--lazy", place], check=False)

    def _make_image(self) -> None:
        try:
            with Engine(self.url) as engine:
                build(engine, IMAGE)
        except AgentGymError as error:
            raise NotChecked(f"no image can be made here: {error}") from error

    def _forget_dead_containerd(self) -> None:
        """A killed engine's containerd dies with it; as a zombie it would be waited for."""
        file = self._folder / "exec/containerd/containerd.pid"
        deadline = time.monotonic() + _BURIED_S
        while file.exists() and time.monotonic() < deadline:
            if not host.lives(int(file.read_text() or 0)):
                file.unlink()
            time.sleep(0.05)

    def _left(self) -> list[int]:
        """Processes with a path of ours on their command line: dockerd, containerd and shims."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"{self._folder}/".encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found
