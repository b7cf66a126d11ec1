"""What runs first in vLLM's engine core, so that it neither outlives nor disturbs its parent.

vLLM imports this file in its own process, by the executor class it is given.
"""

import os
import signal
import sys
import threading
import time

from vllm.v1.executor import Executor
from vllm.v1.executor.multiproc_executor import MultiprocExecutor
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from agentgym.engines.vllm.environment import LOG


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
    os.killpg(0, signal.SIGKILL)


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


def guarded(executor: type[Executor]) -> type[Executor]:
    """Return the guarded class in place of the one that vLLM chose."""
    chosen = {
        UniProcExecutor: GuardedUniProcExecutor,
        MultiprocExecutor: GuardedMultiprocExecutor,
    }
    return chosen.get(executor, executor)
