"""A machine that holds us to less than a program is offered."""

import resource
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.sandbox

PLAY = """
import asyncio
from agentgym.sandbox import Limits
from agentgym.sandboxes.local import LocalSandboxConfig

async def main():
    async with LocalSandboxConfig(spares=0).build() as sandboxes, sandboxes.lease() as sandbox:
        limits = Limits(open_files=4096, file_bytes=1 << 30, cpu_s=30)
        look = "import resource as r; print([r.getrlimit(k)[0] for k in (r.RLIMIT_NOFILE, r.RLIMIT_CPU)])"
        for result in (
            await sandbox.python(look, limits=limits),
            await sandbox.exec(["python3", "-c", look], limits=limits),
        ):
            print(result.exit_code, result.stdout.decode(), result.stderr.decode(), sep="|")

asyncio.run(main())
"""


def test_programs_run_under_what_there_is() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    done = subprocess.run(
        [sys.executable, "-c", PLAY], capture_output=True, text=True, timeout=60, preexec_fn=_limit
    )
    assert done.stdout == "0|[300, 20]\n|\n" * 2, done.stderr


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
