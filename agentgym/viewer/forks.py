"""Forks that the viewer starts: a process of `agentgym fork` for each, and what it tells.

The server itself writes no episode. It speaks with the process by lines of JSON (see
`agentgym.cli.fork_lines`), each of which bears a token that only the two of them know. Nothing
that came from a request is a word of a shell or an option: numbers are numbers, names are taken
from the index, and stand behind `--`.
"""

import json
import os
import secrets
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentgym.errors import ConfigError

MOST = 2
"""Processes at once."""

MOST_SAMPLES = 64
"""Samples of one fork."""

KEPT = 50
"""Forks of a server that are told of, the newest."""

_LONGEST_LINE = 1 << 24
_LONGEST_TEXT = 20_000  # characters of a message that pages get
_SPOKEN = 200  # turns of a person that are kept for pages that are opened anew
_LEAVE_S = 3.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to be played, looked up and checked."""

    root: Path
    run: str
    episode: str
    turn: int
    how: Literal["samples", "message"]
    samples: int = 1
    policy: str = "latest"
    """A step of a checkpoint, `latest`, or a policy of `POLICIES`."""

    def command(self) -> list[str]:
        """Return the words that start the process.

        Raises:
            ConfigError: the episode has a name that no command line can hold.
        """
        if "\0" in self.episode or not _is_writable(self.episode):
            raise ConfigError(f"{self.episode!r} cannot stand on a command line")
        if self.how == "message":
            how = ["--by-hand"]
        elif self.policy in POLICIES:
            how = [f"--samples={self.samples}", f"--model={self.policy}"]
        else:
            how = [f"--samples={self.samples}", f"--checkpoint={self.policy}"]
        words = ["fork", "--lines", f"--turn={self.turn}", *how, "--"]
        return [*_python(), "-m", "agentgym", *words, str(self.root), self.episode]


POLICIES = ("scripted", "scripted:random")
"""Besides checkpoints. Models behind a URL are for the command line: a page names no address."""


class ForkProcess:
    """One process, from its start to its end. Safe to use from several threads."""

    def __init__(self, wish: Wish) -> None:
        """Start it.

        Raises:
            ConfigError: it cannot be started.
        """
        self.id = secrets.token_urlsafe(9)
        self.wish = wish
        self._token = secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        self._told: Json = {"status": "running", "error": None, "hint": None, "group": None}
        self._children: list[Json] = []
        self._talk: deque[Json] = deque(maxlen=_SPOKEN)
        self._asked: Json | None = None
        self._refused: str | None = None
        self._errors: deque[str] = deque(maxlen=20)
        try:
            self._process = subprocess.Popen(
                wish.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the server, which ends it in good order
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"no process can be started: {error}") from error
        self._write({"token": self._token})
        self._complaining = threading.Thread(target=self._err, daemon=True)
        self._reading = threading.Thread(target=self._out, daemon=True)
        self._complaining.start()
        self._reading.start()

    @property
    def is_running(self) -> bool:
        """Whether there is more to come."""
        with self._lock:
            return bool(self._told["status"] == "running")

    def to_json(self) -> Json:
        """Return what it told so far."""
        with self._lock:
            return {
                "fork": self.id,
                "episode": self.wish.episode,
                "turn": self.wish.turn,
                "how": self.wish.how,
                "policy": "person" if self.wish.how == "message" else self.wish.policy,
                "done": len(self._children),
                "of": self.wish.samples,
                **self._told,
                "children": list(self._children),
                "talk": list(self._talk),
                "asked": self._asked,
                "refused": self._refused,
            }

    def say(self, text: str) -> None:
        """Give the answer of a person who is asked.

        Raises:
            ConfigError: nobody is asked.
        """
        with self._lock:
            if self._asked is None:
                raise ConfigError("no answer is waited for", hint="wait for the environment")
            self._talk.append({**self._asked, "said": text})
            self._asked, self._refused = None, None
        self._write({"say": text})

    def leave(self) -> None:
        """End it: what a person played is kept, samples that are not done are not."""
        with self._lock:
            self._asked = None
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def end(self, timeout_s: float) -> None:
        """Wait for the end, and make it if it does not come. Idempotent."""
        for stop in (None, self._process.terminate, self._process.kill):
            if stop is not None:
                stop()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
                break
        self._reading.join(timeout=1)

    def _write(self, line: Json) -> None:
        with suppress(OSError, ValueError):  # it has ended, which its output tells
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()

    def _out(self) -> None:
        """Take note of what it tells, until it ends."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            while line := lines.readline(_LONGEST_LINE):
                with suppress(ValueError, RecursionError):
                    told = json.loads(line)
                    if isinstance(told, dict) and told.get("token") == self._token:
                        self._hear(told)
        code = self._process.wait()
        self._complaining.join(timeout=1)
        self.leave()
        with self._lock:
            self._asked = None
            if self._told["status"] == "running":
                error = next((each for each in self._errors if each.startswith("error: ")), None)
                told = error.removeprefix("error: ") if error else f"it ended with code {code}"
                self._told |= {"status": "failed", "error": told}

    def _err(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            while line := lines.readline(4096):
                self._errors.append(line.decode("utf-8", "replace").strip())

    def _hear(self, told: Mapping[str, Any]) -> None:
        with self._lock:
            match told.get("event"):
                case "child":
                    self._children.append(
                        {key: told.get(key) for key in told if key not in ("token", "event")}
                    )
                case "asked":
                    self._asked = {
                        "turn": told.get("turn"),
                        "messages": [_shortened(each) for each in told.get("messages") or ()],
                        "tools": told.get("tools") or [],
                    }
                case "refused":
                    self._refused = str(told.get("error"))
                    if self._talk:
                        self._asked = self._talk.pop()
                        del self._asked["said"]
                case "done":
                    self._told |= {"status": "finished", "group": told.get("group")}
                case "failed":
                    failed = {"error": str(told.get("error")), "hint": told.get("hint")}
                    self._told |= {"status": "failed", **failed}


class Forks:
    """The processes of a server: at most two at once, all ended with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forks: dict[str, ForkProcess] = {}

    def start(self, wish: Wish) -> ForkProcess:
        """Start a process.

        Raises:
            ConfigError: two are running already, or it cannot be started.
        """
        with self._lock:
            if sum(each.is_running for each in self._forks.values()) >= MOST:
                hint = "wait for one to end, or end it"
                raise ConfigError(f"{MOST} forks are running already", hint=hint)
            fork = ForkProcess(wish)
            self._forks[fork.id] = fork
            for old in list(self._forks)[:-KEPT]:
                if not self._forks[old].is_running:
                    del self._forks[old]
        return fork

    def of(self, run: str) -> Sequence[ForkProcess]:
        """Return those of a run, in the order of their starts."""
        with self._lock:
            return [each for each in self._forks.values() if each.wish.run == run]

    def get(self, name: str) -> ForkProcess | None:
        """Return one by its id."""
        with self._lock:
            return self._forks.get(name)

    def close(self) -> None:
        """End all of them; what they recorded is kept. Idempotent."""
        with self._lock:
            running = [each for each in self._forks.values() if each.is_running]
        for each in running:
            each.leave()
        for each in running:
            each.end(_LEAVE_S)


def _python() -> list[str]:
    """Return what starts Python so that it imports from where this process does.

    `-m` would put the present folder first, and that may be a run of somebody else.
    """
    is_here_first = sys.path[0] in ("", os.getcwd())
    return [sys.executable, *([] if is_here_first else ["-P"])]


def _shortened(message: Any) -> Any:
    if not isinstance(message, dict):
        return {"role": "user", "content": str(message)[:_LONGEST_TEXT]}
    content = message.get("content")
    if isinstance(content, str) and len(content) > _LONGEST_TEXT:
        return {**message, "content": f"{content[:_LONGEST_TEXT]}\n[{len(content)} characters]"}
    return message


def _is_writable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
