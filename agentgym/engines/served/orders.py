"""What replicas are told to do: one order, or the same to many at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agentgym.engines.served.process import ReplicaGone, Reply
from agentgym.engines.served.supervised import Replica
from agentgym.errors import EngineError


async def order(
    replica: Replica, path: str, body: bytes = b"", *, limit_s: float | None = None
) -> None:
    """Tell a replica what to do, and give it as long as a load of weights may take.

    Raises:
        EngineError: it answered with an error.
        ReplicaGone: it did not answer in time.
    """
    limit_s = limit_s or replica.limits.load_s
    reply = await replica.ask("POST", path, body=body, limit_s=limit_s)
    if error := _refusal(reply):
        raise error


async def with_each(
    replicas: Sequence[Replica], do: Callable[[Replica], Awaitable[None]]
) -> list[Replica]:
    """Do something with many at once; replace those with which it went wrong, return the others."""

    async def one(replica: Replica) -> bool:
        try:
            await do(replica)
        except (EngineError, ReplicaGone) as error:
            replica.restart(str(error))
            return False
        return True

    went_well = await asyncio.gather(*[one(replica) for replica in replicas])
    return [replica for replica, well in zip(replicas, went_well, strict=True) if well]


def _refusal(reply: Reply) -> EngineError | None:
    if reply.status == 200:
        return None
    try:
        told = reply.json()
        return EngineError(str(told["error"]), hint=told.get("hint"))
    except (ValueError, KeyError):
        return EngineError(f"a replica answered with status {reply.status}")
