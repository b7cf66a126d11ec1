"""Every environment of the table passes every check, and survives random and hostile play."""

import asyncio
import gc
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agentgym.check.fixture import CheckEnv
from agentgym.env import EnvConfig, first_tasks
from agentgym.envs import ENVS
from agentgym.loading import load_env
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.replay import replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.store.episodes import EpisodeWriter, read_episodes
from agentgym.types import Trajectory

_TOLERATED_FILES = 4  # that a library opens once and for all


def needing(name: str) -> list[pytest.MarkDecorator]:
    config = load_env(name, ENVS)
    return [pytest.mark.sandbox] if config.needs_sandbox else []


EVERY = [pytest.param(name, marks=[pytest.mark.slow, *needing(name)]) for name in sorted(ENVS)]


def load(name: str) -> type[EnvConfig]:
    config = load_env(name, ENVS)
    for package in config.packages:
        if find_spec(package) is None:
            pytest.skip(f"{name} needs the package {package}")
    return config


@asynccontextmanager
async def sandboxes_of(config: type[EnvConfig]) -> AsyncIterator[Any]:
    if not config.needs_sandbox:
        yield None
        return
    async with LocalSandboxConfig().build() as sandboxes:
        yield sandboxes


@pytest.mark.parametrize("name", EVERY)
def test_it_passes_every_check(name: str, check_env: CheckEnv) -> None:
    check_env(load(name), strict=True)


async def play(name: str, policy: str, number: int, folder: Path) -> list[Trajectory]:
    """Record episodes, replay all of them from the record, and return them."""
    config = load(name)()
    tasks = first_tasks(config, "train", number=number)
    tasks = (tasks * (number // len(tasks) + 1))[:number]
    jobs = make_jobs(tasks, group_size=1, run_seed=7, prefix=policy, env=name)
    writer = EpisodeWriter(folder)
    async with sandboxes_of(type(config)) as sandboxes:
        await collect(
            jobs,
            config=config,
            make_policy=scripted_policies(policy),
            rollout=RolloutConfig(concurrency=16),
            sandboxes=sandboxes,
            on_episode=writer.append,
        )
        writer.close()
        found = list(read_episodes(folder))
        for trajectory in found:
            again = await replay(trajectory, config, sandboxes)
            assert again.differences == (), trajectory.id
    return found


def held() -> dict[str, int]:
    gc.collect()
    children = sum(
        len((task / "children").read_text().split()) for task in Path("/proc/self/task").iterdir()
    )
    return {
        "processes": children,
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "temporary": len(os.listdir(tempfile.gettempdir())),
    }


async def settles(before: dict[str, int]) -> dict[str, int]:
    """Return what there is more of than before, after some patience."""
    for _ in range(100):
        now = held()
        spare = {"files": _TOLERATED_FILES}
        more = {k: n - before[k] for k, n in now.items() if n > before[k] + spare.get(k, 0)}
        if not more:
            return {}
        await asyncio.sleep(0.1)
    return more


async def survives(name: str, number: int, tmp_path: Path) -> None:
    await play(name, "scripted:random", 2, tmp_path / "once")  # what is made once for all
    before = held()
    for policy in ("scripted:random", "scripted:fuzz"):
        found = await play(name, policy, number, tmp_path / policy.partition(":")[2])
        assert [each.reason for each in found if each.end == "error"] == []
        assert len(found) == number
    assert await settles(before) == {}


@pytest.fixture
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Let nobody else's temporary files be counted."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return lambda: folder


@pytest.mark.usefixtures("own_temporary_folder")
@pytest.mark.parametrize("name", EVERY)
async def test_random_and_hostile_play_raises_nothing_leaks_nothing_and_replays(
    name: str, tmp_path: Path
) -> None:
    await survives(name, 20, tmp_path)


@pytest.mark.soak
@pytest.mark.usefixtures("own_temporary_folder")
@pytest.mark.parametrize("name", EVERY)
async def test_a_thousand_random_and_hostile_episodes(name: str, tmp_path: Path) -> None:
    await survives(name, 1000, tmp_path)
