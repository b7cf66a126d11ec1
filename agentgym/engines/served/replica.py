"""The process of a replica: one engine on a unix socket, as long as its parent lives.

    python -m agentgym.engines.served.replica

Its first line on stdin is a `Job`; its only line on stdout says that it is ready, or why not.
Everything else that is printed goes to stderr. When stdin ends, so do this process and all that it
has started: a parent that was killed leaves nobody behind.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO

from pydantic import BaseModel, TypeAdapter

from agentgym.engine import Engine, EngineConfig, Loaded
from agentgym.engines.settings import ModelConfig
from agentgym.errors import AgentGymError

_CLOSE_S = 5.0


class Job(BaseModel, extra="forbid", frozen=True):
    """What a replica is to do."""

    model: ModelConfig
    engine: dict[str, Any]
    """The keys of an engine; which class has them `AnyEngine` knows."""
    socket: str
    """Where it listens: a path in a folder of its owner only."""
    deterministic: bool = False

    def engine_config(self) -> EngineConfig:
        """Return the engine's settings.

        Raises:
            pydantic.ValidationError: there is no such engine, or it has no such key.
        """
        from agentgym.engines import AnyEngine

        found: EngineConfig = TypeAdapter(AnyEngine).validate_python(self.engine)
        return found


def main() -> int:
    """Hold the engine until told otherwise."""
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print
    job = Job.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        asyncio.run(_hold(job, told))
    except AgentGymError as error:
        _tell(told, {"error": str(error), "hint": error.hint, "exit_code": error.exit_code})
        return error.exit_code
    return 0


async def _hold(job: Job, told: BinaryIO) -> None:
    from agentgym.engines.model import load_model
    from agentgym.engines.served.app import make_app
    from agentgym.web.port import listen_privately
    from agentgym.web.server import Server

    config = job.engine_config()
    loaded = load_model(job.model, with_module=config.needs_module)
    engine = config.build(loaded, deterministic=job.deterministic)
    try:
        await engine.start()
        facts = facts_of(engine, config, loaded, deterministic=job.deterministic)
        server, taken = Server(make_app(engine, facts=facts)), listen_privately(job.socket)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(
                number, partial(setattr, server, "should_exit", True)
            )
        _tell(told, facts)
        await server.serve(sockets=[taken])
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(engine.close(), _CLOSE_S)


def facts_of(
    engine: Engine, config: EngineConfig, loaded: Loaded, *, deterministic: bool
) -> dict[str, Any]:
    """Return what a client must know of an engine before it asks it."""
    from agentgym.engines.served.identity import fingerprint, vocabulary_of
    from agentgym.engines.served.wire import PROTOCOL
    from agentgym.version import __version__

    return {
        "protocol": PROTOCOL,
        "agentgym": __version__,
        "engine": config.name,
        "model": str(loaded.folder.resolve()),
        "fingerprint": fingerprint(loaded.folder),
        "dtype": loaded.dtype,
        "max_context": engine.max_context,
        "slots": engine.slots,
        "vocabulary": vocabulary_of(loaded)._asdict(),
        "deterministic": deterministic,
    }


def _tell(told: BinaryIO, value: dict[str, Any]) -> None:
    with suppress(OSError):
        told.write(json.dumps(value).encode() + b"\n")
        told.flush()


def _end_with_parent() -> None:
    """Kill the whole group once stdin ends: the parent is gone, or wants it."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
