"""How programs end, and what a sandbox is wiped of, whatever they did before."""

import pytest

from agentgym.sandbox import Sandbox, Status

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.stdout = None; sys.exit(5)",
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; print('said'); sys.stdout.close()",
        "import sys; sys.stdout = object(); sys.exit(3)",
        "import sys\nclass Out:\n  def flush(self): 1 / 0\nsys.stdout = Out()",
        "import sys\nclass Out:\n  def flush(self): pass\nsys.stdout = Out(); sys.exit(2)",
        "import os; print('x'); os.close(1)",
        "import sys; sys.exit('told')",
        "import sys; sys.exit(None)",
        "import sys; sys.exit(1.5)",
        "raise SystemExit(257)",
        "raise KeyError('x')",
    ],
)
async def test_a_fork_of_the_worker_ends_as_an_interpreter_does(
    sandbox: Sandbox, code: str
) -> None:
    warm = await sandbox.python(code)
    cold = await sandbox.exec(["python3", "-c", code])
    assert (warm.exit_code, warm.stdout) == (cold.exit_code, cold.stdout)
    assert warm.status is Status.EXITED


async def test_names_that_wiping_uses_are_in_nobodys_way(sandbox: Sandbox) -> None:
    saved = await sandbox.snapshot()
    await sandbox.python(
        "import os\n"
        "for number in range(40):\n"
        "    if number % 3: os.makedirs(f'/box/.{number}/a/b/.0/.1'); open(f'/box/.{number}/f', 'w')\n"
        "    else: open(f'/box/.{number}', 'w')\n"
    )
    await sandbox.restore(saved)
    assert (await sandbox.python("import os; print(os.listdir('/box'))")).stdout == b"[]\n"
    await sandbox.python(
        "import os\nfor root in ('/box', '/tmp', '/dev/shm'): os.makedirs(f'{root}/.1/.0/.0/.0/.0')"
    )
    assert await sandbox.reset()
