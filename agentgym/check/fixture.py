"""A pytest plugin: the fixture `check_env`, for the tests of an environment.

def test_it_passes_every_check(check_env):
    check_env("me/Name-v0", strict=True)
"""

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from agentgym.check.checks import Level
    from agentgym.check.report import Report
    from agentgym.env import EnvConfig


class CheckEnv(Protocol):
    """What the fixture gives."""

    def __call__(
        self,
        env: "str | type[EnvConfig]",
        *,
        level: "Level" = "semantic",
        strict: bool = False,
        **settings: Any,
    ) -> "Report":
        """Check an environment, by reference or configuration, with fields of the latter.

        The test fails where a check does, or with `strict` also where one cannot say.
        """


@pytest.fixture
def check_env() -> CheckEnv:
    """Return the function that checks an environment."""
    return _check_env


def _check_env(
    env: "str | type[EnvConfig]",
    *,
    level: "Level" = "semantic",
    strict: bool = False,
    **settings: Any,
) -> "Report":
    from agentgym.envs import ENVS
    from agentgym.loading import load_env

    config_class = load_env(env, ENVS) if isinstance(env, str) else env
    report = asyncio.run(_checked(config_class, level, settings))
    if not report.ok or (strict and not report.is_complete):
        pytest.fail(str(report), pytrace=False)
    return report


async def _checked(
    config_class: "type[EnvConfig]", level: "Level", settings: dict[str, Any]
) -> "Report":
    from agentgym.check.checks import at_level, check_env as check
    from agentgym.sandboxes.local import LocalSandboxConfig

    async with LocalSandboxConfig().build() as sandboxes:
        return await check(
            config_class,
            overrides=settings,
            sandboxes=sandboxes if config_class.needs_sandbox else None,
            checks=at_level(level),
        )
