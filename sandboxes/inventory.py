"""The sandboxes there are on this machine, whoever made them, as the kernel and an engine tell."""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentgym.sandboxes import cgroups, images, owners
from agentgym.sandboxes.docker.engine import Engine, NoSuchImage
from agentgym.sandboxes.docker.images import digest
from agentgym.sandboxes.docker.owner import is_gone

_GROUP = re.compile(r"(\d+)-\d+-\d+\.\d+")
_MEMORY = ("memory.current", "memory.usage_in_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One sandbox, or what is left of one."""

    name: str
    backend: str
    owner: int | None
    """The process that has it; None: unknown."""
    owner_lives: bool
    age_s: float | None
    image: str | None
    """As name@digest; None: this machine itself."""
    memory_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """Return its fields."""
        return asdict(self)


def local() -> list[Held]:
    """Return local sandboxes by their control groups; where there are none, they are not seen."""
    folders = cgroups.tops("agentgym")
    names = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()}
    return [found for name in sorted(names) if (found := _local(name, folders))]


def docker(engine: Engine) -> list[Held]:
    """Return the containers of ours that an engine has.

    Raises:
        SandboxUnavailable: it does not answer.
    """
    known: dict[str, str] = {}
    return [_container(each, engine, known) for each in engine.list(owner=None)]


def _local(name: str, folders: list[Path]) -> Held | None:
    """Return what a group holds; None: it is no sandbox's, or one waits for the next there."""
    match = _GROUP.fullmatch(name)
    pids = sorted({pid for folder in folders for pid in _pids(folder / name)})
    gone = owners.is_gone(name)
    if not match or not (pids or gone):
        return None
    spawner = int(match[1])
    return Held(
        name=name,
        backend="local",
        owner={True: spawner, False: owners.parent(spawner), None: None}[gone],
        owner_lives=not gone,
        age_s=owners.age_s(pids[0]) if pids else None,
        image=_image_of(pids[-1]) if pids else None,
        memory_bytes=next(_memory(folder / name for folder in folders), None),
    )


def _container(found: Mapping[str, Any], engine: Engine, known: dict[str, str]) -> Held:
    labels = found["Labels"]
    pid = re.search(r":(\d+)-\d+$", labels["agentgym.owner"])
    state = (engine.inspect(found["Id"]) or {}).get("State", {})
    group = cgroups.of_process(state["Pid"], found["Id"]) if state.get("Pid") else None
    image = found["ImageID"]
    if image not in known:
        known[image] = _named(image, engine)
    return Held(
        name=found["Names"][0].lstrip("/") if found["Names"] else found["Id"],
        backend="docker",
        owner=int(pid[1]) if pid else None,
        owner_lives=not is_gone(labels["agentgym.owner"]),
        age_s=max(0.0, time.time() - found["Created"]),
        image=known[image],
        memory_bytes=next(_memory(group.folders), None) if group else None,
    )


def _named(image: str, engine: Engine) -> str:
    with contextlib.suppress(NoSuchImage):
        found = engine.image(image)
        names = found["RepoTags"] or ["<none>"]
        return f"{names[0]}@{digest(found)}"
    return image


def _image_of(pid: int) -> str | None:
    """Return the image whose /usr a process sees; None: the host's, or it may not be asked."""
    with contextlib.suppress(OSError):
        seen = os.stat(f"/proc/{pid}/root/usr")
        for image in images.find_all():
            if os.path.samestat(seen, (image.root / "usr").stat()):
                return str(image)
    return None


def _pids(group: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from map(int, (group / "cgroup.procs").read_text().split())


def _memory(groups: Iterable[Path]) -> Iterator[int]:
    for group in groups:
        for name in _MEMORY:
            with contextlib.suppress(OSError):
                yield int((group / name).read_text())
