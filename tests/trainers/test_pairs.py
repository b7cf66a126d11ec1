from pathlib import Path

import pytest

from agentgym.errors import StoreError
from agentgym.store.episodes import EpisodeWriter
from agentgym.store.run import Run
from agentgym.trainers.pairs import Played, number_tasks, pair, result_of
from agentgym.types import Message, Step, Task, Trajectory


def played(task: str, member: int = 0, split: str = "test") -> Played:
    return Played(task, split, member, 0.0, 1, 0, None)


def test_pairs_are_of_the_same_task_split_and_member() -> None:
    a = [played("x"), played("x", 1), played("y"), played("z", split="train")]
    b = [played("z"), played("y"), played("x", 1), played("x", 2)]
    assert pair(a, b) == [(1, 2), (2, 1)]


def test_a_task_that_was_played_twice_is_paired_in_order() -> None:
    assert pair([played("x"), played("x")], [played("x"), played("x"), played("x")]) == [
        (0, 0),
        (1, 1),
    ]


def test_tasks_are_numbered_without_gaps() -> None:
    a = [played("x"), played("y"), played("x", 1), played("x", split="train")]
    assert number_tasks(a).tolist() == [0, 1, 0, 2]


def write(root: Path, *episodes: tuple[str, int, int, str], kind: str = "score") -> Run:
    """Write a run of (group, member, attempt, end)."""
    with Run.create(root, config_text="", command=[], seed=0) as run:
        run.update(kind=kind)
        for step in (10, 20):
            run.event("eval", step=step, mode="sampled")
    with EpisodeWriter(root) as writer:
        for group, member, attempt, end in episodes:
            writer.append(
                Trajectory(
                    id=f"{group}.{member}.{attempt}",
                    task=Task("t", id=group, env="me/E-v0", split="test"),
                    group_id=group,
                    member=member,
                    attempt=attempt,
                    steps=[Step(message=Message("assistant"), reward_terms={"outcome": attempt})],
                    end=end,
                )
            )
    return Run.open(root)


def test_an_attempt_that_failed_is_a_fault_only_where_no_other_came_through(tmp_path) -> None:
    found = result_of(
        write(
            tmp_path / "r",
            ("g0", 0, 0, "error"),
            ("g1", 0, 0, "terminated"),
            ("g0", 0, 1, "truncated"),
            ("g2", 0, 0, "error"),
            ("g2", 0, 1, "error"),
        )
    )
    assert found is not None
    assert [(each.task, each.outcome) for each in found.episodes] == [("g0", 1.0), ("g1", 0.0)]
    assert found.faults == 1
    assert (found.envs, found.splits) == (("me/E-v0",), ("test",))


def test_of_a_training_the_last_whole_evaluation_counts(tmp_path: Path) -> None:
    groups = [
        "train-000000-000",
        "eval-sampled-000010-000",
        "eval-sampled-000020-000",
        "eval-greedy-000020-000",
        "eval-sampled-000030-000",  # interrupted: no event says that it ended
    ]
    run = write(tmp_path / "r", *((group, 0, 0, "terminated") for group in groups), kind="train")
    found = result_of(run)
    assert found is not None
    assert [each.task for each in found.episodes] == ["eval-sampled-000020-000"]
    assert "after step 20" in found.which
    (tmp_path / "r" / "events.jsonl").unlink()
    assert result_of(run) is None


def test_a_run_without_a_whole_episode_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no whole episode"):
        result_of(write(tmp_path / "empty"))
    with pytest.raises(StoreError, match="only episodes that ended by a fault"):
        result_of(write(tmp_path / "r", ("g", 0, 0, "error")))
