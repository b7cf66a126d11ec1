import asyncio
import time

import pytest

from agentgym.check import subject
from agentgym.check.report import Failed
from agentgym.envs.keydoor import KeyDoorConfig


class SlowTasks(KeyDoorConfig):
    def tasks(self, split):
        time.sleep(3)
        yield from ()


def test_tasks_that_never_come_do_not_hold_up_the_exit(monkeypatch):
    monkeypatch.setattr(subject, "_TIMEOUT_S", 0.1)
    slow = subject.Subject(SlowTasks, overrides={}, sandboxes=None)
    started = time.perf_counter()
    with pytest.raises(Failed):
        asyncio.run(slow.tasks(slow.config, "train", number=1))
    assert time.perf_counter() - started < 2
