"""The examinations of `agentgym doctor`."""

import asyncio
import importlib.metadata
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from agentgym.errors import AgentGymError, MissingError

_CORE = ("numpy", "pydantic", "rich", "tomlkit", "typer", "docstring-parser", "backports.zstd")
_TRAIN = ("torch", "transformers", "jinja2", "tensorboard")
MIN_FREE = 2 << 30
"""Bytes; with less, a disk is as good as full."""
_SYSCTLS: dict[str, Callable[[str], bool]] = {
    "/proc/sys/user/max_user_namespaces": lambda value: int(value) > 0,
    "/proc/sys/kernel/unprivileged_userns_clone": lambda value: int(value) == 1,
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": lambda value: int(value) == 0,
}

_CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


class Finding(NamedTuple):
    """One examined thing."""

    name: str
    status: Literal["ok", "warning", "missing"]
    detail: str
    mend: str | None = None


def diagnose() -> list[Finding]:
    """Examine this machine; takes about a second."""
    from agentgym.cli.engine_diagnosis import diagnose_engine

    return [
        _python(),
        *_packages(_CORE, needed=True),
        *_packages(_TRAIN, needed=False),
        _vllm(),
        *diagnose_kernel(),
        *_sandbox(),
        *diagnose_engine(),
        _accelerator(),
        *_disks(),
    ]


def diagnose_kernel() -> list[Finding]:
    """Examine what sandboxes need, without starting one."""
    return [_bubblewrap(), _namespaces(), _crashes()]


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("python", "ok", f"{version} at {sys.executable}")
    return Finding("python", "missing", version, "use Python 3.11 or 3.12")


def _packages(names: tuple[str, ...], *, needed: bool) -> Iterator[Finding]:
    extra = "" if needed else "[train]"
    for name in names:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            detail = "not installed" + ("" if needed else "; needed for training and local models")
            mend = f"pip install 'agentgym-framework{extra}'"
            yield Finding(name, "missing" if needed else "warning", detail, mend)


def _vllm() -> Finding:
    """Examine the version only; importing vLLM takes many seconds."""
    from agentgym.engines.vllm.versions import SUPPORTED, TRIED, check_installed

    try:
        version = check_installed()
    except MissingError as error:
        detail = 'not installed; needed for engine.name = "vllm"'
        return Finding("vllm", "warning", detail, error.hint)
    if version.startswith(SUPPORTED):
        return Finding("vllm", "ok", version)
    mend = "agentgym run ENV -m MODEL engine.name=vllm checks its interface as it starts"
    return Finding("vllm", "warning", f"{version}; tried were {TRIED}", mend)


def _bubblewrap() -> Finding:
    path = shutil.which("bwrap")
    if path is None:
        return Finding(
            "bubblewrap", "missing", "no bwrap in PATH", "apt-get install bubblewrap (as root)"
        )
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Finding("bubblewrap", "ok", f"{done.stdout.strip()} at {path}")


def _namespaces() -> Finding:
    for path, is_fine in _SYSCTLS.items():
        try:
            value = Path(path).read_text().strip()
        except OSError:
            continue
        if not is_fine(value):
            key = path.removeprefix("/proc/sys/").replace("/", ".")
            good = 0 if "restrict" in key else 1 if "clone" in key else 10000
            mend = f"sysctl -w {key}={good} (as root)"
            return Finding("user namespaces", "warning", f"{key} = {value}", mend)
    return Finding("user namespaces", "ok", "not restricted by the kernel's settings")


def _crashes() -> Finding:
    """Tell what the kernel starts, as root and outside of every sandbox, when a program crashes."""
    pattern = _CORE_PATTERN.read_text().strip() if _CORE_PATTERN.exists() else ""
    if pattern.startswith("|"):
        detail = f"kernel.core_pattern = {pattern}: a crash in a sandbox starts that as root"
        return Finding("crashes", "warning", detail, "sysctl -w kernel.core_pattern=core (as root)")
    return Finding("crashes", "ok", "start nothing on this machine")


def _sandbox() -> Iterator[Finding]:
    """Start a sandbox and run a program in it: there is no other proof."""
    from agentgym.sandboxes.local import probe

    try:
        info = asyncio.run(probe())
    except AgentGymError as error:
        yield Finding("sandbox", "missing", str(error), error.hint)
        return
    yield Finding("sandbox", "ok", f"{info.backend} runs programs, protected by {info.protected}")
    weak = [
        name for name in ("memory", "pids", "cpu") if "cgroup" not in info.enforced.get(name, "")
    ]
    detail = ", ".join(f"{name} {how}" for name, how in sorted(info.enforced.items()))
    if weak:
        detail += f"; {', '.join(weak)} hold per process only"
    mend = "systemd-run --user --scope -p Delegate=yes agentgym ..." if weak else None
    yield Finding("limits", "warning" if weak else "ok", detail, mend)


def _accelerator() -> Finding:
    try:
        import torch
    except ImportError as error:
        mend = "pip install 'agentgym-framework[train]'"
        return Finding("accelerator", "warning", f"torch cannot be imported: {error}", mend)
    if not torch.cuda.is_available():
        built = torch.version.cuda or "without CUDA"
        return Finding(
            "accelerator", "ok", f"none: CPU with {torch.get_num_threads()} threads, torch {built}"
        )
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding("accelerator", "ok", f"{', '.join(names)}, CUDA {torch.version.cuda}")


def _disks() -> Iterator[Finding]:
    for name, path in (("disk", Path.cwd()), ("temporary files", Path("/tmp"))):
        try:
            free = shutil.disk_usage(path).free
        except OSError as error:
            yield Finding(name, "warning", f"{path}: {error.strerror}")
            continue
        detail = f"{free / 2**30:.1f} GiB free at {path}"
        mend = None if free >= MIN_FREE else "free some space, or run elsewhere"
        yield Finding(name, "ok" if mend is None else "warning", detail, mend)
