"""Check 11: solving pays, silence does not. It catches broken verifiers and rewards for nothing."""

from collections.abc import Sequence
from statistics import fmean

from agentgym.check.report import Failed, NotChecked
from agentgym.check.subject import Subject
from agentgym.env import EnvConfig
from agentgym.types import Task, Trajectory

_TASKS_PER_SPLIT = 4
_EXPERT_RATE = 0.95  # chance may defeat the best player now and then


async def check_gold(subject: Subject) -> str:
    """Play some tasks of every split and tier with the expert, with silence and with chance."""
    silence, chance, gold = [], [], []
    has_expert = await subject.has_expert()
    for config in subject.tiers():
        tasks = await _some(subject, config)
        silence += await subject.rollouts(tasks, "scripted:noop", config=config)
        chance += await subject.rollouts(tasks, "scripted:random", config=config)
        if has_expert:
            gold += await subject.rollouts(tasks, "scripted", config=config)
    limit = subject.config_class.noop_score
    if mean(silence) > limit:
        raise Failed(
            f"silence scores {mean(silence):.3f} in the mean, more than noop_score = {limit:g}",
            hint="pay only for what was achieved, or declare noop_score",
        )
    told = f"silence {mean(silence):.3f}, chance {mean(chance):.3f}"
    if not has_expert:
        raise NotChecked(
            f"it declares no expert ({told})",
            hint="a scripted agent that solves every task proves that the reward can be earned",
        )
    _check_expert(subject, gold, mean(chance))
    return f"expert {mean(gold):.3f}, {told}, {len(gold)} tasks"


def mean(trajectories: Sequence[Trajectory]) -> float:
    """Return the mean outcome."""
    return fmean(trajectory.outcome for trajectory in trajectories)


def _check_expert(subject: Subject, gold: Sequence[Trajectory], chance: float) -> None:
    success = subject.config_class.success
    failed = [each for each in gold if each.outcome < success]
    if len(failed) > (1 - _EXPERT_RATE) * len(gold):
        one = failed[0]
        raise Failed(
            f"the expert reaches success = {success:g} in {len(gold) - len(failed)} of {len(gold)} "
            f"tasks; task {one.task_id} gave {one.outcome:g}, ended {one.end}/{one.reason}",
            hint="mend the expert, or what decides whether a task is solved",
        )
    if chance >= mean(gold):
        raise Failed(
            f"chance scores {chance:.3f}, the expert {mean(gold):.3f}",
            hint="an environment that chance solves teaches nothing; look at the reward",
        )


async def _some(subject: Subject, config: EnvConfig) -> list[Task]:
    tasks = [
        task
        for split in config.splits
        for task in await subject.tasks(config, split, number=_TASKS_PER_SPLIT)
    ]
    if not tasks:
        raise NotChecked("there are no tasks: see check 5")
    return tasks
