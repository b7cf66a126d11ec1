"""Packs what runs inside a sandbox, so that it can be sent there."""

import marshal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from agentgym.errors import SandboxUnavailable

_PACKAGE = "agentgym.sandboxes.inside"
_MODULES = (
    *("wire", "processes", "programs", "streams", "files", "wiping", "archive"),
    *("session", "sessions", "worker"),
)
"""In the order in which they are run: each needs only those before it."""

_BOOT = (
    "import os,sys,marshal\n"
    "os.environ.clear();os.environ.update({environment!r})\n"
    "for n,c in marshal.loads(sys.stdin.buffer.read({size})):\n"
    " m=sys.modules[n]=type(sys)(n);exec(c,m.__dict__)\n"
    "m.main()"
)
_DONE = b"\ncompiled"
COMPILE = (
    "import sys,marshal\n"
    "modules=[(n,compile(c,n,'exec')) for n,c in marshal.load(sys.stdin.buffer)]\n"
    f"sys.stdout.buffer.write(marshal.dumps(modules)+{_DONE!r})"
)
"""A program that reads `sources` from stdin and writes them, compiled, to stdout."""
MOST_COMPILED = 4 << 20
"""No more than this is read of what it writes."""
_READABLE_BY_ALL = 2  # of marshal's formats


def sources() -> bytes:
    """Return it as text, for an interpreter that nobody asked for its version."""
    folder = Path(__file__).with_name("inside")
    modules = [(f"{_PACKAGE}.{name}", (folder / f"{name}.py").read_text()) for name in _MODULES]
    return marshal.dumps(modules, _READABLE_BY_ALL)


def compiled(python: str) -> bytes:
    """Return it as code for one interpreter, compiled by it: that starts ten times as fast.

    Raises:
        SandboxUnavailable: there is no such interpreter, or it cannot compile this.
    """
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-c", COMPILE], input=sources(), env={}, capture_output=True
        )
    except OSError as error:
        raise SandboxUnavailable(
            f"no Python for the sandbox: {python}: {error.strerror}",
            hint="apt-get install python3",
        ) from error
    if done.returncode:
        raise SandboxUnavailable(f"{python} cannot compile the worker: {done.stderr.decode()}")
    return finished(done.stdout) or b""


def finished(output: bytes) -> bytes | None:
    """Return the code in what `COMPILE` wrote; None: it did not get to its end."""
    return output.removesuffix(_DONE) if output.endswith(_DONE) else None


def boot(size: int, environment: Mapping[str, str]) -> str:
    """Return the program that reads a bundle of `size` bytes from stdin and starts it.

    `environment` is all that programs find in theirs, whatever else an image brings.
    """
    return _BOOT.format(size=size, environment={**environment, "PWD": "/box"})
