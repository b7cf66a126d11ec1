"""Imports a module in a process of its own and tells what its top-level code did to the world.

Run as a program, without agentgym. The argument is JSON: `module`, `file`, `folder` and `path`,
which becomes sys.path. Only effects whose nearest importing module lies in `folder`
count; what a library does when it is imported is not this environment's doing.
"""

import importlib
import importlib.util
import io
import json
import os
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

_EFFECTS = {
    "os.chdir": "changes the working folder",
    "os.exec": "starts a program",
    "os.fork": "forks",
    "os.kill": "sends a signal",
    "os.mkdir": "makes a folder",
    "os.posix_spawn": "starts a program",
    "os.putenv": "sets an environment variable",
    "os.remove": "removes a file",
    "os.rename": "renames a file",
    "os.rmdir": "removes a folder",
    "os.system": "starts a program",
    "os.unsetenv": "removes an environment variable",
    "socket.bind": "opens a socket",
    "socket.connect": "uses the network",
    "socket.getaddrinfo": "uses the network",
    "subprocess.Popen": "starts a program",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Witness:
    """Collects effects and who is to blame for them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder + os.sep
        self.effects: list[tuple[str, str]] = []

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Take note of an audit event of the interpreter."""
        if event in _EFFECTS:
            self.note(f"{_EFFECTS[event]} ({event})")
        elif event == "open" and isinstance(args[2], int) and args[2] & _WRITING:
            self.note(f"writes the file {args[0]!r}")

    def note(self, what: str) -> None:
        """Take note of an effect, if top-level code of the folder caused it."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_name != "<module>":
            frame = frame.f_back
        file = os.path.abspath(frame.f_code.co_filename)
        inside = file.startswith(self._folder) and "site-packages" not in file[len(self._folder) :]
        if inside:
            self.effects.append((f"{file}:{frame.f_lineno}", what))


class Spy(io.TextIOBase):
    """Stands for standard output."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    def write(self, text: str) -> int:
        """Take note of what is printed."""
        if text.strip():
            self._witness.note(f"prints {text.strip()[:40]!r}")
        return len(text)


def _spied(function: Callable[..., Any], witness: Witness, what: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        witness.note(what)
        return function(*args, **kwargs)

    return call


def _finds(name: str, file: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    found = spec is not None and spec.origin is not None and os.path.samefile(spec.origin, file)
    return found and name != "__main__"


def _load(name: str, file: str) -> None:
    """Import by name where that finds the file, else as a file alone."""
    if _finds(name, file):
        importlib.import_module(name)
        return
    spec = importlib.util.spec_from_file_location("_checked", file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["_checked"] = loaded
    spec.loader.exec_module(loaded)


def main() -> None:
    """Import, watch, and write the effects as JSON."""
    order = json.loads(sys.argv[1])
    answer = os.fdopen(os.dup(1), "w")
    sys.path[:] = order["path"]
    witness = Witness(order["folder"])
    sys.stdout = sys.stderr = Spy(witness)
    random.seed = _spied(random.seed, witness, "seeds the global random generator")
    starts = _spied(threading.Thread.start, witness, "starts a thread")
    threading.Thread.start = starts  # type: ignore[method-assign]
    sys.addaudithook(witness.audit)
    error = None
    try:
        _load(order["module"], order["file"])
    except BaseException as raised:  # noqa: BLE001  told to the one who asked
        error = f"{type(raised).__name__}: {raised}"
    effects = list(witness.effects)
    json.dump({"effects": effects, "error": error}, answer)
    answer.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
