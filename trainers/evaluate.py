"""How good a policy is: success with its interval, per kind of task, and pass@k."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agentgym.engine import SamplingConfig
from agentgym.env import EnvConfig, first_tasks
from agentgym.rollout.collect import make_jobs
from agentgym.rollout.policy import MakePolicy
from agentgym.trainers.compare import design_effect
from agentgym.trainers.episodes import Episodes
from agentgym.trainers.settings import EvalConfig
from agentgym.types import Trajectory

_FIRST = -1  # training plays in the order of its steps, from 0
_Z95 = 1.959963984540054


class Rate(NamedTuple):
    """A share of n episodes, and the 95 % interval of Wilson around it, over tasks."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What an evaluation found. Episodes that ended by a fault count in `faults` only."""

    success: Rate
    kinds: dict[str, Rate]
    """By the task's `payload["kind"]`, where it has one."""
    pass_at: dict[int, float]
    """By k: 1, and the samples per task."""
    turns: float
    """Mean number of steps."""
    faults: int

    def scalars(self, prefix: str) -> dict[str, float]:
        """Return the numbers to plot."""
        rates = {"success": self.success} | {
            f"success/{kind}": rate for kind, rate in self.kinds.items()
        }
        scalars = {f"{prefix}/{name}": rate.mean for name, rate in rates.items()}
        return scalars | {f"{prefix}/turns": self.turns, f"{prefix}/faults": float(self.faults)}

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "success": self.success._asdict(),
            "kinds": {kind: rate._asdict() for kind, rate in self.kinds.items()},
            "pass_at": {str(k): value for k, value in self.pass_at.items()},
            "turns": self.turns,
            "faults": self.faults,
        }


def ways_to_draw(config: EvalConfig, sampling: SamplingConfig) -> dict[str, SamplingConfig]:
    """Return how each evaluation draws tokens, by its name: as in training, and greedily."""
    greedy = {"greedy": sampling.model_copy(update={"temperature": 0.0})}
    return {"sampled": sampling, **(greedy if config.greedy else {})}


async def evaluate(
    episodes: Episodes,
    *,
    env: EnvConfig,
    config: EvalConfig,
    make_policy: MakePolicy,
    policy_name: str,
    prefix: str,
    seed: int,
) -> Score:
    """Play the first tasks of a split, before all that is played ahead, and score them.

    Group ids begin with `prefix`.
    """
    tasks = first_tasks(env, config.split or env.held_out_split, number=config.episodes)
    jobs = make_jobs(
        tasks, group_size=config.samples, run_seed=seed, prefix=prefix, env=type(env).id
    )
    trajectories = await episodes.collect(
        jobs, make_policy=make_policy, policy_name=policy_name, order=_FIRST
    )
    return score(trajectories, success=type(env).success)


def score(trajectories: Iterable[Trajectory], *, success: float) -> Score:
    """Score finished episodes; one succeeded when its outcome reaches `success`."""
    by_task: defaultdict[str, list[bool]] = defaultdict(list)
    by_kind: defaultdict[str, dict[str, list[bool]]] = defaultdict(dict)
    turns: list[int] = []
    faults = 0
    for trajectory in trajectories:
        if trajectory.end == "error":
            faults += 1
            continue
        succeeded = trajectory.outcome >= success
        verdicts = by_task[trajectory.group_id]
        verdicts.append(succeeded)
        turns.append(len(trajectory.steps))
        payload = trajectory.task.payload
        if isinstance(payload, dict) and "kind" in payload:
            by_kind[str(payload["kind"])][trajectory.group_id] = verdicts
    most = max(map(len, by_task.values()), default=0)
    return Score(
        success=_rate(by_task),
        kinds={kind: _rate(tasks) for kind, tasks in sorted(by_kind.items())},
        pass_at={k: pass_at_k(list(by_task.values()), k) for k in sorted({1, most}) if most},
        turns=sum(turns) / len(turns) if turns else 0.0,
        faults=faults,
    )


def _rate(by_task: Mapping[str, Sequence[bool]]) -> Rate:
    tasks = [number for number, each in enumerate(by_task.values()) for _ in each]
    return wilson([verdict for each in by_task.values() for verdict in each], tasks)


def wilson(verdicts: Sequence[bool], tasks: Sequence[int] | None = None) -> Rate:
    """Return the rate of True and its 95 % score interval; of nothing: 0, between 0 and 1.

    Episodes of one task stand or fall together: where tasks repeat, the interval is as wide as
    that of n by the design effect. Source: E. B. Wilson, JASA 22, 1927.

    Args:
        verdicts: whether each episode succeeded.
        tasks: the number of each one's task, from 0 without gaps; None: no task repeats.

    >>> [round(part, 4) for part in wilson([True] * 8 + [False] * 2)]
    [0.8, 0.4902, 0.9433, 10]
    """
    n = len(verdicts)
    if n == 0:
        return Rate(0.0, 0.0, 1.0, 0)
    mean = sum(verdicts) / n
    m = n if tasks is None else n / design_effect(np.array(verdicts, dtype=bool), np.array(tasks))
    scale = 1 + _Z95**2 / m
    middle = (mean + _Z95**2 / (2 * m)) / scale
    half = _Z95 * math.sqrt(mean * (1 - mean) / m + _Z95**2 / (4 * m * m)) / scale
    low = middle - half if mean > 0 else 0.0  # exact, which the subtraction is not
    high = middle + half if mean < 1 else 1.0
    return Rate(mean, low, high, n)


def pass_at_k(tasks: Sequence[Sequence[bool]], k: int) -> float:
    """Return the mean chance that one of k samples of a task succeeds, without bias.

    Tasks with fewer than k samples are left out. Source: Codex, arXiv:2107.03374, section 2.1.

    >>> pass_at_k([[True, False, False]], 2)
    0.6666666666666667
    """
    chances = [
        1 - math.comb(len(task) - sum(task), k) / math.comb(len(task), k)
        for task in tasks
        if len(task) >= k
    ]
    return sum(chances) / len(chances) if chances else 0.0
