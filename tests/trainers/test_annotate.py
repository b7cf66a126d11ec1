from dataclasses import replace

import numpy as np

from agentgym.table import build_table
from agentgym.trainers.annotate import annotate
from agentgym.trainers.batch import pad
from agentgym.trainers.policy import TrainerPolicy
from agentgym.types import Completion, Group, Message, Segment, Step, Task, Trajectory


def episode(name, counts, *, seed):
    """An episode whose step k samples counts[k] random tokens after two foreign ones."""
    generator = np.random.default_rng(seed)
    segment, steps = Segment(), []
    for number, count in enumerate(counts):
        ids = generator.integers(0, 29, count + 2).tolist()
        first = len(segment.token_ids) + 2
        segment.token_ids += ids
        segment.sampled += [False, False] + [True] * count
        segment.logprobs += [0.0, 0.0] + [-1.0] * count
        segment.steps.append((number, first, first + count))
        sampled = Completion(
            token_ids=tuple(ids[2:]), logprobs=(-1.0,) * count, finish_reason="stop"
        )
        steps.append(Step(message=Message("assistant"), completion=sampled))
    return Trajectory(
        id=name, task=Task("t"), group_id="g", steps=steps, segments=[segment], end="terminated"
    )


def test_entropy_of_a_step_is_the_mean_over_its_tokens(tiny):
    trajectories = [episode("a", [3, 1], seed=1), episode("b", [2, 4, 1], seed=2)]
    table = build_table([Group(trajectories[0].task, trajectories)])
    policy = TrainerPolicy(tiny)
    got = annotate(table, trajectories, columns=["entropy"], policy=policy, max_tokens=8)
    expected = []
    for trajectory in trajectories:
        (segment,) = trajectory.segments
        logits = tiny(input_ids=pad_ids(segment)).logits[0].detach().log_softmax(-1)
        entropy = -(logits.exp() * logits).sum(-1)
        expected += [float(entropy[a - 1 : b - 1].mean()) for _, a, b in segment.steps]
    np.testing.assert_allclose(got.entropy, expected, rtol=1e-5)
    assert replace(got, entropy=None).token_start is table.token_start


def pad_ids(segment):
    from agentgym.trainers.rows import imitation_row

    return pad([imitation_row(segment.token_ids, [False] * len(segment.token_ids))]).token_ids


def test_nothing_is_computed_that_nobody_asked_for(tiny):
    trajectories = [episode("a", [3], seed=1)]
    table = build_table([Group(trajectories[0].task, trajectories)])
    policy = TrainerPolicy(tiny)
    assert annotate(table, trajectories, columns=(), policy=policy, max_tokens=8) is table
