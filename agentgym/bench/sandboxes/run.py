"""Every operation of the backends asked for, at several concurrencies, in one run."""

import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack

from agentgym.bench.sandboxes import baselines, operations
from agentgym.bench.sandboxes.measure import Call, Row, Side, take_turns
from agentgym.bench.sandboxes.memory import pss_mb
from agentgym.sandbox import Sandbox, Sandboxes
from agentgym.sandboxes.backend import PoolSettings

IDLE = 32


async def bench_sandboxes(
    configs: Sequence[PoolSettings], *, concurrency: Sequence[int], seconds: float
) -> AsyncIterator[Row]:
    """Yield rows as they are measured; `seconds` for each side of each comparison.

    Raises:
        SandboxUnavailable: a backend does not work here.
    """
    async with AsyncExitStack() as stack:
        pools = {}
        for config in configs:
            cold = config.model_copy(update={"spares": 0, "exec_slots": 64})
            pools[config.name] = await stack.enter_async_context(cold.build())
        for callers in concurrency:
            for operation in operations.IN_A_SANDBOX:
                for row in await _compare(pools, operation, callers, seconds):
                    yield row
            for operation, make in operations.OF_A_POOL.items():
                sides = [
                    Side(name, operation, [make(pool) for _ in range(callers)])
                    for name, pool in pools.items()
                ]
                if operation == "start" and "local" in pools:
                    sides.append(Side("bwrap", "start", [baselines.bubblewrap()] * callers))
                for row in await take_turns(sides, seconds=seconds):
                    yield row
        for config in configs:
            yield await _lease_row(config, seconds)
            yield await _idle_row(config.name, pools[config.name])


async def _compare(
    pools: Mapping[str, Sandboxes], operation: str, callers: int, seconds: float
) -> list[Row]:
    """Measure one operation side by side in every backend, and beside what needs no sandbox."""
    async with AsyncExitStack() as stack:
        sides = []
        for name, pool in pools.items():
            held = [await stack.enter_async_context(pool.lease(fresh=True)) for _ in range(callers)]
            sides.append(Side(name, operation, [await _made(operation, each) for each in held]))
            if (name, operation) == ("docker", "exec"):
                beside = baselines.DockerExec(callers=callers)
                stack.callback(beside.close)
                sides.append(Side("docker-exec", "exec", [beside.call(each) for each in held]))
        if operation == "exec":
            sides.append(Side("subprocess", "exec", [baselines.subprocess()] * callers))
        return await take_turns(sides, seconds=seconds)


async def _made(operation: str, sandbox: Sandbox) -> Call:
    made = operations.IN_A_SANDBOX[operation](sandbox)
    return await made if inspect.isawaitable(made) else made


async def _lease_row(config: PoolSettings, seconds: float) -> Row:
    async with config.build() as pool:
        (row,) = await take_turns(
            [Side(config.name, "lease", [operations.lease(pool)])], seconds=seconds
        )
        return row


async def _idle_row(name: str, pool: Sandboxes) -> Row:
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(pool.lease(fresh=True)) for _ in range(IDLE)]
        return Row(name, "idle", IDLE, IDLE, pss_mb=pss_mb(held))
