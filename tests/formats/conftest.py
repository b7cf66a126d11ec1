from collections.abc import Callable
from typing import Any

import pytest

from agentgym.types import Message, Step, Task, ToolCall, Trajectory


@pytest.fixture
def make_episode() -> Callable[..., Trajectory]:
    def make(**fields: Any) -> Trajectory:
        call = Message("assistant", "", (ToolCall("add", '{"x": 1}', id="c"),))
        steps = [
            Step(message=call, replies=(Message("tool", "日本", tool_call_id="c"),)),
            Step(message=Message("assistant", "2"), reward_terms={"outcome": 0.5}),
        ]
        return Trajectory(
            **{
                "id": "e",
                "task": Task("Add.", id="t"),
                "group_id": "g",
                "seed": 2**62,
                "prompt": (Message("system", "Be brief."), Message("user", "Add.")),
                "steps": steps,
                "end": "terminated",
            }
            | fields
        )

    return make
