"""All replicas as one engine: who is asked, which weights are in use, who holds them still."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from agentgym.engines.served.answering import Refused
from agentgym.engines.served.holds import Holds, Mode
from agentgym.engines.served.orders import order, with_each
from agentgym.engines.served.process import ReplicaGone, Reply
from agentgym.engines.served.service import Limits
from agentgym.engines.served.sessions import Sessions
from agentgym.engines.served.supervised import Replica
from agentgym.engines.served.wire import SESSION, Generate, Weights
from agentgym.errors import AgentGymError, EngineError

_ATTEMPTS = 3  # to switch, where every replica dies meanwhile
_TEND_S = 1.0
_AGAIN_S = 1.0
_FIRST = Weights(folder=None, version=0, id="")
_PROBE = Generate(token_ids=[0], temperature=0.0, max_tokens=1, seed=0)
_PROBE_S = 30.0
_FAILING_S = 10.0  # of nothing but faults, until an engine is tried


class Fleet:
    """Replicas of one model. Every replica that is asked holds `weights`, and no other ones.

    A restarted replica loads them before it is asked. New weights are put in use by all or by
    none: while they are loaded nothing is decoded, requests wait in the engines and lose nothing.
    """

    def __init__(
        self,
        make: Callable[[Callable[[], None]], Sequence[Replica]],
        *,
        model_folder: str,
        limits: Limits,
        on_change: Callable[["Fleet"], None] = lambda fleet: None,
    ) -> None:
        """`make` returns the replicas, which call what it is given when their state changes."""
        self.weights = _FIRST
        self.facts: dict[str, Any] = {}
        """What the engines told of themselves; the same in all of them."""
        self.mode = Mode.RUNNING
        self._model_folder = model_folder
        self._limits = limits
        self._holds = Holds()
        self._sessions = Sessions()
        self._switching = 0
        self._changing = asyncio.Lock()  # weights or mode, or who is up
        self._news = asyncio.Event()
        self._tell = on_change
        self.replicas = make(self._on_change)

    @property
    def up(self) -> list[Replica]:
        """The replicas that can be asked."""
        return [each for each in self.replicas if each.is_up]

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return sum(each.in_flight for each in self.replicas)

    @property
    def restarts(self) -> int:
        """How often a replica was replaced."""
        return sum(each.restarts for each in self.replicas)

    async def run(self) -> None:
        """Keep the replicas alive; ends only by an error.

        Raises:
            EngineError: every replica was given up.
            ConfigError, MissingError: no engine can be started like this.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tend())
            for each in self.replicas:
                tasks.create_task(each.run(self._admit))

    async def forward(self, path: str, body: bytes, *, session: str | None) -> Reply:
        """Hand a request on, unread, and return the answer.

        Raises:
            Refused: too much is under way, or nobody is there to answer.
        """
        if self.in_flight >= self._limits.queue:
            told = f"{self.in_flight} requests are under way, which is the limit"
            raise Refused(429, told, kind="busy", after_s=_AGAIN_S)
        replica = self._route(session)
        headers = {} if session is None else {SESSION: session}
        replica.in_flight += 1
        try:
            reply = await replica.ask("POST", path, body=body, headers=headers)
            replica.note(reply.status)
            return reply
        except ReplicaGone as error:
            told = f"replica {replica.number} went away: {error}"
            raise Refused(503, told, kind="away", after_s=_AGAIN_S) from error
        finally:
            replica.in_flight -= 1

    async def release(self, session: str) -> None:
        """Forget a session, here and where it was served."""
        number = self._sessions.forget(session)
        if number is not None:
            await self._release([(number, session)])

    async def switch(self, asked: Weights) -> None:
        """Put weights in use; when this returns every replica holds them.

        Raises:
            Refused: they cannot be used, and those before still are; or the engines are asleep.
            EngineError: nobody is left.
        """
        self._switching += 1
        try:
            await self._put_in_use(asked)
        finally:
            self._switching -= 1
        await self._wait(
            lambda: all(each.state in ("up", "failed") for each in self.replicas),
            f"not every replica came up with the weights of version {asked.version}",
        )

    async def _put_in_use(self, asked: Weights) -> None:
        for _ in range(_ATTEMPTS):
            await self._wait(lambda: bool(self.up), "no replica came up")
            async with self._changing:
                if self.mode is Mode.ASLEEP:
                    raise Refused(409, "the engines are asleep", kind="caller", hint="wake them")
                if asked.id == self.weights.id or await self._switch(asked):
                    break
        else:
            raise EngineError(f"every replica died {_ATTEMPTS} times while it loaded weights")

    async def hold(self, holder: str, mode: Mode, *, lease_s: float | None) -> None:
        """Begin or renew a hold, or with no lease end it; returns when the engines obey."""
        if lease_s is None:
            self._holds.release(holder, mode)
        else:
            self._holds.hold(holder, mode, lease_s)
        async with self._changing:
            await self._obey()

    def kill(self) -> None:
        """Kill all processes and wait for nothing."""
        for each in self.replicas:
            if each.process is not None:
                each.process.kill_now()

    def to_json(self) -> dict[str, Any]:
        """Return the status."""
        replicas = [
            {**each.to_json(), "sessions": self._sessions.count(each.number)}
            for each in self.replicas
        ]
        return {
            **self.facts,
            "state": "up" if self.up else "starting" if not self.facts else "restarting",
            "mode": self.mode.name.lower(),
            "version": self.weights.version,
            "weights": self.weights.folder,
            "is_switching": self._switching > 0,
            "in_flight": self.in_flight,
            "restarts": self.restarts,
            "replicas": replicas,
        }

    # Who is asked

    def _route(self, session: str | None) -> Replica:
        up = [each.number for each in self.up]
        if not up:
            states = ", ".join(f"{each.number} {each.state}" for each in self.replicas)
            raise Refused(503, f"no replica is up: {states}", kind="away", after_s=_AGAIN_S)
        if session is not None:
            return self.replicas[self._sessions.place(session, up)]
        return min(self.up, key=lambda each: each.in_flight)

    async def _release(self, places: Sequence[tuple[int, str]]) -> None:
        for number, session in places:
            with suppress(ReplicaGone):
                await self.replicas[number].ask(
                    "POST", "/release", headers={SESSION: session}, limit_s=self._limits.probe_s
                )

    # What they hold

    async def _admit(self, replica: Replica) -> None:
        """Give a fresh replica the weights in use, and let it be asked."""
        assert replica.process is not None
        self.facts = replica.process.facts
        self._sessions.drop(replica.number)
        held = _FIRST
        while True:
            target = self.weights
            if target != held:
                await self._load(replica, target)
            held = target
            async with self._changing:
                if held == self.weights:
                    await self._turn(replica, Mode.RUNNING, self.mode)
                    replica.set_state("up")
                    return

    async def _switch(self, asked: Weights) -> bool:
        """Try to put weights in use; False if no replica lived to tell.

        Raises:
            Refused: they do not fit.
        """
        ready = await with_each(self.up, self._still)
        outcomes = await asyncio.gather(*[self._try(each, asked) for each in ready])
        loaded = [each for each, no in zip(ready, outcomes, strict=True) if no is None]
        refusals = [no for no in outcomes if isinstance(no, EngineError)]
        if loaded:
            folder = asked.folder or self.weights.folder
            self.weights = asked.model_copy(update={"folder": folder})
            for each, no in zip(ready, outcomes, strict=True):
                if no is not None:
                    each.restart(f"it could not load the weights: {no}")
        await with_each([each for each in (loaded or ready) if each.is_up], self._go_on)
        if not loaded and refusals:
            await with_each([each for each in ready if each.is_up], self._check_usable)
            hint = "the weights before are in use"
            raise Refused(400, str(refusals[0]), kind="caller", hint=refusals[0].hint or hint)
        return bool(loaded)

    async def _try(self, replica: Replica, target: Weights) -> AgentGymError | ReplicaGone | None:
        """Load weights into one replica; return what was wrong, and let a dead one be replaced."""
        try:
            await self._load(replica, target)
        except EngineError as error:
            return error
        except ReplicaGone as error:
            replica.restart(f"it died while it loaded weights: {error}")
            return error
        return None

    async def _load(self, replica: Replica, target: Weights) -> None:
        body = target.model_dump_json().encode()
        await order(replica, "/weights", body)

    async def _still(self, replica: Replica) -> None:
        await order(replica, "/pause")

    async def _go_on(self, replica: Replica) -> None:
        if self.mode is Mode.RUNNING:
            await order(replica, "/resume")

    async def _check_usable(self, replica: Replica) -> None:
        """Raise where an engine cannot answer the simplest request."""
        if self.mode is Mode.RUNNING:
            body = _PROBE.model_dump_json().encode()
            await order(replica, "/generate", body, limit_s=_PROBE_S)

    # Who holds them still

    async def _tend(self) -> None:
        """Let leases run out, and sessions; try engines that only fail; notice when all are gone."""
        while True:
            await asyncio.sleep(_TEND_S)
            if all(each.state == "failed" for each in self.replicas):
                last = self.replicas[-1].why
                times = self._limits.failures
                raise EngineError(f"every replica failed {times} times in a row; the last: {last}")
            if self._holds.mode != self.mode:
                async with self._changing:
                    await self._obey()
            await self._release(self._sessions.outdated())
            await with_each(self._failing(), self._check_usable)

    def _failing(self) -> list[Replica]:
        long_ago = time.monotonic() - _FAILING_S
        since = [(each, each.failing_since) for each in self.up]
        return [each for each, began in since if began is not None and began < long_ago]

    async def _obey(self) -> None:
        """Turn the engines to what the holds want."""
        wanted, before = self._holds.mode, self.mode
        if wanted is not before:
            self.mode = wanted
            await with_each(self.up, lambda each: self._turn(each, before, wanted))

    async def _turn(self, replica: Replica, before: Mode, wanted: Mode) -> None:
        if before is wanted:
            return
        if wanted is Mode.ASLEEP:
            await order(replica, "/sleep")
            return
        if before is Mode.ASLEEP:
            await order(replica, "/wake")
            folder = self.weights.folder or self._model_folder
            await self._load(replica, self.weights.model_copy(update={"folder": folder}))
        await order(replica, "/pause" if wanted is Mode.PAUSED else "/resume")

    async def _wait(self, is_so: Callable[[], bool], otherwise: str) -> None:
        """Wait until something is so.

        Raises:
            EngineError: it was not, for as long as a start and a load may take.
        """
        limit_s = self._limits.start_s + self._limits.load_s
        try:
            async with asyncio.timeout(limit_s):
                while not is_so():
                    await self._news.wait()
        except TimeoutError:
            raise EngineError(f"{otherwise} within {limit_s:g} s") from None

    def _on_change(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
        self._tell(self)
