"""What must come to its end, whoever gives up meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.backend import DockerBackend
from agentgym.sandboxes.once import Once


async def test_it_is_done_once_and_to_its_end() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.02)
        done.append("to its end")

    once = Once(work)
    asking = [asyncio.create_task(once()) for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(3):
        asking[0].cancel()
        await asyncio.sleep(0)
    assert not asking[0].done()
    with pytest.raises(asyncio.CancelledError):
        await asking[0]
    assert done == ["to its end"]
    await asyncio.gather(*asking[1:], once())
    assert done == ["to its end"]


async def test_all_who_ask_hear_that_it_failed() -> None:
    async def work() -> None:
        raise OSError("it is away")

    once = Once(work)
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await once()


class Fleet:
    num_closed = 0

    async def close(self) -> None:
        await asyncio.sleep(0.02)
        self.num_closed += 1


async def test_containers_are_removed_though_closing_is_cancelled() -> None:
    backend, fleet = DockerBackend(DockerSandboxConfig()), Fleet()

    async def open_() -> Any:
        return SimpleNamespace(fleet=fleet)

    backend._opening = asyncio.create_task(open_())
    closing = [asyncio.create_task(backend.close()) for _ in range(2)]
    await asyncio.sleep(0.005)
    closing[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing[0]
    assert fleet.num_closed == 1
    await closing[1]
    await backend.close()
    assert fleet.num_closed == 1


async def test_what_could_not_be_opened_is_closed_all_the_same() -> None:
    backend = DockerBackend(DockerSandboxConfig())

    async def open_() -> Any:
        raise KeyError("Id")

    backend._opening = asyncio.create_task(open_())
    await backend.close()
    await backend.close()
