"""Images: the same archive from the same ingredients, in both backends, and what is refused."""

import os
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_cache import own_image_cache

from agentgym.check.sandbox import Status as Became, check_sandbox, contract
from agentgym.errors import ConfigError, MissingError, SandboxUnavailable
from agentgym.sandbox import Sandbox, Status
from agentgym.sandboxes import images
from agentgym.sandboxes.docker import DockerSandboxConfig
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.images import build, digest, publish
from agentgym.sandboxes.images import Image, Recipe
from agentgym.sandboxes.local import LocalSandboxConfig

pytestmark = pytest.mark.sandbox

MINIMAL = Recipe(packages=("python3-minimal",))


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[Path]:
    """A folder for images that users of sandboxes may enter."""
    with own_image_cache() as folder:
        yield folder


@pytest.fixture(scope="module")
def image(cache: Path) -> Image:
    return images.build("python")


@pytest.fixture(scope="module")
def settings(local_settings: LocalSandboxConfig, image: Image) -> LocalSandboxConfig:
    return local_settings.model_copy(update={"image": image.name})


def test_the_same_ingredients_give_the_same_archive(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = images.make(MINIMAL)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = images.make(MINIMAL)
    assert first.root != second.root
    assert first.digest == second.digest


def test_every_user_may_read_it_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = os.umask(0o077)
    try:
        made = images.make(MINIMAL)
    finally:
        os.umask(before)
    there = [path for path in made.root.rglob("*") if not path.is_symlink()]
    assert {path.stat().st_mode & 0o777 for path in there if path.is_dir()} == {0o755}
    assert {path.stat().st_mode & 0o777 for path in there if path.is_file()} == {0o755, 0o644}


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small disk")
@pytest.mark.parametrize(("copied", "compiled"), [(0.5, 0), (1, 0.5)])
def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: float, compiled: float
) -> None:
    files = [path for path in images.make(MINIMAL).root.rglob("*") if not path.is_dir()]
    pages = {path: -(-path.lstat().st_size // 4096) for path in files}
    cached = sum(pages[path] for path in files if path.suffix == ".pyc")
    size = 4096 * int(copied * (sum(pages.values()) - cached) + compiled * cached)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", tmp_path], check=True)
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(MissingError, match="No space left on device") as caught:
            images.make(MINIMAL)
        assert "make room" in (caught.value.hint or "")
        assert list((tmp_path / "agentgym/images").iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_what_was_made_is_not_made_again(image: Image) -> None:
    made = image.root.stat().st_ctime_ns
    assert images.build("python") == image
    assert image.root.stat().st_ctime_ns == made
    assert images.find_all() == [image]


def test_nothing_in_an_image_gains_anything(image: Image) -> None:
    modes = [path.lstat().st_mode for path in image.root.rglob("*") if not path.is_symlink()]
    assert len(modes) > 1000
    assert not any(mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH) for mode in modes)
    assert os.stat("/usr/bin/su").st_mode & stat.S_ISUID  # of which there is a copy
    assert (image.root / "usr/bin/su").exists()


async def test_a_local_sandbox_has_the_image_in_the_place_of_this_machine(
    settings: LocalSandboxConfig, image: Image
) -> None:
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        assert sandbox.info.image == sandboxes.info.image == f"python@{image.digest}"
        there = await sandbox.python("import os; print(*sorted(os.listdir('/usr/bin')))")
        assert set(there.stdout.decode().split()) == set(os.listdir(image.root / "usr/bin"))
        assert set(os.listdir("/usr/bin")) - set(there.stdout.decode().split())
        awk = await sandbox.exec(["sh", "-c", "echo a b | awk '{print $2}'"])
        assert (awk.stdout, awk.stderr) == (b"b\n", b"")
        refused = await sandbox.python("open('/usr/x', 'w')")
        assert b"Read-only file system" in refused.stderr


async def test_a_local_sandbox_of_an_image_keeps_the_contract(settings: LocalSandboxConfig) -> None:
    rows = [row for row in contract.ROWS if row.cost == "quick"]
    report = await check_sandbox(settings, rows=rows)
    assert len(report.findings) > 5
    assert [each for each in report.findings if each.status is not Became.CONTAINED] == []


def test_an_engine_knows_an_image_by_the_same_digest(
    image: Image, docker_settings: DockerSandboxConfig
) -> None:
    name = "agentgym/test-digest:latest"
    with Engine(docker_settings.base_url) as engine:
        first = publish(engine, image, name)
        try:
            assert digest(engine.image(name)) == image.digest
            assert publish(engine, image, name) == build(engine, name) == first
        finally:
            engine._client.remove_image(name)


async def test_wheels_of_a_folder_are_there_for_every_interpreter(
    local_settings: LocalSandboxConfig, tmp_path: Path
) -> None:
    _write_wheel(tmp_path, "probe/__init__.py", "probe/tests/test_it.py", "probe-1.data/scripts/p")
    recipe = Recipe(packages=images.RECIPES["python"].packages, wheels=("probe",))
    made = images.make(recipe, wheels=tmp_path)
    settings = local_settings.model_copy(update={"image": made.name})
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        await _prints(sandbox, "import probe, importlib.metadata as m; print(m.version('probe'))")
        missing = await sandbox.python("import probe.tests")
        assert b"No module named 'probe.tests'" in missing.stderr
    assert list(made.root.rglob("probe/__pycache__/*.pyc"))
    assert not list(made.root.rglob("probe-1.data"))


def test_a_wheel_replaces_nothing(tmp_path: Path) -> None:
    _write_wheel(tmp_path, "os.py")
    recipe = Recipe(packages=MINIMAL.packages, wheels=("probe",))
    with pytest.raises(ConfigError, match=r"probe-1-py3-none-any\.whl would replace .*/os\.py"):
        images.make(recipe, wheels=tmp_path)


def test_what_is_missing_is_named_with_its_mend(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="not installed: no-such-package") as no_package:
        images.make(Recipe(packages=("no-such-package",)))
    assert no_package.value.hint == "apt-get install no-such-package"
    recipe = Recipe(packages=MINIMAL.packages, wheels=("probe",))
    with pytest.raises(MissingError, match=f"no wheels of probe .* in {tmp_path}") as no_wheel:
        images.make(recipe, wheels=tmp_path)
    assert "pip download" in (no_wheel.value.hint or "")


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(MissingError, match="Not a directory") as caught:
        images.make(MINIMAL)
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")


async def test_an_image_that_was_not_built_is_named(local_settings: LocalSandboxConfig) -> None:
    for name in ("no-image", "../python", "/usr"):
        settings = local_settings.model_copy(update={"image": name})
        async with settings.build() as sandboxes:
            with pytest.raises(SandboxUnavailable, match=f"no image '{name}'") as caught:
                await sandboxes.probe()
        assert "agentgym sandbox build" in (caught.value.hint or "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives sandboxes another user")
async def test_an_image_in_a_closed_folder_is_explained(
    settings: LocalSandboxConfig, cache: Path
) -> None:
    os.chmod(cache, 0o700)
    try:
        async with settings.build() as sandboxes:
            with pytest.raises(SandboxUnavailable, match="may not look") as caught:
                await sandboxes.probe()
            assert "XDG_CACHE_HOME" in (caught.value.hint or "")
            os.chmod(cache, 0o755)
            assert (await sandboxes.probe()).image
    finally:
        os.chmod(cache, 0o755)


@pytest.mark.soak
@pytest.mark.parametrize("backend", ["local", "docker"])
async def test_numpy_and_pandas_are_there_at_once(
    request: pytest.FixtureRequest, backend: str
) -> None:
    try:
        made = images.build("data")
    except MissingError as error:
        pytest.skip(str(error))
    settings = request.getfixturevalue(f"{backend}_settings")
    name = made.name
    if backend == "docker":
        name = "agentgym/test-data:latest"
        with Engine() as engine:
            publish(engine, made, name)
            request.addfinalizer(lambda: _remove(name))
    settings = settings.model_copy(update={"image": name})
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        await _prints(sandbox, "import numpy, pandas.testing; print(numpy.ones(1).sum())")
        result = await sandbox.python("import pandas")
        assert result.wall_s < 3


def _remove(name: str) -> None:
    with Engine() as engine:
        engine._client.remove_image(name, force=True)


async def _prints(sandbox: Sandbox, code: str) -> None:
    """Check that it prints 1, wherever Python runs, and complains of nothing."""
    session = await sandbox.session()
    results = [
        await sandbox.python(code),
        await session.python(code),
        await sandbox.exec(["python3", "-c", code]),
        await sandbox.exec(["python3", "-I", "-S", "-c", code]),
    ]
    for result in results:
        assert (result.status, result.stderr) == (Status.EXITED, b"")
        assert result.stdout.strip() in (b"1", b"1.0")


def _write_wheel(folder: Path, *files: str) -> None:
    with zipfile.ZipFile(folder / "probe-1-py3-none-any.whl", "w") as archive:
        for name in files:
            archive.writestr(name, "")
        about = "Metadata-Version: 2.1\nName: probe\nVersion: 1\n"
        archive.writestr("probe-1.dist-info/METADATA", about)
        kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr("probe-1.dist-info/WHEEL", kind)
        archive.writestr("probe-1.dist-info/RECORD", "")
