"""Check 18: Gymnasium's own checker is content with the environment."""

import asyncio
import importlib.util
import warnings
from typing import Any

from agentgym.check.report import Failed, NotChecked
from agentgym.check.subject import Subject
from agentgym.errors import AgentGymError
from agentgym.tools import on_thread

_FACE = "agentgym.gym:agentgym/Any-v0"
_TIMEOUT_S = 120.0


async def check_gymnasium(subject: Subject) -> str:
    """Make it by `gymnasium.make`, and let `check_env` look at it."""
    if importlib.util.find_spec("gymnasium") is None:
        raise NotChecked("gymnasium is missing", hint="pip install 'agentgym-framework[gym]'")
    await subject.episodes()
    async with asyncio.timeout(_TIMEOUT_S):
        await on_thread(lambda: _check(subject))
    return ""


def _check(subject: Subject) -> Any:
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about rendering and spaces, on our own face
        made = gymnasium.make(
            _FACE, config_class=subject.config_class, disable_env_checker=True, **subject.overrides
        )
        try:
            check_env(made.unwrapped, skip_render_check=True)
        except AgentGymError:
            raise
        except Exception as error:
            raise Failed(f"gymnasium's check_env: {type(error).__name__}: {error}") from error
        finally:
            made.close()
