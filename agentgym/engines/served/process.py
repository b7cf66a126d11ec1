"""A replica as its parent sees it: a process that is started, asked, and killed with all it started."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import httpx

from agentgym.engines.served.clients import Clients
from agentgym.engines.served.replica import Job
from agentgym.errors import AgentGymError, ConfigError, EngineError, MissingError

_BY_EXIT_CODE: dict[int, type[AgentGymError]] = {2: ConfigError, 3: MissingError}
_LOG_LINES = 12
_LOG_BYTES = 8192


class ReplicaGone(Exception):  # noqa: N818  what comes of it depends on what was asked
    """Raised where a replica does not answer: it died, hangs, or speaks no HTTP."""


class Reply(NamedTuple):
    """What a replica answered."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body of an answer that is ours."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


class ReplicaProcess:
    """A process in a session of its own; it ends when this one does, however this one ends."""

    def __init__(
        self, process: asyncio.subprocess.Process, facts: dict[str, Any], socket: str
    ) -> None:
        self.pid = process.pid
        self.facts = facts
        """What the engine told of itself."""
        self._process = process
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        unused = httpx.create_ssl_context(verify=False)  # each client would make one
        self._clients = Clients(
            lambda: httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=socket, verify=unused, limits=limits),
                base_url="http://replica",
                timeout=None,
            )
        )

    @classmethod
    async def start(
        cls, job: Job, *, log: Path, environment: Mapping[str, str], limit_s: float
    ) -> Self:
        """Start a replica and wait until its engine is ready.

        Raises:
            ConfigError, MissingError: the engine will never start like this.
            EngineError: it did not come up this time.
        """
        with _cleared(job, log) as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "agentgym.engines.served.replica",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        try:
            return cls(process, await _ready(process, job, log, limit_s), job.socket)
        except BaseException:
            await _kill(process)
            raise

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit_s: float | None = None,
    ) -> Reply:
        """Ask the replica; an answer may be an error.

        Raises:
            ReplicaGone: there is none, or not in time.
        """
        try:
            async with asyncio.timeout(limit_s):
                found = await self._clients.next().request(
                    method, path, content=body, headers=dict(headers or {})
                )
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise ReplicaGone(f"{type(error).__name__}: {error}".removesuffix(": ")) from error
        except RuntimeError as error:  # of httpx, where the client was closed meanwhile
            raise ReplicaGone(str(error)) from error
        return Reply(found.status_code, found.headers, found.content)

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """Let it free what it holds, then kill what is left."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Kill it and everything that it started. Idempotent."""
        await _kill(self._process)
        await self._clients.close()

    def kill_now(self) -> None:
        """Send the signal, and wait for nothing."""
        _kill_group(self.pid)


def last_lines(log: Path) -> str:
    """Return the end of a replica's log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if line.strip()][-_LOG_LINES:])


def _cleared(job: Job, log: Path) -> BinaryIO:
    """Remove the socket of the process before, and return an empty log."""
    Path(job.socket).unlink(missing_ok=True)
    return log.open("wb")


async def _ready(
    process: asyncio.subprocess.Process, job: Job, log: Path, limit_s: float
) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.write(job.model_dump_json().encode() + b"\n")
        await process.stdin.drain()
    try:
        async with asyncio.timeout(limit_s):
            line = await process.stdout.readline()
    except TimeoutError:
        raise EngineError(
            f"the engine was not ready within {limit_s:g} s; its log:\n{last_lines(log)}",
            hint="limits.start_s allows more",
        ) from None
    told = json.loads(line) if line.endswith(b"\n") else None
    if told is None:
        code = await process.wait()
        raise EngineError(f"the engine ended with code {code}; its log:\n{last_lines(log)}")
    if "error" in told:
        kind = _BY_EXIT_CODE.get(told["exit_code"], EngineError)
        raise kind(told["error"], hint=told["hint"])
    found: dict[str, Any] = told
    return found


async def _kill(process: asyncio.subprocess.Process) -> None:
    _kill_group(process.pid)
    await process.wait()
    _kill_group(process.pid)  # what was being started by it
    if process.stdin is not None:
        process.stdin.close()


def _kill_group(pid: int) -> None:
    """Kill a replica and what it started: of its group, which outlives it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
