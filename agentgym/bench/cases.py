"""What is measured: environments, their settings, and who plays them without agentgym."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_GYMNASIUM = "agentgym.bench.natives.gymnasium:native"
_TEXTARENA = "agentgym.bench.natives.textarena:native"
_BFCL = "agentgym.bench.natives.bfcl:native"


@dataclass(frozen=True, slots=True)
class Case:
    """One environment with some of its settings."""

    env: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    native: str | None = None
    """`pkg.mod:function`, from a configuration to a `Native`."""
    packages: tuple[str, ...] = ()
    """Needed beside those of the environment."""

    @property
    def name(self) -> str:
        """The id and the settings, as on the command line."""
        return " ".join([self.env, *(f"{key}={value}" for key, value in self.settings.items())])


CASES = (
    Case("agentgym/KeyDoor-v0"),
    Case("agentgym/Calculator-v0"),
    Case(
        "agentgym/Gymnasium-v0",
        {"env": "minigrid:MiniGrid-DoorKey-6x6-v0"},
        native=_GYMNASIUM,
        packages=("minigrid",),
    ),
    Case("agentgym/Gymnasium-v0", {"env": "FrozenLake-v1"}, native=_GYMNASIUM),
    Case("agentgym/Gymnasium-v0", {"env": "Blackjack-v1"}, native=_GYMNASIUM),
    Case("agentgym/TextArena-v0", native=_TEXTARENA),
    Case("agentgym/TextArena-v0", {"game": "TicTacToe-v0"}, native=_TEXTARENA),
    Case("agentgym/BFCL-v0", native=_BFCL),
    Case("agentgym/BFCL-v0", {"tier": "long_context"}, native=_BFCL),
    Case("agentgym/TextWorld-v0", native="agentgym.bench.natives.textworld:native"),
    Case("agentgym/ReasoningGym-v0", native="agentgym.bench.natives.reasoning_gym:native"),
)
