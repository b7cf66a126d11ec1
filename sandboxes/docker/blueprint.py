"""What the containers of one pool have in common: made of the configuration, engine and image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentgym.errors import SandboxUnavailable
from agentgym.sandbox import Limits, SandboxInfo
from agentgym.sandboxes import bundle
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.images import digest
from agentgym.sandboxes.docker.owner import owner
from agentgym.sandboxes.docker.specification import Specification, closed_to
from agentgym.sandboxes.machine import ENVIRONMENT
from agentgym.sandboxes.seccomp.profile import build_profile

if TYPE_CHECKING:
    from agentgym.sandboxes.docker import DockerSandboxConfig

_NEWER_NAMES = {"arm64": "aarch64", "amd64": "x86_64"}
_COMPILE = f"import _ctypes,_socket\n{bundle.COMPILE}"
_PARENTS = {"systemd": "agentgym.slice"}  # by the engine's driver of control groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything that is known before the first container is made."""

    specification: Specification
    environment: Mapping[str, str]
    info: SandboxInfo
    python: str
    held: Limits | None
    """What the engine holds for a container; None where it cannot limit memory."""
    has_few_uids: bool
    """The engine is in a user namespace, which has 65536."""

    def container(self, uid: int, code: bytes) -> dict[str, Any]:
        """Return the request for a container that reads this code and runs it as its worker."""
        # -I would ignore the hash seed as well.
        boot = bundle.boot(len(code), self.environment)
        return self.specification.for_user(uid, [self.python, "-s", "-S", "-B", "-c", boot])

    def compiler(self, uid: int) -> dict[str, Any]:
        """Return the request for a container that compiles the worker with its interpreter."""
        return self.specification.for_user(uid, [self.python, "-I", "-S", "-c", _COMPILE])

    def compiled(self, output: bytes, complaint: bytes) -> bytes:
        """Return the worker from what the compiler wrote.

        Raises:
            SandboxUnavailable: the image has no Python that is fit for it.
        """
        code = bundle.finished(output)
        if code is None:
            raise self.explain(complaint)
        return code

    def explain(self, complaint: bytes) -> SandboxUnavailable:
        """Turn what the interpreter said before it ended into the reason and the mend."""
        said = complaint.decode("utf-8", "replace").strip() or "it said nothing"
        image = self.info.image
        if "No module named '_" in said:
            return SandboxUnavailable(
                f"the Python of image {image} cannot protect its worker: {said.splitlines()[-1]}",
                hint="install all of its standard library in the image: libpython3-stdlib",
            )
        return SandboxUnavailable(
            f"no worker started in image {image}: {said}",
            hint="choose an image with CPython 3.9 or later, named by `sandbox.python`, "
            "and see whether the engine is well: docker info",
        )


def draw_up(engine: Engine, config: "DockerSandboxConfig", run: str) -> Blueprint:
    """Ask the engine for what it can, and for the image.

    Raises:
        SandboxUnavailable: it cannot isolate, does not have the image, or does not answer.
    """
    host = engine.info()
    security = " ".join(host.get("SecurityOptions") or ())
    if host.get("OSType") != "linux" or "name=seccomp" not in security:
        raise SandboxUnavailable(
            f"the Docker engine at {engine.url} filters no system calls",
            hint="use an engine on Linux that was built with seccomp",
        )
    image = engine.image(config.image)
    variables = dict(line.partition("=")[::2] for line in image["Config"].get("Env") or ())
    environment = {**ENVIRONMENT, "PATH": variables.get("PATH") or ENVIRONMENT["PATH"]}
    machine = host["Architecture"]
    specification = Specification(
        image=image["Id"],
        environment=environment,
        without=sorted(variables.keys() - environment.keys()),
        closed=closed_to(image["Config"].get("Volumes") or ()),
        limits=config.limits,
        cpus=config.cpus,
        seccomp=build_profile(_NEWER_NAMES.get(machine, machine)),
        labels=_labels(run),
        cgroup_parent=_PARENTS.get(host.get("CgroupDriver", ""), "agentgym"),
        runtime=config.runtime,
    )
    return Blueprint(
        specification=specification,
        environment=environment,
        info=_info(host, f"{config.image}@{digest(image)}", runtime=config.runtime),
        python=config.python,
        held=config.limits if host.get("MemoryLimit") else None,
        has_few_uids="name=rootless" in security or "name=userns" in security,
    )


def _labels(run: str) -> dict[str, str]:
    return {"agentgym.run": run, "agentgym.owner": owner()}


def _info(host: Mapping[str, Any], image: str, *, runtime: str | None) -> SandboxInfo:
    """Say what the engine holds for the whole container, where it can."""
    seccomp = "filter" if runtime in (None, "runc") else "runtime"
    able = {"memory": "MemoryLimit", "pids": "PidsLimit", "cpu": "CpuCfsQuota"}
    enforced = {kind: "engine" if host.get(key) else "rlimit" for kind, key in able.items()}
    return SandboxInfo(
        backend="docker",
        enforced=enforced | {"seccomp": seccomp, "uid": "one for each"},
        protected="dumpable",
        image=image,
    )
