"""Which limits hold for what, and what is left of them for the next call."""

import io
import tarfile

import pytest

from agentgym.sandbox import Limits, Sandbox, Status

pytestmark = pytest.mark.sandbox

SMALL = Limits(memory_bytes=32 << 20)
BURN = "import time\nbegan = time.process_time()\nwhile time.process_time() - began < 0.6: pass"


def archive(size: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo("big")
        info.size = size
        tar.addfile(info, io.BytesIO(bytes(size)))
    return file.getvalue()


def skip_without_groups(sandbox: Sandbox) -> None:
    if not sandbox.info.enforced["memory"].startswith("cgroup"):
        pytest.skip("no control groups here")


async def test_a_small_program_leaves_room_for_large_files(sandbox: Sandbox) -> None:
    assert (await sandbox.python("print(1)", limits=SMALL)).stdout == b"1\n"
    await sandbox.restore(archive(40 << 20))
    assert (await sandbox.python("print(1)", limits=Limits(pids=1))).stdout == b"1\n"
    await sandbox.write_file("/tmp/big", bytes(40 << 20))
    assert len(await sandbox.read_file("/tmp/big", max_bytes=64 << 20)) == 40 << 20
    assert len(await sandbox.snapshot()) > 40 << 20
    assert await sandbox.reset()
    assert (await sandbox.python("print(1)", limits=SMALL)).stdout == b"1\n"


async def test_limits_of_one_call_do_not_outlive_a_reset(sandbox: Sandbox) -> None:
    assert (await sandbox.python("print(1)", limits=SMALL)).stdout == b"1\n"
    assert await sandbox.reset()
    await sandbox.restore(archive(40 << 20))
    assert (await sandbox.python("print(len(bytes(100 << 20)))")).stdout == b"104857600\n"


async def test_files_can_be_had_of_a_sandbox_that_is_full(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.sandboxes.limiter._BUSY_S", 0.1)
    skip_without_groups(sandbox)
    limits = Limits(memory_bytes=128 << 20)
    async with await sandbox.session(limits=limits) as session:
        fill = (
            "held = bytearray(60 << 20)\n"
            "with open('/tmp/a', 'wb') as file:\n"
            "    for _ in range(40): held_size = file.write(bytes(1 << 20))\n"
        )
        assert (await session.python(fill)).status is Status.EXITED
        await sandbox.write_file("b", bytes(40 << 20))
        assert len(await sandbox.read_file("/tmp/a", max_bytes=64 << 20)) == 40 << 20
        saved = await sandbox.snapshot()
        await sandbox.restore(saved)
        result = await sandbox.python("print(1)", limits=limits)
        assert (result.status, result.stdout, result.sandbox_lost) == (Status.OOM, b"", False)
        assert (await sandbox.python("print(1)")).stdout == b"1\n"
        assert (await session.python("len(held)", limits=Limits())).stdout == b"62914560\n"
        assert (await session.python("len(held)")).session_ended
    assert await sandbox.reset()


async def test_too_much_cpu_time_ends_a_session(sandbox: Sandbox) -> None:
    session = await sandbox.session()
    await session.python("x = 1")
    result = await session.python(BURN, limits=Limits(cpu_s=0.3, wall_s=20))
    assert (result.status, result.session_ended) == (Status.CPU_LIMIT, True)
    assert session.ended
    with pytest.raises(ValueError, match="has ended"):
        await session.python("x")
    assert (await sandbox.python("print(1)")).stdout == b"1\n"


async def test_a_child_without_memory_ends_a_session(sandbox: Sandbox) -> None:
    skip_without_groups(sandbox)
    session = await sandbox.session()
    bomb = (
        "import os\n"
        "if not os.fork():\n"
        "    held = []\n"
        "    while True: held.append(bytearray(16 << 20))\n"
        "os.wait()"
    )
    result = await session.python(bomb, limits=Limits(memory_bytes=128 << 20))
    assert (result.status, result.session_ended) == (Status.OOM, True)
    assert session.ended
    assert (await sandbox.python("print(1)")).stdout == b"1\n"


async def test_nothing_need_be_kept_of_a_session(sandbox: Sandbox) -> None:
    async with await sandbox.session(limits=Limits(keep_output_bytes=0)) as session:
        result = await session.python("print('x' * 10)")
        assert (result.stdout, result.stdout_total) == (b"", 11)
        copies = await session.fork(20)
        assert (await copies[-1].python("1", limits=Limits())).stdout == b"1\n"
        await session.python("import socket; s = socket.socket()")
        with pytest.raises(ValueError, match="is a socket"):
            await session.fork()


async def test_the_largest_limits_are_taken(sandbox: Sandbox) -> None:
    most = {}
    for name, field in Limits.model_fields.items():
        (most[name],) = (each.le for each in field.metadata if hasattr(each, "le"))
    result = await sandbox.python("print(1)", limits=Limits(**most))
    assert (result.status, result.stdout) == (Status.EXITED, b"1\n"), result
