"""What earlier versions recorded, written as it is written now."""

from typing import Any

from agentgym.config.layers import Layers
from agentgym.config.toml import KeyPath


def write_anew(layers: Layers) -> None:
    """Rewrite a recorded configuration in place; what is written as now stays as it is."""
    path: KeyPath = ("credit",)
    while isinstance(credit := layers.at(path), dict):
        _name_the_base(layers, path, credit)
        _leave_the_base_to_compat(layers, path, credit)
        path = (*path, "base")


def _name_the_base(layers: Layers, path: KeyPath, credit: dict[str, Any]) -> None:
    """The episode's part of GiGPO, now its `base`, had its settings beside those of the steps."""
    if "episode_stats" not in credit:
        return
    base = {
        "name": "dr_grpo" if credit.get("norm") == "mean_norm" else "grpo",
        "cross_steps": credit["episode_stats"] == "cross_steps",
        "singletons": credit.get("singletons", "zero"),
    }
    source = layers.source((*path, "episode_stats"), "")
    layers.forget((*path, "episode_stats"))
    layers.forget((*path, "singletons"))
    layers.put((*path, "base"), base, source)


def _leave_the_base_to_compat(layers: Layers, path: KeyPath, credit: dict[str, Any]) -> None:
    """GiGPO as verl-agent was recorded with the default base, which played no part."""
    default = {"name": "grpo", "cross_steps": False, "singletons": "zero"}
    if credit.get("name") == "gigpo" and credit.get("compat") and credit.get("base") == default:
        layers.forget((*path, "base"))
