"""Archives that want to leave the box, or to be larger than they look."""

import io
import tarfile
from collections.abc import Callable, Iterator

from agentgym.check.report import Failed
from agentgym.check.sandbox.judges import expect, expect_refused
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target

_MANY = 16_385


def tar(*entries: tuple[str, bytes], change: Callable[[tarfile.TarInfo], object] = id) -> bytes:
    """Return an archive of files, each header changed by `change`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _of_type(kind: bytes, link: str = "/etc/passwd") -> bytes:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, link, 0

    return tar(("evil", b""), change=change)


def _with(field: slice, value: bytes, *, mend: bool = False) -> bytes:
    """Return an archive with bytes of its first header replaced; `mend` its checksum."""
    blob = bytearray(tar(("x", b"")))
    blob[field] = value
    if mend:
        checksum = sum(blob[:148]) + 8 * 32 + sum(blob[156:512])
        blob[148:156] = b"%06o\0 " % checksum
    return bytes(blob)


def hostile() -> Iterator[tuple[str, bytes]]:
    """Name archives that must be refused, and make them."""
    for name, kind in (
        ("symbolic_link", tarfile.SYMTYPE),
        ("hard_link", tarfile.LNKTYPE),
        ("device", tarfile.CHRTYPE),
        ("block_device", tarfile.BLKTYPE),
        ("pipe", tarfile.FIFOTYPE),
        ("sparse", tarfile.GNUTYPE_SPARSE),
        ("pax_header", tarfile.XHDTYPE),
        ("global_header", tarfile.XGLTYPE),
        ("long_link", tarfile.GNUTYPE_LONGLINK),
    ):
        yield name, _of_type(kind)
    yield "absolute_name", tar(("/tmp/evil", b"x"))
    yield "way_up", tar(("a/../../tmp/evil", b"x"))
    yield "long_way_up", tar(("a/" * 80 + "../" * 90 + "tmp/evil", b"x"))
    yield "name_too_long", tar(("n" * 300, b"x"))
    yield "path_too_long", tar(("n/" * 2100, b""))
    yield "too_many", tar(*((str(n), b"") for n in range(_MANY)))
    yield "beyond_the_end", tar(("big", b"x" * 2000))[:1024]
    yield "huge_size", _with(slice(124, 136), b"77777777777\0", mend=True)
    yield "binary_size", _with(slice(124, 136), b"\x80" + b"\xff" * 11, mend=True)
    yield "negative_size", _with(slice(124, 136), b"-0000000001\0", mend=True)
    yield "broken_checksum", _with(slice(148, 156), b"0000000\0")
    yield "no_archive", b"hello" * 1000
    yield "half_a_block", b"x" * 100
    yield "nothing", b""


async def _refuse_all(target: Target) -> str:
    count = 0
    async with target.sandbox() as sandbox:
        await sandbox.write_file("mine", b"stays")
        for name, blob in hostile():
            await expect_refused(sandbox.restore(blob), f"the archive {name!r}")
            count += 1
        kept = await sandbox.read_file("mine")
        expect(kept == b"stays", "a refused archive changed what was there")
        tmp = await sandbox.python("import os; print(os.listdir('/tmp'))")
        expect(tmp.stdout == b"[]\n", f"an archive wrote into /tmp: {tmp.stdout!r}")
    return f"{count} archives refused"


async def _bomb(target: Target) -> str:
    many = tar(*((str(n), bytes(30 << 20)) for n in range(3)))
    async with target.sandbox() as sandbox:
        try:
            await sandbox.restore(many)
        except ValueError as error:
            return str(error)
        raise Failed("90 MiB fit into a box of 64")


async def _deep(target: Target) -> str:
    """Folders in folders, as deep as a name may be, and each name twice as file and folder."""
    deep = tar(("d/" * 1900 + "end", b"x"), ("a", b"x"), ("a/b", b"y"), ("a/b/c", b"z"))
    async with target.sandbox() as sandbox:
        try:
            await sandbox.restore(deep)
        except ValueError as error:
            return f"refused: {error}"
        return "unpacked"


async def _through_links(target: Target) -> str:
    async with target.sandbox() as sandbox:
        await sandbox.python("import os; os.symlink('/tmp', 'folder'); os.symlink('/tmp/f', 'f')")
        await sandbox.restore(tar(("folder/evil", b"x"), ("f", b"x")))
        tmp = await sandbox.python("import os; print(os.listdir('/tmp'))")
        expect(tmp.stdout == b"[]\n", f"it wrote through a link: {tmp.stdout!r}")
        return "links were replaced"


ROWS = (
    Row(name="hostile_archives", must="refused, and nothing changes", run=_refuse_all),
    Row(name="tar_bomb", must="what is larger than the box is refused", run=_bomb),
    Row(name="deep_archive", must="unpacked or refused, in good time", run=_deep),
    Row(name="archive_through_links", must="no link that is there is followed", run=_through_links),
)
