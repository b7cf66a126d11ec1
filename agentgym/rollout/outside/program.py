"""A program from outside: one process per episode, and everything that it starts."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from agentgym.errors import ConfigError
from agentgym.rollout.outside.settings import PLACES

_KEPT_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_LAST_PARTS = 64  # more than a pipe holds
_LAST_CHARS = 1000
_SWEEPS = 20  # a process that starts others faster than they are found is left to its own
_PLACEHOLDER = re.compile(rf"\{{({'|'.join(PLACES)})\}}")


class Program:
    """Runs in a folder of its own that is gone afterwards, in a session of its own, without input.

    What it starts is known by the variable AGENTGYM_URL, which it hands down, and ends with it.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        folder: tempfile.TemporaryDirectory[str],
        url: str,
        output: int,
    ) -> None:
        self._process = process
        self._folder = folder
        self._marker = _marker(url)
        self._pipe = output
        self._output: deque[bytes] = deque()
        self._kept = 0
        asyncio.get_running_loop().add_reader(output, self._read)

    @classmethod
    async def start(cls, command: str, texts: Mapping[str, str], *, url: str, key: str) -> Self:
        """Start a command; `texts` are its prompt and task.

        Raises:
            ConfigError: it cannot be started.
        """
        folder = tempfile.TemporaryDirectory(prefix="agentgym-agent-", ignore_cleanup_errors=True)
        reading, writing = os.pipe()
        try:
            workdir, task_file = Path(folder.name) / "work", Path(folder.name) / "task.txt"
            workdir.mkdir()
            task_file.write_text(texts["prompt"], "utf-8", "replace")
            values = {
                **{name: text.replace("\0", "\ufffd") for name, text in texts.items()},
                "task_file": str(task_file),
                "workdir": str(workdir),
                "base_url": f"{url}/v1",
            }
            os.set_blocking(reading, False)
            process = await asyncio.create_subprocess_exec(
                *fill_in(command, values),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=workdir,
                env={**os.environ, **_variables(url, key, task_file)},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            os.close(reading)
            folder.cleanup()
            raise ConfigError(
                f"the agent program cannot be started: {error}",
                hint="it is found as from a shell; a prompt of more than 100 KB needs {task_file}",
            ) from error
        except BaseException:
            os.close(reading)
            await asyncio.to_thread(_kill_marked, _marker(url))  # it may have been started
            folder.cleanup()
            raise
        finally:
            os.close(writing)
        return cls(process, folder, url, reading)

    async def wait(self) -> int:
        """Wait for its end and return its exit code; negative: the signal that ended it."""
        return await self._process.wait()

    async def end(self) -> None:
        """Kill it and everything it started, and remove its folder; to the end, if cancelled, too."""
        ending = asyncio.ensure_future(self._clear_away())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.wait([ending])
            raise

    async def _clear_away(self) -> None:
        _kill_group(self._process.pid)
        await self._process.wait()
        await asyncio.to_thread(_kill_marked, self._marker)
        for _ in range(_LAST_PARTS):
            if not self._read():
                break
        self._close_pipe()
        await asyncio.to_thread(self._folder.cleanup)

    @property
    def output(self) -> str:
        """The end of what it wrote to stdout and stderr."""
        return b"".join(self._output)[-_KEPT_BYTES:].decode("utf-8", "replace")

    def ended_with(self, code: int) -> str | None:
        """Return what went wrong; None: nothing did."""
        if code == 0:
            return None
        how = f"exited with {code}" if code > 0 else f"was killed by {_signal(-code)}"
        said = self.output.strip()[-_LAST_CHARS:]
        return f"the agent program {how}{f', having written: {said}' if said else ''}"

    def _read(self) -> bool:
        """Take a part of what there is to read, of which the end is kept; return whether it was any.

        One part at a time: a program that writes without end must not hold the event loop.
        """
        try:
            part = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if not part:
            asyncio.get_running_loop().remove_reader(self._pipe)
            return False
        self._output.append(part)
        self._kept += len(part)
        while self._kept - len(self._output[0]) > _KEPT_BYTES:
            self._kept -= len(self._output.popleft())
        return True

    def _close_pipe(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe)
        os.close(self._pipe)
        self._pipe = -1


def fill_in(command: str, values: Mapping[str, str]) -> list[str]:
    """Return the words of a command with values in the place of their names; braces else stay.

    >>> fill_in("mini -t {prompt} --x '{y}'", {"prompt": "say {task}"})
    ['mini', '-t', 'say {task}', '--x', '{y}']
    """
    return [_PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in shlex.split(command)]


def _variables(url: str, key: str, task_file: Path) -> dict[str, str]:
    near = "127.0.0.1,localhost"
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), near)))
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "AGENTGYM_URL": url,
        "AGENTGYM_TASK_FILE": str(task_file),
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def _marker(url: str) -> bytes:
    return f"AGENTGYM_URL={url}".encode()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _kill_marked(marker: bytes) -> None:
    """Kill what was started with a variable, also in sessions of its own; where there is /proc."""
    for _ in range(_SWEEPS):
        found = [pid for pid in _processes() if _has(pid, marker)]
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _processes() -> list[int]:
    with suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) > 1]
    return []


def _has(pid: int, variable: bytes) -> bool:
    try:
        return variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
