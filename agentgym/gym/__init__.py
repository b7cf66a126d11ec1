"""Gymnasium: importing this registers every environment, none of which is loaded before it is made.

Afterwards `gymnasium.make("agentgym/KeyDoor-v0", tier="hard")` works; without the import,
`gymnasium.make("agentgym.gym:agentgym/KeyDoor-v0")` does.
"""

from agentgym.errors import MissingError

try:
    import gymnasium  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingError(
        "agentgym.gym needs the package gymnasium",
        hint="pip install 'agentgym-framework[gym]'",
    ) from error

from agentgym.gym.actions import to_message, to_text
from agentgym.gym.env import TextEnv
from agentgym.gym.registry import register_all
from agentgym.gym.spaces import UnicodeText
from agentgym.gym.tokens import TokenEnv

__all__ = ["TextEnv", "TokenEnv", "UnicodeText", "register_all", "to_message", "to_text"]

register_all()
