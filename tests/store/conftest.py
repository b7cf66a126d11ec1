import subprocess

import pytest

from agentgym.types import (
    Completion,
    Message,
    Segment,
    Step,
    Task,
    Timings,
    ToolCall,
    ToolSpec,
    Trajectory,
)


def _trajectory(number: int = 0, *, turns: int = 2, tokens: int = 4) -> Trajectory:
    """A plausible episode: `turns` steps, each of which sampled `tokens` tokens."""
    segment = Segment()
    steps = []
    for turn in range(turns):
        ids = tuple((number * 7919 + turn * 31 + each * each) % 32000 for each in range(tokens))
        logprobs = tuple(-((each * 37 + turn) % 64) / 64 for each in range(tokens))
        _append(segment, [1, 2, 3])
        first = len(segment.token_ids)
        segment.token_ids += ids
        segment.sampled += [True] * tokens
        segment.logprobs += logprobs
        segment.steps.append((turn, first, first + tokens))
        call = ToolCall("look", f'{{"at": {turn}}}', id=f"call-{turn}")
        steps.append(
            Step(
                message=Message("assistant", f"I look at {turn}.", (call,)),
                replies=(Message("tool", f"You see a key {turn}.", tool_call_id=call.id),),
                reward_terms={"outcome": 1.0 / 3, "format": 0.1},
                state_key=f"state-{turn}",
                next_state_key=None if turn == turns - 1 else f"state-{turn + 1}",
                action_key=f"look {turn}",
                completion=Completion(
                    token_ids=ids,
                    logprobs=logprobs,
                    finish_reason="stop",
                    versions=((0, 3), (2, 4)),
                ),
                timings=Timings(generate_s=0.25, env_s=0.125, started_s=float(turn)),
            )
        )
    return Trajectory(
        id=f"train-000001-{number:03d}",
        task=Task(f"Find the key {number}.", answer="key", env="me/Key-v0"),
        group_id="train-000001-000",
        member=number,
        seed=2**62 + number,
        policy="local",
        prompt=(Message("system", "You are in a room."), Message("user", "Find the key.")),
        tools=(ToolSpec("look", "Look around.", {"type": "object", "properties": {}}),),
        steps=steps,
        segments=[segment],
        end="terminated",
        reason="found",
        seconds=1.5,
    )


def _append(segment: Segment, token_ids: list[int]) -> None:
    segment.token_ids += token_ids
    segment.sampled += [False] * len(token_ids)
    segment.logprobs += [0.0] * len(token_ids)


@pytest.fixture(scope="session")
def make_trajectory():
    return _trajectory


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)
