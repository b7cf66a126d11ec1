import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from trained_run import make_trained_run

from agentgym.cli.view import _why_no_fork
from agentgym.store.episodes import read_heads
from agentgym.viewer.guard import Door
from agentgym.web.port import listen

WITHOUT = """
import importlib.abc, sys


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("starlette", "uvicorn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""


def test_the_viewer_is_offered(agentgym) -> None:
    assert "view" in agentgym("--help").out.split()
    assert "in a browser" in agentgym("view", "--help").out


@pytest.mark.parametrize("word", ["nowhere", "note.txt", "folder"])
def test_what_cannot_be_opened_says_what_to_do(agentgym, tmp_path: Path, word) -> None:
    (tmp_path / "note.txt").write_text("nothing of a run")
    (tmp_path / "folder").mkdir()
    done = agentgym("view", word)
    assert done.code in (1, 2)
    assert done.out == ""
    assert word in done.err
    assert "\nhint: " in done.err


@pytest.mark.parametrize(
    ("place", "page"),
    [
        ("", ""),
        ("#{episode}", "run/my-run/episode/{episode}"),
        ("#{episode}/1", "run/my-run/episode/{episode}?turn=1"),
        ("#{episode}/1/0", "run/my-run/episode/{episode}?view=tokens&turn=1&token=0"),
    ],
)
def test_an_address_leads_to_its_page(agentgym, tmp_path, monkeypatch, place, page) -> None:
    root = tmp_path / "my run"
    make_trained_run(root, steps=1)
    episode = next(iter(read_heads(root))).id
    opened = []

    def start(*_: object, on_start: Callable[[], None], **__: object) -> None:
        on_start()
        for each in threading.enumerate():
            if each.name == "browser":
                each.join()

    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("agentgym.viewer.serve.serve", start)
    word = "my%20run" + place.format(episode=episode) if place else "my run"
    done = agentgym("view", word, "--port", "0", "--open")
    assert done.code == 0, done.err
    (url,) = done.out.splitlines()
    address, _, token = url.partition("#token=")
    assert address.split("/", 3)[3] == page.format(episode=episode)
    # Others of this machine see the words that a browser is started with.
    (way,) = opened
    assert token not in way
    assert way.startswith(address.split("/run/")[0].rstrip("/") + "/open/")
    assert way.endswith(address.split("/", 3)[3])
    assert "no browser was found" in done.err
    assert agentgym("view", "my%20run#nobody").code == 1


def test_what_is_no_run_is_refused(agentgym, tmp_path: Path) -> None:
    done = agentgym("view")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: there is no folder runs/ here\nhint: name a run: agentgym view RUN\n"
    make_trained_run(tmp_path / "runs" / "one", steps=1)
    done = agentgym("view", "on")
    assert done.code == 2
    assert "hint: did you mean 'runs/one'?" in done.err


@pytest.mark.parametrize(
    ("wanted", "host", "why"),
    [
        (None, "127.0.0.1", None), (None, "::1", None), (True, "0.0.0.0", None),
        (None, "0.0.0.0", "open to other machines"), (False, "127.0.0.1", "--no-fork"),
    ],
)  # fmt: skip
def test_pages_fork_where_only_this_machine_connects_unless_told(wanted, host, why) -> None:
    told = _why_no_fork(wanted, Door(host, 7777))
    assert told is None if why is None else why in told


def test_a_port_that_is_taken_is_told(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "runs" / "one", steps=1)
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = agentgym("view", "--port", str(port))
    assert done.code == 1
    assert f"error: another program listens on port {port} of 127.0.0.1\n" in done.err
    assert "--port 0 takes any" in done.err


def test_without_the_extra_the_command_to_install_it_is_told(process, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "runs" / "one", steps=1)
    done = process("view", prefix=WITHOUT)
    assert done.code == 3
    assert "hint: pip install 'agentgym-framework[view]'" in done.err
