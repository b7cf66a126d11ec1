"""What runs first in vLLM's engine core, so that it neither outlives nor disturbs its parent.

vLLM imports this file in its own process, by the executor class it is given.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

from vllm.v1.executor import Executor
from vllm.v1.executor.multiproc_executor import MultiprocExecutor
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from agentgym.engines.vllm.environment import LOG

_SHARED = "/dev/shm/psm_"  # as Python names shared memory


def guard() -> None:
    """Leave the terminal, write to the log, and die with the parent.

    Out of the terminal's process group, Ctrl-C reaches the trainer alone, which may still have
    to save. Workers are started later and inherit the group and the log.
    """
    os.setpgid(0, 0)
    with open(os.environ[LOG], "ab", buffering=0) as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    """Kill the whole group once the parent is gone, however it ended."""
    while os.getppid() == parent:
        time.sleep(0.2)
    for path in shared_memory():
        with suppress(OSError):
            os.unlink(path)
    os.killpg(0, signal.SIGKILL)


def shared_memory() -> set[str]:
    """Return the files in memory through which this engine core talks to its workers.

    Nobody else would remove them.
    """
    with open("/proc/self/maps") as maps:
        fields = [line.split(maxsplit=5) for line in maps]
    paths = {each[5].strip() for each in fields if len(each) > 5}
    return {path for path in paths if path.startswith(_SHARED) and not path.endswith("(deleted)")}


class GuardedUniProcExecutor(UniProcExecutor):  # type: ignore[misc]
    """One worker, inside the engine core."""

    def _init_executor(self) -> None:
        guard()
        super()._init_executor()


class GuardedMultiprocExecutor(MultiprocExecutor):  # type: ignore[misc]
    """Workers in processes of their own."""

    def _init_executor(self) -> None:
        guard()
        super()._init_executor()


def guarded(executor: type[Executor], *, num_workers: int) -> type[Executor]:
    """Return the guarded class in place of the one that vLLM chose.

    On a CPU vLLM gives a process also to its only worker, so that threads can be bound to cores.
    We bind none, and inside the engine core a step takes a fifth less time.
    """
    if num_workers == 1 and executor is MultiprocExecutor:
        return GuardedUniProcExecutor
    chosen = {
        UniProcExecutor: GuardedUniProcExecutor,
        MultiprocExecutor: GuardedMultiprocExecutor,
    }
    return chosen.get(executor, executor)
