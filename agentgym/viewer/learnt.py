"""What training made of an episode, step by step: the ledger of its rewards, and who was trained.

Both look at the optimiser step that used it, and are left out, with the reason, where that cannot
be read.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from agentgym.errors import AgentGymError
from agentgym.store.episodes import episode_head, read_episode
from agentgym.store.frames import Head
from agentgym.viewer.ledger import ledger
from agentgym.viewer.noted import Noted
from agentgym.viewer.scene import TRAINED, parse_shaper
from agentgym.viewer.scenes import Scenes, read_plain
from agentgym.viewer.versions import ribbon

MOST_TOKENS = 200_000
"""Sampled by one episode whose ratios are computed: of more, versions alone are told."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """Both, as JSON values."""

    ledger: Mapping[str, Any] | None = None
    ribbon: list[dict[str, Any]] | None = None
    trouble: str | None = None
    """Why there is no ledger."""


def read_learnt(
    scenes: Scenes, head: Head, noted: Noted | None, *, parts: Collection[str]
) -> Learnt:
    """Return what became of an episode; `noted` is what the trainer noted of it.

    What is not among `parts`, `ledger` and `ribbon`, is left out.

    Raises:
        StoreError: its record is broken.
    """
    found, trouble = None, None
    try:
        found = read_ledger(scenes, str(head.fields["id"])) if "ledger" in parts else None
    except AgentGymError as error:
        trouble = str(error)
    versions = _ribbon(head, noted) if "ribbon" in parts else None
    return Learnt(ledger=found, ribbon=versions, trouble=trouble)


def _ribbon(head: Head, noted: Noted | None) -> list[dict[str, Any]]:
    is_small = (head.fields.get("tokens") or 0) <= MOST_TOKENS
    trajectory = read_episode(episode_head(head)) if is_small else read_plain(head)
    versions = ribbon(
        trajectory,
        trained=noted.version if noted else None,
        trainer_logprobs=noted.per_token("logprobs") if noted else None,
    )
    return [each.to_json() for each in versions]


def read_ledger(scenes: Scenes, name: str, *, shaping: str = TRAINED) -> dict[str, Any] | None:
    """Return the ledger of an episode as JSON values; None: it was paid nothing.

    Raises:
        ConfigError: there is no such shaper, or the run does not tell its own.
        StoreError: the optimiser step that used it cannot be read.
    """
    scene = scenes.of_episode(name)
    if name not in scene.table.trajectory_ids:
        return None
    return ledger(scene, name, shaper=parse_shaper(shaping)).to_json()
