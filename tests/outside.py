"""A stranger's virtual environment, outside the repository, which sees what is installed here."""

import stat
import sys
import sysconfig
import venv
from pathlib import Path

PIP = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
"""Let pip build with what is here: pip reads 0 as "without isolation"."""


def make_venv(folder: Path) -> Path:
    """Make one, and return its folder of commands: python, pip, agentgym and pytest."""
    venv.create(folder, with_pip=False)
    commands = folder / "bin"
    site = next((folder / "lib").glob("python*/site-packages"))
    here = sysconfig.get_path("purelib")
    (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    python = commands / "python"
    for name in ("agentgym", "pytest"):
        _write(commands / name, f"exec {python} -m {name}")
    _write(commands / "pip", f"exec {sys.executable} -m pip --python {python}")
    return commands


def _write(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\n{command} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
