"""The server as a process: it answers, tells what grows, and ends at once."""

import http.client
import json
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest

from agentgym.errors import ConfigError
from agentgym.viewer.guard import Door
from agentgym.viewer.runs import OpenRuns
from agentgym.viewer.serve import serve
from agentgym.web.port import PortError, listen

pytestmark = pytest.mark.slow


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


class Served(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    url: str

    @contextmanager
    def open(self, target: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest("GET", target, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        with closing(connection), connection.getresponse() as answer:
            yield answer

    def get(self, target: str, **headers: str) -> Answer:
        with self.open(target, **headers) as answer:
            return Answer(answer.status, answer.headers, answer.read())


@contextmanager
def served(root: Path, cache: Path, *words: str) -> Iterator[Served]:
    environment = {"XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin"}
    environment["TMPDIR"] = str(cache.parent)
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym", "view", str(root), "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        url = _told(process)
        yield Served(process, int(re.search(r":(\d+)/", url)[1]), url)
    finally:
        process.kill()
        process.communicate()


def _told(process: subprocess.Popen[str], within_s: float = 60) -> str:
    """Return the first line of a server; without one, what it said instead is the failure."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if waiting.select(within_s) else ""
    if line:
        return line.strip()
    process.kill()
    raise AssertionError(f"no address within {within_s} s: {process.communicate()[1]}")


def wait_for(served: Served, episodes: int) -> dict:
    stop = time.monotonic() + 30
    while time.monotonic() < stop:
        (run,) = json.loads(served.get("/api/runs").body)
        if run["episodes"] == episodes:
            return run
        time.sleep(0.05)
    raise AssertionError(f"the run has {run['episodes']} episodes, not {episodes}")


def test_a_run_is_served_tells_of_growth_and_ends_at_ctrl_c(trained, tmp_path) -> None:
    root = tmp_path / "run"
    shutil.copytree(trained, root, ignore=shutil.ignore_patterns("episodes"))
    (root / "episodes").mkdir()
    with served(root, tmp_path / "cache") as server:
        address, _, token = server.url.partition("#token=")
        assert (address, len(token)) == (f"http://127.0.0.1:{server.port}/", 32)
        with server.open("/api/tail") as tail:
            assert tail.headers["content-type"].startswith("text/event-stream")
            assert tail.headers["content-security-policy"]
            empty = {"run": "run", "episodes": 0, "step": 3, "status": "finished", "scalars": 0}
            assert _next(tail) == empty
            for path in (trained / "episodes").iterdir():
                shutil.copy(path, root / "episodes")
            assert _next(tail)["episodes"] == 39
            wait_for(server, 39)
            # Exactly these bytes, which no client would send.
            assert server.get("/static/../../../../etc/passwd").status == 404
            assert server.get("/api/runs", Host="evil.example").status == 421
            found = server.get("/api/runs/run/episodes/train-000000-000.0.0")
            assert json.loads(found.body)["id"] == "train-000000-000.0.0"
            started = time.monotonic()
            server.process.send_signal(signal.SIGINT)  # with a listener that would stay for ever
            out, err = server.process.communicate(timeout=20)
            assert time.monotonic() - started < 5
            assert (server.process.returncode, out) == (130, "")
            assert err == "1 run; Ctrl-C ends it\ninterrupted\n"


def _next(tail: http.client.HTTPResponse) -> dict:
    while not (line := tail.readline()).startswith(b"data: "):
        assert line
    return json.loads(line.removeprefix(b"data: "))


def test_a_file_is_served_as_a_run_that_goes_with_the_server(tmp_path) -> None:
    file = tmp_path / "talk.v2.jsonl"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    file.write_text(json.dumps({"messages": messages}) + "\n")
    with served(file, tmp_path / "cache") as server:
        run = wait_for(server, 1)
        assert (run["run"], run["status"]) == ("talk", "finished")
        folder = Path(run["path"]).parent
        assert (folder / "index").is_dir()
        found = json.loads(server.get("/api/runs/talk/episodes/line-1").body)
        assert found["steps"][0]["message"]["content"] == "Yes"
        server.process.send_signal(signal.SIGINT)
        _, err = server.process.communicate(timeout=20)
        assert err.startswith("1 episode of OpenAI messages")
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["talk.v2.jsonl"]


def test_the_address_is_told_before_any_run_is_looked_into() -> None:
    """Looking may import an environment, for which stdout is turned aside, of every thread."""
    done: list[str] = []

    class Runs(OpenRuns):
        def start(self) -> None:
            done.append("looked")
            raise KeyboardInterrupt

    with listen("127.0.0.1", 0) as taken:
        door = Door("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(KeyboardInterrupt):
            serve(Runs([]), taken, door, on_start=lambda: done.append("told"))
    assert done == ["told", "looked"]


def test_other_machines_need_the_token_that_was_printed(trained, tmp_path) -> None:
    with served(trained, tmp_path, "--host", "0.0.0.0") as server:
        token = server.url.partition("#token=")[2]
        assert server.get("/api/runs").status == 401
        assert server.get("/").status == 200  # the pages themselves, which take the token along
        assert server.get("/api/runs", Authorization=f"Bearer {token}").status == 200
        with server.open(f"/api/tail?token={token}") as tail:
            assert _next(tail)["run"] == "trained"


def test_a_port_that_is_taken_is_named_with_one_that_is_free() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"listens on port {port}") as caught:
            listen("127.0.0.1", port)
        free = int(re.search(r"--port (\d+)", caught.value.hint)[1])
        with listen("127.0.0.1", free) as other:
            assert other.getsockname()[1] == free


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 300, "\0"])
def test_an_address_of_no_machine_of_ours_is_refused(host) -> None:
    with pytest.raises(ConfigError):
        listen(host, 0)


def test_both_families_of_addresses_can_be_listened_on() -> None:
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        try:
            taken = listen(host, 0)
        except ConfigError:
            pytest.skip(f"this machine has no {host}")
        with taken:
            assert taken.family == family
