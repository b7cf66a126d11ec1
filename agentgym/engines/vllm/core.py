"""vLLM's processes: started, watched and killed. They may die at any moment; this outlives them."""

import asyncio
import gc
import json
import logging.config
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from agentgym.engine import Loaded
from agentgym.engines.vllm.arguments import check_model, check_platform, engine_arguments
from agentgym.engines.vllm.completion import REQUEST_ARGUMENTS
from agentgym.engines.vllm.environment import environment, variables
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.versions import check_arguments, check_interface
from agentgym.errors import AgentGymError, ConfigError, EngineError, MissingError

T = TypeVar("T")

_PROCESS = "EngineCore"  # what vLLM calls the process that it starts
_CLOSE_S = 3.0  # vLLM's time to end by itself
_ONE_START = threading.Lock()  # environment variables are of the whole process
_GENERIC = ("initialization failed", "EngineCore encountered", "cancelled")
_ERROR_LINE = re.compile(r"\b((?:\w+\.)*\w*(?:Error|Exception)): (.+)$|(Worker proc .* died)")


class CoreDiedError(EngineError):
    """Raised by calls that were under way when vLLM's processes ended."""


class Core:
    """One life of vLLM's processes."""

    def __init__(self, llm: Any, process: Any, log: Path) -> None:
        self.llm = llm
        self._process = process
        self.log = log
        self._loop = asyncio.get_running_loop()
        self._dead: asyncio.Future[str] = self._loop.create_future()
        self._loop.add_reader(process.sentinel, self._on_death)

    @property
    def is_dead(self) -> bool:
        """Whether its processes have ended."""
        return self._dead.done()

    @property
    def pid(self) -> int:
        """Of the engine core, which heads the process group of all."""
        pid: int = self._process.pid
        return pid

    async def call(self, work: Awaitable[T]) -> T:
        """Await something that the processes answer.

        Raises:
            CoreDiedError: they died first.
            EngineError: it failed, and they live.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        task = asyncio.ensure_future(work)
        try:
            first: set[asyncio.Future[Any]] = {task, self._dead}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        except EngineDeadError:  # a worker died, and the core is about to end
            self._on_death()
            self.kill()
        except AgentGymError:
            raise
        except Exception as error:  # whatever vLLM raises
            raise EngineError(f"vLLM failed: {error.__cause__ or error!r}") from error
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({task})
        raise CoreDiedError(f"vLLM died: {self.cause()}", hint=f"its log: {self.log}")

    def cause(self) -> str:
        """Return why the processes ended, as far as is known."""
        return self._dead.result() if self._dead.done() else "it did not end"

    async def close(self) -> None:
        """End the processes, in peace if they can. Idempotent."""
        self._loop.remove_reader(self._process.sentinel)
        if not self._dead.done():
            self._dead.set_result("it was closed")
        await asyncio.to_thread(self._shut_down)

    def kill(self) -> None:
        """End the processes at once; calls under way raise CoreDiedError."""
        kill_group(self._process)

    def _shut_down(self) -> None:
        llm, self.llm = self.llm, None
        try:
            if llm is not None:
                llm.shutdown(timeout=_CLOSE_S)
        finally:
            kill_group(self._process)
            self._process.join(_CLOSE_S)
            del llm
        gc.collect()  # it refers to itself, and complains where Python ends before it is found

    def _on_death(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._process.join(0)
        if not self._dead.done():
            self._dead.set_result(_cause(self._process.exitcode, self.log))


def _cause(code: int | None, log: Path) -> str:
    """Say why an engine core ended with an exit code; None: it has not yet, but a worker has."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        killed = ", as by the kernel when memory runs out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{killed}"
    return root_cause(log) or f"its process exited with code {code}"


async def start_core(
    config: VllmEngineConfig, loaded: Loaded, *, deterministic: bool, log: Path
) -> Core:
    """Start vLLM on a thread of its own and wait until it is ready.

    Args:
        config: of the engine.
        loaded: the model.
        deterministic: one request at a time.
        log: the file that vLLM's log goes to, from its beginning.

    Raises:
        MissingError, ConfigError: it cannot run here, or not this model.
        EngineError: it did not come up, or not in time.
    """
    starting = _Starting(config, loaded, deterministic=deterministic, log=log)
    task = asyncio.ensure_future(asyncio.to_thread(starting.run))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, if given up
    try:
        async with asyncio.timeout(config.start_timeout_s):
            await asyncio.shield(task)
    except TimeoutError:
        starting.give_up()
        raise EngineError(
            f"vLLM was not ready after {config.start_timeout_s:g} s",
            hint=f"set engine.start_timeout_s, or see its log: {log}",
        ) from None
    except asyncio.CancelledError:
        starting.give_up()
        task.add_done_callback(lambda _: remove_log(log))
        raise
    llm, starting.llm = starting.llm, None
    if starting.process is None:
        await asyncio.to_thread(llm.shutdown)
        raise MissingError(
            f"vLLM started no process {_PROCESS}", hint="use a version that was tried"
        )
    return Core(llm, starting.process, log)


class _Starting:
    """A start under way, which can be given up from another thread."""

    def __init__(
        self, config: VllmEngineConfig, loaded: Loaded, *, deterministic: bool, log: Path
    ) -> None:
        self._config = config
        self._loaded = loaded
        self._deterministic = deterministic
        self._log = log
        self._before = set(_cores())
        self._given_up = threading.Event()
        self._building = False
        self.process: Any = None
        self.llm: Any = None

    def run(self) -> None:
        """Start all, and leave the AsyncLLM in `llm` alone, so that `close` can let go of it."""
        with _ONE_START, warnings.catch_warnings(), _quiet_environment(self._config, self._log):
            warnings.simplefilter("ignore")  # of vLLM's imports, about other libraries
            logging.config.dictConfig(_logging(self._log))
            check_interface()
            settings, executor = self._configure()
            if self._given_up.is_set():
                return
            self._before = set(_cores())
            self._building = True
            try:
                self.llm = self._build(settings, executor)
            finally:
                self._building = False
                self.process = next(iter(set(_cores()) - self._before), None)
            if self._given_up.is_set():
                self.llm.shutdown(timeout=0)
                kill_group(self.process)

    def give_up(self) -> None:
        """Let the thread end soon; whatever it started is killed."""
        self._given_up.set()
        if self._building:
            for process in set(_cores()) - self._before:
                kill_group(process)

    def _configure(self) -> tuple[Any, Any]:
        from vllm import SamplingParams
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.executor import Executor

        from agentgym.engines.vllm.guard import guarded

        check_platform(self._config, current_platform)
        on_cpu = current_platform.is_cpu()
        arguments = engine_arguments(
            self._config, self._loaded, deterministic=self._deterministic, on_cpu=on_cpu
        )
        check_arguments(AsyncEngineArgs, arguments)
        check_arguments(SamplingParams, REQUEST_ARGUMENTS)
        try:
            settings = AsyncEngineArgs(**arguments).create_engine_config()
        except Exception as error:  # whatever a model that it does not know makes it raise
            raise ConfigError(
                f"vLLM cannot use the model in {str(self._loaded.folder)!r}: {_told(error)}",
                hint='set engine.name to "local", or take a model that vLLM supports',
            ) from error
        check_model(settings.model_config.hf_config, on_cpu=on_cpu)
        executor = Executor.get_class(settings)
        return settings, guarded(executor, num_workers=self._config.tensor_parallel)

    def _build(self, settings: Any, executor: Any) -> Any:
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            return AsyncLLM(settings, executor_class=executor, log_stats=False, log_requests=False)
        except AgentGymError:
            raise
        except Exception as error:  # its processes raised something, or were killed
            cause = root_cause(self._log) or _told(error)
            raise EngineError(
                f"vLLM did not start: {cause}", hint=f"its log: {self._log}"
            ) from error


def new_log() -> Path:
    """Return a place for the log of an engine, in a folder of its own."""
    return Path(tempfile.mkdtemp(prefix="agentgym-vllm-")) / "vllm.log"


def remove_log(log: Path) -> None:
    """Remove a log and its folder."""
    shutil.rmtree(log.parent, ignore_errors=True)


def root_cause(log: Path) -> str | None:
    """Return the last error in a log that says more than that something failed."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        found = _ERROR_LINE.search(line)
        if found and found[3]:
            return found[3]
        if found and not any(words in found[2] for words in _GENERIC):
            return f"{found[1].rpartition('.')[2]}: {found[2]}"
    return None


def kill_group(process: Any) -> None:
    """Kill an engine core and its workers; where it has not yet a group of its own, it alone."""
    with suppress(ProcessLookupError, PermissionError):
        if process.pid != os.getpgrp():
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(ValueError):  # closed
        process.kill()


def _quiet_environment(config: VllmEngineConfig, log: Path) -> Any:
    log_config = log.with_suffix(".json")
    log_config.write_text(json.dumps(_logging(log)), "utf-8")
    on_cpu = _is_cpu_build()
    return environment(variables(config, on_cpu=on_cpu, log=log, log_config=log_config))


def _is_cpu_build() -> bool:
    """Return whether PyTorch has no GPU to offer, without importing vLLM."""
    import torch

    return not torch.cuda.is_available()


def _logging(log: Path) -> dict[str, Any]:
    line = "%(asctime)s %(processName)s[%(process)d] %(levelname)s %(name)s: %(message)s"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": line}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(log), "formatter": "line"}
        },
        "loggers": {"vllm": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }


def _cores() -> list[Any]:
    processes = multiprocessing.active_children()
    return [each for each in processes if each.name.startswith(_PROCESS)]


def _told(error: BaseException) -> str:
    """Return the first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [
        line for line in lines if line and not line.endswith("validation error for ModelConfig")
    ]
    return f"{type(error).__name__}: {told[0]}" if told else type(error).__name__
