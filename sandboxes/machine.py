"""What a backend starts and a worker runs in."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agentgym.sandbox import Limits, SandboxInfo
from agentgym.sandboxes.cgroups import Group
from agentgym.sandboxes.channel import Channel

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/box",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
    # A set of strings iterates alike in every sandbox, so that replayed output is equal.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Their threads would count as processes, and a session that has threads cannot be forked.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""All that a program finds in its environment, unless an image has another PATH."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a backend started: something that a worker runs in."""

    name: str
    info: SandboxInfo
    channel: Channel
    group: Group | None
    """The control group that limits and counts; None: it is out of reach."""
    held: Limits | None = None
    """What somebody else holds for all of it, whatever a call asks for; None: nobody does."""
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    """Of the programs."""
    gone: asyncio.Future[str]
    """Done with the reason when nothing of it is left."""
    kill: Callable[[], None] = field(repr=False)
    """Have all of it ended, without waiting."""


def with_uid(info: SandboxInfo, uid: int) -> SandboxInfo:
    """Return what is said of one sandbox, whose programs run as this user."""
    return replace(info, enforced={**info.enforced, "uid": str(uid)})
