"""Imitation of a scripted teacher: what the policy has to know before reward can teach it."""

from collections.abc import Iterator, Sequence

import numpy as np

from agentgym.renderer import Renderer
from agentgym.trainers.batch import pad
from agentgym.trainers.policy import TrainerPolicy
from agentgym.trainers.rows import Row, imitation_row, split_rows
from agentgym.trainers.settings import OptimConfig, WarmStartConfig
from agentgym.trainers.update import make_optimizer, take_step
from agentgym.types import Trajectory


def demonstrations(
    trajectories: Sequence[Trajectory], renderer: Renderer, *, max_context: int
) -> list[Row]:
    """Render episodes of a teacher as the policy would have sampled them.

    The loss is on the teacher's messages only. Episodes that ended by a fault, and those that
    do not fit the context, are left out.
    """
    rows = [
        row
        for trajectory in trajectories
        if trajectory.end != "error"
        for row in _demonstration(trajectory, renderer)
    ]
    return [row for row in rows if row.num_trained and len(row.token_ids) <= max_context]


def _demonstration(trajectory: Trajectory, renderer: Renderer) -> Iterator[Row]:
    """Yield one row, and another one wherever the renderer begins anew.

    In that the answers before stand as they are rendered then, and are not trained on.
    """
    messages, tools = list(trajectory.prompt), trajectory.tools
    token_ids = renderer.prompt(messages, tools)
    sampled = [False] * len(token_ids)
    for number, step in enumerate(trajectory.steps):
        answer = renderer.complete(step.message)
        token_ids, sampled = token_ids + answer, sampled + [True] * len(answer)
        if number + 1 == len(trajectory.steps):
            break
        messages.append(step.message)
        known = len(messages)
        messages += step.replies
        replies = renderer.extend(token_ids, messages, tools, known=known)
        if replies is None:
            yield imitation_row(token_ids, sampled)
            token_ids, sampled, replies = [], [], renderer.prompt(messages, tools)
        token_ids, sampled = token_ids + replies, sampled + [False] * len(replies)
    yield imitation_row(token_ids, sampled)


def imitate(
    policy: TrainerPolicy,
    rows: Sequence[Row],
    *,
    config: WarmStartConfig,
    grad_clip: float,
    max_tokens: int,
    seed: int,
) -> Iterator[float]:
    """Train on demonstrations for a fixed number of steps, and yield the loss of each.

    The loss is the mean negative log-probability of the teacher's tokens.
    """
    optim = OptimConfig(lr=config.lr, warmup_steps=max(1, config.steps // 20), decay="cosine")
    optimizer = make_optimizer(policy, optim)
    batches = _batches(rows, size=config.batch_size, seed=seed)
    for step in range(config.steps):
        loss = _backward(policy, next(batches), max_tokens=max_tokens)
        lr = optim.rate(step, config.steps)
        take_step(optimizer, policy, lr=lr, grad_clip=grad_clip)
        yield loss


def _batches(rows: Sequence[Row], *, size: int, seed: int) -> Iterator[list[Row]]:
    """Yield batches without end; every row once before any comes again."""
    shuffle = np.random.default_rng(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting += shuffle.permutation(len(rows)).tolist()
        yield [rows[index] for index in waiting[:size]]
        del waiting[:size]


def _backward(policy: TrainerPolicy, rows: Sequence[Row], *, max_tokens: int) -> float:
    """Add up the gradients of the mean negative log-probability per token."""
    normalizer = float(sum(row.num_trained for row in rows))
    total = 0.0
    for part in split_rows(rows, max_tokens=max_tokens):
        batch = pad(part, device=policy.device)
        stats = policy.stats(batch.token_ids, batch.loss_mask, entropy_grad=False)
        loss = -stats.logprobs.sum() / normalizer
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total
