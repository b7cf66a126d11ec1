import pytest

from agentgym.envs.keydoor import KeyDoorConfig
from agentgym.errors import ConfigError, EnvError
from agentgym.rollout.collect import RolloutConfig
from agentgym.rollout.scripted import scripted_policies
from agentgym.store.episodes import EpisodeWriter, read_heads
from agentgym.trainers.episodes import Episodes, TaskStream
from agentgym.types import Task

ENV = KeyDoorConfig(max_turns=4)


class SameTask(KeyDoorConfig):
    def tasks(self, split):
        while True:
            yield Task("one", id="1")


class FewTasks(KeyDoorConfig):
    def tasks(self, split):
        yield from [Task("one", id="1"), Task("two", id="2")][: self.size and 0]


def jobs_of(stream, groups=3):
    return [job for n in range(groups) for job in stream.jobs(f"train-{n:03d}", group_size=2)]


def open_episodes(root, seen=None):
    return Episodes(
        root, env=ENV, rollout=RolloutConfig(), on_episode=None if seen is None else seen.append
    )


async def play(episodes, jobs):
    policies = scripted_policies("scripted:random")
    return await episodes.collect(jobs, make_policy=policies, policy_name="random")


async def test_a_completed_episode_is_taken_from_the_record_and_not_repeated(tmp_path):
    first = open_episodes(tmp_path)
    jobs = jobs_of(TaskStream(ENV, seed=1))
    before = await play(first, jobs[:3])
    first.close()
    seen = []
    second = open_episodes(tmp_path, seen)
    after = await play(second, jobs)
    second.close()
    assert [trajectory.id for trajectory in after] == [job.id for job in jobs]
    assert after[:3] == before
    assert [trajectory.id for trajectory in seen] == [job.id for job in jobs[3:]]
    assert len(list(read_heads(tmp_path))) == len(jobs)


async def test_a_slot_that_only_has_faults_is_tried_again_under_another_attempt(tmp_path):
    (job,) = jobs_of(TaskStream(ENV, seed=1), groups=1)[:1]
    first = open_episodes(tmp_path)
    (trajectory,) = await play(first, [job])
    first.close()
    broken = tmp_path / "broken"
    broken.mkdir()
    trajectory.end = "error"
    writer = EpisodeWriter(broken)
    writer.append(trajectory)
    writer.close()
    second = open_episodes(broken)
    (again,) = await play(second, [job])
    second.close()
    assert (again.end != "error", again.attempt) == (True, 1)


async def test_an_episode_that_cannot_be_read_is_played_again(tmp_path):
    jobs = jobs_of(TaskStream(ENV, seed=1), groups=1)
    first = open_episodes(tmp_path)
    await play(first, jobs)
    first.close()
    head = list(read_heads(tmp_path))[-1]
    with head.frame.shard.open("r+b") as file:  # as a power cut leaves it
        file.seek(head.frame.body)
        file.write(bytes(head.frame.stop - head.frame.body))
    second = open_episodes(tmp_path)
    after = await play(second, jobs)
    second.close()
    assert [trajectory.attempt for trajectory in after] == [0, 1]


async def test_an_episode_of_another_task_does_not_count_for_a_slot(tmp_path):
    stream = TaskStream(ENV, seed=1)
    (job,) = stream.jobs("train-000", group_size=1)
    (other,) = stream.jobs("train-000", group_size=1)
    first = open_episodes(tmp_path)
    await play(first, [job])
    first.close()
    second = open_episodes(tmp_path)
    (found,) = await play(second, [other])
    second.close()
    assert (found.task, found.attempt) == (other.task, 1)


def test_tasks_come_in_order_and_a_skipped_stream_goes_on():
    whole, skipped = TaskStream(ENV, seed=3), TaskStream(ENV, seed=3)
    jobs = jobs_of(whole, groups=5)
    skipped.skip(2)
    rest = jobs_of(skipped, groups=3)
    assert [job.task for job in rest] == [job.task for job in jobs[4:]]
    assert [job.seed for job in rest] == [job.seed for job in jobs[4:]]
    assert whole.position == skipped.position == 5


def test_a_task_that_comes_again_has_other_seeds():
    stream = TaskStream(FewTasks(), seed=3)
    one, two, one_again = (stream.jobs("g", group_size=1)[0] for _ in range(3))
    assert one.task == one_again.task != two.task
    assert len({one.seed, two.seed, one_again.seed}) == 3


def test_a_task_that_comes_again_in_an_endless_split_has_other_seeds():
    stream = TaskStream(SameTask(), seed=3)
    jobs = [job for _ in range(3) for job in stream.jobs("g", group_size=2)]
    assert len({job.seed for job in jobs}) == 6
    skipped = TaskStream(SameTask(), seed=3)
    skipped.skip(2)
    assert [job.seed for job in skipped.jobs("g", group_size=2)] == [job.seed for job in jobs[4:]]


def test_what_making_tasks_raises_is_the_fault_of_the_environment():
    class RaisingTasks(KeyDoorConfig):
        def tasks(self, split):
            raise OSError("no data")

    with pytest.raises(EnvError, match=r"making the tasks of .* raised OSError: no data"):
        TaskStream(RaisingTasks(), seed=0).jobs("g", group_size=1)


def test_an_environment_without_training_tasks_is_an_error():
    with pytest.raises(ConfigError, match="no training tasks"):
        TaskStream(FewTasks(size=4), seed=0).jobs("g", group_size=1)
