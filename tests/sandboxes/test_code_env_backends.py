"""Code-v0 is the same environment whatever its programs run in."""

import pytest

from agentgym.config.run import RunConfig
from agentgym.env import first_tasks
from agentgym.envs.code import CodeConfig
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.scripted import scripted_policies
from agentgym.sandboxes.backend import PoolSettings
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.store.run import Run
from agentgym.trainers.trainer import train
from agentgym.types import Trajectory

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


async def played(settings: PoolSettings, policy: str) -> list[Trajectory]:
    config = CodeConfig()
    jobs = make_jobs(
        first_tasks(config, "test", number=12),
        group_size=1,
        run_seed=0,
        prefix="t",
        env=config.id,
    )
    async with settings.build() as sandboxes:
        return await collect(
            jobs, config=config, make_policy=scripted_policies(policy), sandboxes=sandboxes
        )


@pytest.mark.parametrize("policy", ["scripted", "scripted:teacher", "scripted:fuzz"])
async def test_observations_and_rewards_are_the_same_in_every_backend(
    local_settings: LocalSandboxConfig, docker_settings: DockerSandboxConfig, policy: str
) -> None:
    for here, there in zip(
        await played(local_settings, policy), await played(docker_settings, policy), strict=True
    ):
        assert list(here.messages) == list(there.messages)
        assert [step.reward_terms for step in here.steps] == [
            step.reward_terms for step in there.steps
        ]
        assert (here.end, here.reason) == (there.end, there.reason)


async def test_ten_steps_of_training_in_docker(
    docker_settings: DockerSandboxConfig, tmp_path
) -> None:
    config = RunConfig.model_validate(
        {
            "env": {"id": "agentgym/Code-v0", "tier": "easy"},
            "model": {"path": "tiny", "tiny": {"max_context": 256, "width": 32}},
            "rollout": {"groups": 2, "group_size": 4, "sampling": {"max_tokens": 32}},
            "warm_start": {"policy": "scripted:teacher", "episodes": 16, "steps": 20},
            "train": {"steps": 10},
            "sandbox": docker_settings.model_dump(),
        }
    )
    scalars = []
    async with config.sandbox.build() as sandboxes:
        with Run.create(tmp_path / "run", config_text="", command=[], seed=1) as run:
            await train(
                config,
                run,
                env=config.env.config,
                sandboxes=sandboxes,
                on_step=lambda done, total, found: scalars.append(found),
            )
    assert len(scalars) == 10
    assert scalars[-1]["faults"] == 0
    assert scalars[-1]["sandbox/execs"] > 0
