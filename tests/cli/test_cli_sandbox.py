"""Images are built, and sandboxes seen and removed, also those of a process that was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from image_cache import own_image_cache

from agentgym.errors import AgentGymError
from agentgym.sandboxes import cgroups
from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.images import build, tag

pytestmark = pytest.mark.sandbox

HOST = """
import asyncio, sys
from agentgym.sandboxes import BACKENDS

async def main():
    settings = BACKENDS[sys.argv[1]]().model_copy(update={"spares": 0, "image": sys.argv[2]})
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        print(sandbox.id, flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[Path]:
    """A folder for images that users of sandboxes may enter."""
    with own_image_cache() as folder:
        yield folder


@pytest.fixture
def host() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start processes that hold a sandbox each, and end them."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOST, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_an_image_is_built_and_named(agentgym) -> None:
    done = agentgym("sandbox", "build", "--local", "--json")
    assert done.code == 0, done.err
    (row,) = done.json
    assert (row["name"], row["docker"]) == ("python", None)
    assert row["digest"].startswith("sha256:")
    assert Path(row["root"], "usr/bin/python3").exists()
    shown = agentgym("sandbox", "build", "python", "--local").out
    assert row["digest"][:19] in shown


def test_what_cannot_be_built_is_told(agentgym, tmp_path: Path, monkeypatch) -> None:
    unknown = agentgym("sandbox", "build", "ruby")
    assert (unknown.code, "known: python, shell, data" in unknown.err) == (2, True)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    no_engine = agentgym("sandbox", "build", "--docker")
    assert (no_engine.code, "no Docker engine answers" in no_engine.err) == (3, True)
    assert "systemctl start docker" in no_engine.err
    (tmp_path / "wheels").mkdir()
    no_wheels = agentgym("sandbox", "build", "data", "--local", "--wheels", "wheels")
    assert (no_wheels.code, "no wheels of numpy pandas" in no_wheels.err) == (3, True)
    assert "pip download" in no_wheels.err
    monkeypatch.setenv("PATH", "/nowhere")
    no_debian = agentgym("sandbox", "build", "--local")
    assert (no_debian.code, "use a Debian" in no_debian.err) == (3, True)


def test_without_an_engine_the_rest_is_listed(agentgym, monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    for command in ("ls", "reap"):
        done = agentgym("sandbox", command)
        assert done.code == 0
        assert "left out: docker: no Docker engine answers" in done.err
        assert done.out


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes control groups here")
def test_a_local_sandbox_is_seen_and_what_is_left_of_it_removed(agentgym, host) -> None:
    """Host and spawner are killed; something else keeps the group from being removed at once."""
    (built,) = agentgym("sandbox", "build", "--local", "--json").json
    plain = host("local", "")
    assert _only(agentgym("sandbox", "ls", "--json").json, owner=plain.pid)["image"] is None
    process = host("local", "python")
    held = _only(agentgym("sandbox", "ls", "--json").json, owner=process.pid)
    assert (held["backend"], held["owner_lives"]) == ("local", True)
    assert held["image"] == f"python@{built['digest']}"
    assert 0 <= held["age_s"] < 60
    assert held["memory_bytes"] > 100_000

    tops = cgroups.tops("agentgym")
    folders = [top / held["name"] for top in tops if (top / held["name"]).is_dir()]
    with subprocess.Popen(["sleep", "60"]) as sleep:
        try:
            for folder in folders:
                (folder / "cgroup.procs").write_text(str(sleep.pid))
            os.kill(int(held["name"].partition("-")[0]), signal.SIGKILL)
            process.kill()
            left = _until(lambda: _gone(agentgym("sandbox", "ls", "--json").json, held["name"]))
            assert left["owner_lives"] is False
            assert "agentgym sandbox reap" in agentgym("sandbox", "ls").out
            assert held["name"] not in agentgym("sandbox", "reap").out  # it is in use
        finally:
            sleep.kill()
    assert agentgym("sandbox", "reap").code == 0
    assert not any(folder.exists() for folder in folders)


def test_a_container_is_seen_and_removed_with_its_owner(agentgym, host) -> None:
    try:
        with Engine() as engine:
            build(engine)
    except AgentGymError as error:
        pytest.skip(f"{error} (hint: {error.hint})")
    process = host("docker", tag("python"))
    held = _only(agentgym("sandbox", "ls", "--json").json, owner=process.pid)
    assert (held["backend"], held["owner_lives"]) == ("docker", True)
    assert held["image"].startswith("agentgym/python:latest@sha256:")
    assert os.getuid() or held["memory_bytes"] > 100_000
    assert held["name"] not in agentgym("sandbox", "reap").out

    with Engine() as engine:
        marks = (engine.inspect(held["name"]) or {})["Config"]["Labels"]
        left = f"agentgym-test-{os.urandom(4).hex()}"
        engine.create(left, {"Image": tag("python"), "Cmd": ["true"], "Labels": marks})
        process.kill()
        process.wait()
        done = agentgym("sandbox", "reap", "--json")
        assert done.code == 0
        assert engine.inspect(left) is None
        _until(lambda: engine.inspect(held["name"]) is None)


def test_a_run_records_the_image_and_shows_it(agentgym) -> None:
    (built,) = agentgym("sandbox", "build", "--local", "--json").json
    words = ["agentgym/Code-v0", "-m", "scripted:teacher", "-n", "2", "sandbox.image=python"]
    done = agentgym("run", *words, "-o", "r")
    assert done.code == 0, done.err
    recorded = agentgym("show", "r", "--json").json["info"]["sandbox"]
    assert (recorded["backend"], recorded["image"]) == ("local", f"python@{built['digest']}")
    assert "uid" not in recorded["enforced"]
    assert f"sandbox local  python@{built['digest']}" in agentgym("show", "r").out
    assert agentgym("replay", "r", "--verify").code == 0


def test_what_a_killed_build_left_is_removed(agentgym, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym", "sandbox", "build", "--local"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    shelf = tmp_path / "agentgym/images"
    _until(lambda: list(shelf.glob(".new-*/image/root/usr/bin/*")))
    process.kill()
    process.wait()
    (left,) = shelf.glob(".new-*")
    assert {"kind": "image", "name": left.name} in agentgym("sandbox", "reap", "--json").json
    assert not left.exists()


def _only(rows: list[dict[str, Any]], *, owner: int) -> dict[str, Any]:
    (found,) = [row for row in rows if row["owner"] == owner]
    return found


def _gone(rows: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((row for row in rows if row["name"] == name and not row["owner_lives"]), None)


def _until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.02)
    return found
