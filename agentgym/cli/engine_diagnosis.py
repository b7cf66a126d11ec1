"""What `agentgym doctor` says of the Docker engine, which the sandbox `docker` needs."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.cli.diagnosis import MIN_FREE, Finding
from agentgym.errors import SandboxUnavailable

if TYPE_CHECKING:
    from agentgym.sandboxes.docker.engine import Engine

_LIMITS = {"memory": "MemoryLimit", "pids": "PidsLimit", "cpu": "CpuCfsQuota"}


def diagnose_engine() -> Iterator[Finding]:
    """Examine the engine; without one only the sandbox `docker` is missing."""
    from agentgym.sandboxes.docker.engine import Engine

    try:
        with Engine() as engine:
            info = engine.info()
            yield _engine(engine.url, info)
            yield _images(engine)
            yield from _disk(info)
    except SandboxUnavailable as error:
        yield Finding("docker engine", "warning", str(error), error.hint)


def _engine(url: str, info: Mapping[str, Any]) -> Finding:
    security = " ".join(info.get("SecurityOptions") or ())
    said = [
        f"{info.get('ServerVersion')} at {url}",
        f"cgroup v{info.get('CgroupVersion', 1)} by {info.get('CgroupDriver')}",
        "seccomp" if "name=seccomp" in security else "no seccomp",
        "rootless" if "name=rootless" in security else "as root",
    ]
    said += ["user namespace"] if "name=userns" in security else []
    unlimited = [kind for kind, key in _LIMITS.items() if not info.get(key)]
    mend = None
    if unlimited:
        said.append(f"no limit of {', '.join(unlimited)}")
        mend = "let the engine have these control groups: cgroup v2 and the systemd driver"
    if "name=seccomp" not in security:
        mend = "use an engine on Linux that was built with seccomp"
    return Finding("docker engine", "warning" if mend else "ok", ", ".join(said), mend)


def _images(engine: "Engine") -> Finding:
    from agentgym.sandboxes.docker.engine import NoSuchImage
    from agentgym.sandboxes.docker.images import tag
    from agentgym.sandboxes.images import RECIPES

    there = []
    for name in map(tag, RECIPES):
        try:
            engine.image(name)
        except NoSuchImage:
            continue
        there.append(name)
    if tag("python") in there:
        return Finding("docker images", "ok", ", ".join(there))
    detail = f"no {tag('python')}; there: {', '.join(there) or 'none of ours'}"
    return Finding("docker images", "warning", detail, "agentgym sandbox build --docker")


def _disk(info: Mapping[str, Any]) -> Iterator[Finding]:
    """Examine its disk, where that is one of this machine."""
    root = Path(info.get("DockerRootDir") or "/nowhere")
    try:
        free = shutil.disk_usage(root).free
    except OSError:
        return
    detail = f"{free / 2**30:.1f} GiB free at {root}"
    mend = None if free >= MIN_FREE else "docker system df; docker system prune"
    yield Finding("docker disk", "ok" if mend is None else "warning", detail, mend)
