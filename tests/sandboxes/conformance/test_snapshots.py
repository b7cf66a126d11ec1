"""Snapshots: what is in the box comes back, and archives from anywhere may be hostile."""

import io
import os
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agentgym.check.sandbox.archives import tar
from agentgym.sandbox import Sandbox
from agentgym.sandboxes.pool import Pool

pytestmark = pytest.mark.sandbox

FILL = """
import os
os.makedirs("a/b"); os.makedirs("empty")
open("a/b/file", "wb").write(bytes(range(256)) * 5)
open("run", "w").write("#!/bin/sh\\necho ran"); os.chmod("run", 0o755)
open("a/" + "n" * 200, "w").write("long")
deep = "d" * 100 + "/" + "e" * 100; os.makedirs(deep); open(deep + "/f", "w").write("deep")
open("nothing", "w")
open(b"\\xff\\n", "w").write("odd")
os.utime("a/b/file", (1000, 1000))
os.symlink("/etc/passwd", "link"); os.mkfifo("pipe")
"""
LOOK = """
import os
for folder, folders, files in sorted(os.walk(".")):
    for name in sorted(folders + files):
        path = os.path.join(folder, name)
        found = os.lstat(path)
        content = open(path, "rb").read() if os.path.isfile(path) and not os.path.islink(path) else b""
        mtime = int(found.st_mtime) if os.path.isfile(path) else 0
        print(ascii(path), oct(found.st_mode), mtime, content)
"""


async def look(sandbox: Sandbox) -> bytes:
    result = await sandbox.python(LOOK)
    assert result.exit_code == 0, result.stderr
    return result.stdout


async def test_what_was_there_comes_back_in_another_sandbox(sandboxes: Pool) -> None:
    async with sandboxes.lease() as first, sandboxes.lease() as second:
        assert (await first.python(FILL)).exit_code == 0
        blob = await first.snapshot()
        await first.python("import os; os.remove('link'); os.remove('pipe')")
        await second.write_file("other", b"goes away")
        await second.restore(blob)
        assert await look(second) == await look(first)
        assert (await second.exec(["./run"])).stdout == b"ran\n"
        await first.write_file("run", b"changed")
        assert (await second.exec(["./run"])).stdout == b"ran\n"
        assert await second.snapshot() == blob


async def test_an_archive_is_one_of_tar(sandbox: Sandbox) -> None:
    await sandbox.python(FILL)
    with tarfile.open(fileobj=io.BytesIO(await sandbox.snapshot())) as tar:
        found = {member.name: member for member in tar}
        assert sorted(found) == sorted(
            (
                *("a", "a/b", "a/b/file", "a/" + "n" * 200, "empty", "nothing", "run"),
                *("d" * 100, "d" * 100 + "/" + "e" * 100, "d" * 100 + "/" + "e" * 100 + "/f"),
                os.fsdecode(b"\xff\n"),
            )
        )
        assert found["run"].mode == 0o755
        assert found["a/b/file"].mtime == 1000
        assert tar.extractfile("a/b/file").read() == bytes(range(256)) * 5  # type: ignore[union-attr]


async def test_an_empty_box_has_an_archive(sandbox: Sandbox) -> None:
    blob = await sandbox.snapshot()
    await sandbox.write_file("x", b"x")
    await sandbox.restore(blob)
    assert await look(sandbox) == b""


@pytest.mark.parametrize("make", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
async def test_archives_of_tar_are_unpacked(sandbox: Sandbox, make: int) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=make) as tar:
        for name in ("./here", "folder/" * 30 + "there"):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"ok"))
    await sandbox.restore(file.getvalue())
    assert await sandbox.read_file("here") == b"ok"
    assert await sandbox.read_file("folder/" * 30 + "there") == b"ok"


async def test_a_box_larger_than_asked_for_is_an_error(sandbox: Sandbox) -> None:
    await sandbox.write_file("big", bytes(100_000))
    with pytest.raises(ValueError, match="larger than 50000 bytes"):
        await sandbox.snapshot(max_bytes=50_000)
    assert len(await sandbox.snapshot(max_bytes=200_000)) > 100_000


async def test_a_full_box_fits_an_archive(sandbox: Sandbox) -> None:
    await sandbox.python("import os; open('big', 'wb').write(os.urandom(60 << 20))")
    blob = await sandbox.snapshot(max_bytes=64 << 20)
    await sandbox.restore(blob)
    assert await sandbox.snapshot() == blob


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_archive_breaks_the_reader(data: st.DataObject) -> None:
    from agentgym.sandboxes.inside.archive import _entries

    blob = bytearray(tar(("a", b"x" * 600), ("b" * 150, b"y")))
    for _ in range(data.draw(st.integers(1, 6))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        entries = list(_entries(memoryview(blob)))
    except ValueError:
        return
    for name, mode, _, _, at, size in entries:
        assert not name.startswith(b"/")
        assert b".." not in name.split(b"/")
        assert mode == mode & 0o777
        assert 0 <= at <= at + size <= len(blob)
