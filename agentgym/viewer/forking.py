"""The addresses of forks: what can be forked, a process that does it, and what it tells."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from starlette.responses import Response

from agentgym.errors import AgentGymError, ConfigError
from agentgym.rollout.forks import last_turn
from agentgym.store.frames import Head
from agentgym.store.run import Run
from agentgym.viewer.answers import json_answer
from agentgym.viewer.forks import MOST_SAMPLES, POLICIES, ForkProcess, Forks, Wish
from agentgym.viewer.lookup import find_episode, run_of
from agentgym.viewer.routes import Asked, NotFoundError, RefusedError, Route
from agentgym.viewer.runs import OpenRun, OpenRuns

_TOKENS = 256  # that are good at once; the oldest goes first
_GOOD_S = 3600.0
_STRANGER = (
    "forks are for who started the viewer: open the address that agentgym view printed, "
    "with its #token"
)
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.safetensors.index.json")


class Tokens:
    """Each lets one episode be forked once."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._good: dict[str, tuple[str, str, float]] = {}

    def make(self, run: str, episode: str) -> str:
        """Return a new one."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._good[token] = (run, episode, self._clock() + _GOOD_S)
            while len(self._good) > _TOKENS:
                del self._good[next(iter(self._good))]
        return token

    def use(self, token: object, run: str, episode: str) -> None:
        """Use one up, whatever comes of it.

        Raises:
            RefusedError: it is none, was used, is too old, or is of another episode.
        """
        with self._lock:
            found = self._good.pop(token, None) if isinstance(token, str) else None
        if found is None or found[:2] != (run, episode) or found[2] < self._clock():
            hint = "GET .../fork?episode=... gives one, which is good for one fork"
            raise RefusedError("the token is not good for this", hint=hint)


class CanFork(NamedTuple):
    """Whether an episode can be forked, and by whom."""

    why_not: str | None
    last: int
    """The last turn that it can be forked at."""
    checkpoints: list[int]


class Forking:
    """The handlers."""

    def __init__(self, runs: OpenRuns, forks: Forks, *, why_not: str | None = None) -> None:
        """`why_not` says why this server forks nothing; None: it does."""
        self._runs, self._forks, self._why_not = runs, forks, why_not
        self._tokens = Tokens()
        self.routes: Sequence[Route] = [
            Route("/api/runs/{run}/fork", self.offer),
            Route("/api/runs/{run}/fork", self.start, "POST"),
            Route("/api/runs/{run}/forks", self.list),
            Route("/api/runs/{run}/forks/{fork}", self.speak, "POST"),
        ]

    def offer(self, asked: Asked) -> Response:
        """What can be done at the turns of an episode, and a token to do it once."""
        run, name = run_of(self._runs, asked), asked.text("episode")
        found = self._can(run, find_episode(run, name))
        if not asked.is_owner:
            found = found._replace(why_not=found.why_not or _STRANGER)
        token = None if found.why_not else self._tokens.make(run.name, name)
        return json_answer(
            {
                "episode": name,
                "why_not": found.why_not,
                "last": found.last,
                "checkpoints": found.checkpoints,
                "policies": list(POLICIES),
                "most_samples": MOST_SAMPLES,
                "token": token,
            }
        )

    def start(self, asked: Asked) -> Response:
        """Start a process that forks an episode."""
        run, sent = run_of(self._runs, asked), asked.json()
        name = sent.get("episode")
        if not isinstance(name, str):
            raise ConfigError("say which episode is forked", hint='send {"episode", "turn", ...}')
        if self._why_not:
            raise RefusedError(self._why_not)
        self._tokens.use(sent.get("token"), run.name, name)
        head = find_episode(run, name)
        found = self._can(run, head)
        if found.why_not:
            raise RefusedError(found.why_not)
        fork = self._forks.start(_wish(run, str(head.fields["id"]), sent, found))
        return json_answer(fork.to_json(), status=201)

    def list(self, asked: Asked) -> Response:
        """The forks that this server started in a run, and how far they are."""
        run = run_of(self._runs, asked)
        run.index.refresh()  # so that a child that is told of can be opened
        return json_answer([each.to_json() for each in self._forks.of(run.name)])

    def speak(self, asked: Asked) -> Response:
        """Say the next message of a fork by hand, or end a fork."""
        fork, sent = self._fork(asked), asked.json()
        if sent.get("leave") is True:
            fork.leave()
        elif isinstance(said := sent.get("say"), str):
            fork.say(said)
        else:
            raise ConfigError("nothing is said", hint='send {"say": "..."} or {"leave": true}')
        return json_answer(fork.to_json())

    def _fork(self, asked: Asked) -> ForkProcess:
        run = run_of(self._runs, asked)
        fork = self._forks.get(asked.names["fork"])
        if fork is None or fork.wish.run != run.name:
            raise NotFoundError(f"no fork {asked.names['fork'][:40]!r} in {run.name}")
        return fork

    def _can(self, run: OpenRun, head: Head) -> CanFork:
        fields = head.fields
        last = last_turn(str(fields["end"]), str(fields["reason"]), int(fields["turns"]))
        return CanFork(
            why_not=self._why_not or _why_not(run, head, last),
            last=last,
            checkpoints=_checkpoints(run.root),
        )


def _why_not(run: OpenRun, head: Head, last: int) -> str | None:
    try:
        info = Run.open(run.root).info
    except AgentGymError as error:
        return str(error)
    if info.get("kind") == "import" or not head.fields["env"]:
        return "the episode was imported: there is no environment in which it could go on"
    return None if last >= 0 else "the episode has no turn to begin at"


def _wish(run: OpenRun, episode: str, sent: dict[str, Any], found: CanFork) -> Wish:
    """Return what was sent, as far as it is one of the things that are offered.

    Raises:
        ConfigError: it is not.
    """
    turn = _whole(sent, "turn", 0, found.last)
    how = sent.get("how")
    if how == "message":
        return Wish(root=run.root, run=run.name, episode=episode, turn=turn, how="message")
    if how != "samples":
        raise ConfigError(f"how is {str(how)[:40]!r}", hint='one of "samples" and "message"')
    policy = sent.get("policy", "latest")
    offered = [*map(str, found.checkpoints), *(["latest"] if found.checkpoints else []), *POLICIES]
    if policy not in offered:
        hint = f"there are: {', '.join(offered)}"
        raise ConfigError(f"nobody goes on who is called {str(policy)[:40]!r}", hint=hint)
    samples = _whole(sent, "samples", 1, MOST_SAMPLES, default=1)
    return Wish(
        root=run.root,
        run=run.name,
        episode=episode,
        turn=turn,
        how="samples",
        samples=samples,
        policy=str(policy),
    )


def _whole(
    sent: dict[str, Any], name: str, least: int, most: int, *, default: int | None = None
) -> int:
    value = sent.get(name, default)
    if type(value) is not int or not least <= value <= most:
        told = f"{name} is {str(value)[:40]!r}, expected a whole number from {least} to {most}"
        raise ConfigError(told)
    return value


def _checkpoints(root: Path) -> list[int]:
    """Return the steps of the checkpoints that have weights."""
    folders = (path for path in (root / "checkpoints").glob("[0-9]*") if path.name.isdecimal())
    return sorted(
        int(path.name)
        for path in folders
        if (path / "config.json").is_file() and any(any(path.glob(each)) for each in _WEIGHTS)
    )
