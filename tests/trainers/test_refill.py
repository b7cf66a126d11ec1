import pytest

from agentgym.table import StepTable
from agentgym.trainers.refill import Collected, refill
from agentgym.types import Group, Message, Step, Task, Trajectory


def make_group(number: int, *outcomes: float, end: str = "terminated") -> Group:
    task = Task("t")
    name = f"g{number:03d}"

    def play(member: int, outcome: float) -> Trajectory:
        step = Step(message=Message("assistant"), reward_terms={"outcome": outcome})
        return Trajectory(id=f"{name}.{member}", task=task, group_id=name, steps=[step], end=end)

    return Group(task, [play(*each) for each in enumerate(outcomes)])


async def collected(outcomes: list[tuple[float, ...]], *, groups: int, rounds: int) -> Collected:
    """Groups whose episodes have these outcomes, in the order in which they are drawn."""

    async def play(first: int, count: int) -> list[Group]:
        return [make_group(k, *outcomes[k]) for k in range(first, first + count)]

    def are_equal(table: StepTable):
        returns = table.per_trajectory(table.term("outcome")).reshape(-1, 2)
        return returns[:, 0] == returns[:, 1]

    return await refill(play, are_equal, groups=groups, max_refills=rounds)


def names(groups: list[Group]) -> list[str]:
    return [group.trajectories[0].group_id for group in groups]


@pytest.mark.parametrize(
    ("rounds", "chosen", "played"),
    [(0, [0, 1], 2), (1, [1, 2], 3), (2, [1, 2], 3)],
)
async def test_what_was_replaced_was_played_too(
    rounds: int, chosen: list[int], played: int
) -> None:
    found = await collected([(1, 1), (0, 1), (1, 0), (0, 1)], groups=2, rounds=rounds)
    assert names(found.groups) == [f"g{number:03d}" for number in chosen]
    assert names(found.played) == [f"g{number:03d}" for number in range(played)]


async def test_what_is_missing_at_last_is_made_up_of_equal_groups() -> None:
    found = await collected([(1, 1), (0, 0), (1, 0), (0, 0)], groups=2, rounds=1)
    assert names(found.groups) == ["g000", "g002"]
    assert len(found.played) == 4


async def test_groups_of_faults_alone_are_replaced_and_never_chosen() -> None:
    async def play(first: int, count: int) -> list[Group]:
        ends = {0: "error"}
        return [
            make_group(k, 0, 1, end=ends.get(k, "terminated")) for k in range(first, first + count)
        ]

    found = await refill(play, lambda table: table.terminated[::2] & False, groups=1, max_refills=1)
    assert names(found.groups) == ["g001"]
    assert names(found.played) == ["g000", "g001"]
