"""The same program as others run it: as a plain process, in a bare bwrap, and by `docker exec`."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from agentgym.bench.sandboxes.measure import Call
from agentgym.bench.sandboxes.operations import COMMAND, PRINTED
from agentgym.sandbox import Sandbox
from agentgym.sandboxes.local.bubblewrap import find

_FILE_SYSTEM = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")


def subprocess() -> Call:
    """Start an interpreter on this machine, as code graders without a sandbox do."""
    return _process(COMMAND)


def bubblewrap() -> Call:
    """Start an interpreter in new namespaces that see this machine's files: no worker, no limits."""
    return _process((find(), "--unshare-all", *_FILE_SYSTEM, *COMMAND))


class DockerExec:
    """`docker exec` into containers of ours, over the engine's API and with threads enough."""

    def __init__(self, *, callers: int) -> None:
        import docker

        self._client = docker.from_env()
        self._threads = ThreadPoolExecutor(callers)

    def call(self, sandbox: Sandbox) -> Call:
        """Start an interpreter in the container of a sandbox."""
        container = self._client.containers.get(sandbox.id)

        async def call() -> None:
            loop = asyncio.get_running_loop()
            done = await loop.run_in_executor(self._threads, container.exec_run, list(COMMAND))
            # A busy engine now and then loses what was printed; the program ran all the same.
            assert (done.exit_code, done.output) in ((0, PRINTED), (0, b"")), done

        return call

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown()
        self._client.close()


def _process(command: Sequence[str]) -> Call:
    async def call() -> None:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        assert printed == PRINTED

    return call
