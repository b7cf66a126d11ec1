import numpy as np

from agentgym.table import build_table
from agentgym.trainers.scalars import describe
from agentgym.trainers.shaping.base import Shaped
from agentgym.types import Group, Message, Step, Task, ToolCall, Trajectory


def test_calls_that_cannot_be_read_are_counted() -> None:
    arguments = ["{}", '{"a": 1}', '{"a": ', "[1]", "no JSON"]
    calls = tuple(ToolCall("run", each, "c") for each in arguments)
    steps = [
        Step(message=Message("assistant", "", calls), reward_terms={"outcome": 1.0}),
        Step(message=Message("assistant", "", (ToolCall("", "{}", "c"),))),
        Step(message=Message("assistant", "no call")),
    ]
    task = Task("t")
    trajectory = Trajectory(id="a", task=task, group_id="g", steps=steps, end="terminated")
    table = build_table([Group(task=task, trajectories=[trajectory])])
    shaped = Shaped(rewards=np.zeros(3), gates={}, terms={})
    scalars = describe([trajectory], table, shaped, success=1.0)
    assert scalars["malformed_calls"] == 4
    assert scalars["drift"] == 0
