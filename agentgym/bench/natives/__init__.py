"""The other side of each adapter: the same episodes, played by the framework it adapts.

One file per framework, with a function `native(config) -> Native`; a line in
`agentgym/bench/cases.py` names it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agentgym.types import Message, Task

Play = Callable[[], int]
"""Plays one episode and returns how many steps it took."""


class Native(NamedTuple):
    """How a framework plays without agentgym."""

    framework: str
    prepare: Callable[[Task, Sequence[Message]], Play]
    """Everything that is not stepping (parsing the recorded actions) happens here, untimed.

    The framework's instance is made once and reset for each episode where its users do so.
    """
