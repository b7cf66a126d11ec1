"""Removes what processes left that could not clean up: containers, and their control groups."""

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentgym.sandboxes import cgroups
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.owner import is_gone, is_known

logger = logging.getLogger(__name__)

_MOVING_IN_S = 10.0
_CONTAINER_ID = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?")


def reap(engine: Engine) -> list[str]:
    """Remove containers of ours whose owner is gone; return their names.

    Of owners of elsewhere nobody knows: theirs go when their deadline has passed. Whoever was killed between making a container and starting it left one that nothing ends.

    Raises:
        SandboxUnavailable: the engine does not answer.
    """
    folders = list(_group_folders())
    containers = engine.list(owner=None)
    dead = [each for each in containers if _is_dead(each["Labels"])]
    for each in dead:
        logger.info("removing container %s, which nobody owns", _name(each))
        engine.remove(each["Id"])
    _remove_groups(folders, {each["Id"] for each in containers})
    return [_name(each) for each in dead]


def _name(container: dict[str, Any]) -> str:
    return str((container["Names"] or [container["Id"]])[0]).lstrip("/")


def _is_dead(labels: dict[str, str]) -> bool:
    owner = labels["agentgym.owner"]
    if is_known(owner):
        return is_gone(owner)
    deadline = labels.get("agentgym.deadline", "")
    return deadline.isdigit() and int(deadline) < time.time()


def _group_folders() -> Iterator[Path]:
    """Groups of containers, whatever engine made them; looked for before the engine is asked."""
    for parent in cgroups.tops("agentgym", "agentgym.slice"):
        for path in parent.iterdir():
            if _CONTAINER_ID.fullmatch(path.name):
                yield path


def _remove_groups(folders: list[Path], known: set[str]) -> None:
    """An engine that is killed leaves the groups of its containers; those in use stay.

    A young one may be another engine's, of a container that has not moved in yet.
    """
    for path in folders:
        match = _CONTAINER_ID.fullmatch(path.name)
        if match and match[1] not in known:
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _MOVING_IN_S:
                    path.rmdir()
