"""One running sandbox: what its worker is asked, in turn, under limits, until it ends."""

import asyncio
import contextlib
import time
from dataclasses import replace

from agentgym.errors import SandboxDied, SandboxError, SandboxProtocolError, SandboxUnavailable
from agentgym.sandbox import ExecResult, Limits, Status
from agentgym.sandboxes.inside import wire
from agentgym.sandboxes.limiter import ROOM, Limiter
from agentgym.sandboxes.line import Line, Reply
from agentgym.sandboxes.machine import Machine
from agentgym.sandboxes.metrics import Timing
from agentgym.sandboxes.verdict import broke_a_limit, judge

_READY_S = 30.0
_RESET_S = 5.0
_FILES_S = 30.0
_CLOSE_S = 5.0
_WORDS = 8192  # bytes, more than the worker ever says of itself


class WorkerSandbox:
    """A sandbox whose PID 1 is our worker; whoever holds it has it by a `LeasedSandbox`."""

    def __init__(
        self, machine: Machine, *, limits: Limits, cpus: float, exec_slots: asyncio.Semaphore
    ) -> None:
        self.id = machine.name
        self.info = machine.info
        self.environment = machine.environment
        """Of programs."""
        self.default_limits = limits
        self.lost = False
        """It is destroyed, or about to be."""
        self.holder: object = None
        """Who may use it: calls of anybody else are refused, also those that wait already."""
        self.num_calls = 0
        self.num_leases = 0
        """Kept by the pool."""
        self.born = self.last_call = time.monotonic()
        self.timing = Timing()
        """Of calls; a pool puts its own here."""
        self.gone = machine.gone
        """Done when nothing of it is left."""
        self._kill = machine.kill
        self._line = Line(machine.name, machine.channel, destroy=self.destroy)
        self._limiter = Limiter(machine.group, defaults=limits, cpus=cpus, held=machine.held)
        self._own_limits = limits.model_copy(
            update={"memory_bytes": limits.memory_bytes + ROOM, "wall_s": _FILES_S}
            | {"cpu_s": _FILES_S, "keep_output_bytes": _WORDS, "max_output_bytes": _WORDS}
        )
        self._reset_limits = self._own_limits.model_copy(update={"wall_s": _RESET_S})
        self._exec_slots = exec_slots
        self._turn = asyncio.Lock()

    async def become_ready(self) -> None:
        """Wait until the worker is ready; to be called once, before anything else.

        Raises:
            SandboxDied: it ended before it said anything.
            SandboxUnavailable: it cannot be limited or protected, spoke nonsense, or took too long.
        """
        try:
            await self._limiter.hold_to(self.default_limits)
        except OSError as error:
            raise SandboxUnavailable(str(self._ungoverned(error))) from error
        try:
            async with asyncio.timeout(_READY_S):
                ready = await self._line.greeting()
        except TimeoutError as error:
            raise SandboxUnavailable(f"no sandbox was ready within {_READY_S:g} s") from error
        except SandboxProtocolError as error:
            raise SandboxUnavailable(f"what was started is no worker of ours: {error}") from error
        self._check_protection(ready.stdout.decode("ascii", "replace"))

    async def run(
        self,
        operation: bytes,
        subject: bytes,
        stdin: bytes,
        limits: Limits,
        *,
        holder: object,
        session: int = 0,
    ) -> ExecResult:
        """Run a program, or code in a session, by its number.

        Raises:
            SandboxDied, SandboxProtocolError: it is gone, or lied; or it is not the holder's.
        """
        async with self._turn, self._exec_slots:
            self._check_holder(holder)
            try:
                result = await self._judged(operation, subject, stdin, limits, session)
            except OSError as error:
                raise self._ungoverned(error) from error
            if session and broke_a_limit(result) and not result.session_ended:
                result = await self._end_session(session, result)
            return result

    async def ask(
        self, operation: bytes, subject: bytes, limits: Limits, *, holder: object, session: int = 0
    ) -> Reply:
        """Ask the worker itself for something that is no program, and is answered in a few words.

        Raises:
            SandboxDied, SandboxProtocolError: it is gone, broke the framing or did not answer.
        """
        limits = limits.model_copy(update={"keep_output_bytes": _WORDS})
        async with self._turn, self._exec_slots:
            self._check_holder(holder)
            return await self._ask(operation, subject, b"", limits, session=session)

    async def move(
        self,
        operation: bytes,
        subject: bytes,
        content: bytes,
        max_bytes: int | None,
        *,
        holder: object,
    ) -> Reply:
        """Run what moves files; the programs of the sandbox have no part in it.

        `max_bytes` is the most that comes; None: a few words.

        Raises:
            SandboxDied, SandboxProtocolError: it is gone, broke the framing or did not answer.
        """
        changes = {"file_bytes": len(content)}
        if max_bytes is not None:
            changes |= {"keep_output_bytes": max_bytes, "max_output_bytes": max_bytes}
        limits = self._own_limits.model_copy(update=changes)
        async with self._turn, self._exec_slots:
            self._check_holder(holder)
            reply = await self._ask(operation, subject, content, limits)
        if reply.status not in (Status.EXITED, Status.OUTPUT_LIMIT):
            self.destroy()
            raise SandboxDied(f"{self.id}: access to its files ended with {reply.status}")
        return reply

    async def reset(self) -> bool:
        """Kill, wipe and compare with the start, inside; destroy it when in doubt."""
        try:
            async with self._turn, self._exec_slots:
                reply = await self._ask(wire.RESET, b"", b"", self._reset_limits)
                is_clean = reply.code == 1 and await self._limiter.start_over()
        except OSError as error:
            self._ungoverned(error)
            return False
        except (SandboxDied, SandboxProtocolError):
            return False
        if not is_clean:
            self.destroy()
        return is_clean

    async def close(self) -> None:
        """Kill the worker and wait until nothing is left."""
        self.destroy()
        await asyncio.wait([self.gone], timeout=_CLOSE_S)

    def destroy(self) -> None:
        """Have it killed, without waiting: what is left to do happens elsewhere."""
        if self.lost:
            return
        self.lost = True
        self._kill()
        self._line.close()

    def is_quiet(self) -> bool:
        """Whether it is alive and waits to be asked."""
        if self.lost:
            return False
        try:
            self._line.expect_silence()
        except (OSError, SandboxDied, SandboxProtocolError):
            self.destroy()
        return not self.lost

    async def answers(self) -> bool:
        """Whether it still does; else it is destroyed."""
        calls = self.num_calls
        with contextlib.suppress(SandboxDied, SandboxProtocolError):
            async with self._turn:  # it needs no slot: nothing runs
                await self._ask(wire.END, b"", b"", self._reset_limits)
        self.num_calls = calls  # nobody's program
        return not self.lost

    def _check_protection(self, said: str) -> None:
        protection, _, seccomp_mode = said.partition(" ")
        if protection != self.info.protected:
            raise SandboxUnavailable(
                "the Python of the sandbox cannot protect its worker: prctl does not work there",
                hint="choose an image with CPython of its distribution: agentgym sandbox build"
                if self.info.image
                else "apt-get install python3",
            )
        if self.info.enforced.get("seccomp") == "filter" and seccomp_mode != "2":
            raise SandboxUnavailable(
                "the kernel filters no system calls in the sandbox",
                hint="run on a kernel with CONFIG_SECCOMP_FILTER, in the engine's own runtime",
            )

    def _check_holder(self, holder: object) -> None:
        """Refuse whoever does not hold it, also if it was theirs when they began to wait."""
        if holder is not self.holder:
            raise SandboxDied(
                f"{self.id} was given back: its lease has ended",
                hint="use a sandbox, and await its calls, inside `async with ...lease()`",
            )
        if self.lost:
            raise SandboxDied(f"{self.id} is destroyed")

    async def _judged(
        self, operation: bytes, subject: bytes, stdin: bytes, limits: Limits, session: int
    ) -> ExecResult:
        """Run it, and judge what it did."""
        with self._limiter.counters() as counters:
            before = counters.read()
            if not await self._limiter.hold_to(limits):
                return ExecResult(status=Status.OOM)
            try:
                reply = await self._call(operation, subject, stdin, limits, session=session)
            except TimeoutError:
                return ExecResult(status=Status.TIMEOUT, wall_s=limits.wall_s, sandbox_lost=True)
            except SandboxDied:
                kills = counters.read().oom_kills - before.oom_kills
                if not kills:
                    raise
                return ExecResult(status=Status.OOM, oom_kills=kills, sandbox_lost=True)
            return judge(reply, limits, before, counters.read())

    async def _end_session(self, session: int, result: ExecResult) -> ExecResult:
        """End one that broke a limit which its worker does not know of."""
        if not result.sandbox_lost:
            with contextlib.suppress(SandboxError):
                await self._ask(wire.END, b"", b"", self._own_limits, session=session)
        return replace(result, session_ended=True, sandbox_lost=self.lost)

    async def _ask(
        self, operation: bytes, subject: bytes, content: bytes, limits: Limits, *, session: int = 0
    ) -> Reply:
        if self.lost:
            raise SandboxDied(f"{self.id} is destroyed")
        try:
            await self._limiter.make_room(len(content))
            return await self._call(operation, subject, content, limits, session=session)
        except TimeoutError as error:
            raise SandboxDied(f"{self.id} did not answer") from error
        except OSError as error:
            raise self._ungoverned(error) from error

    async def _call(
        self, operation: bytes, subject: bytes, content: bytes, limits: Limits, *, session: int
    ) -> Reply:
        self.num_calls += 1
        began = time.monotonic()
        try:
            return await self._line.call(
                operation,
                subject,
                content,
                limits,
                session=session,
                count_memory=self._limiter.must_count_memory(limits.memory_bytes),
            )
        finally:
            self.last_call = time.monotonic()
            self.timing.add(self.last_call - began)

    def _ungoverned(self, error: OSError) -> SandboxDied:
        """Destroy what its control group does not hold any more, and return why."""
        self.destroy()
        return SandboxDied(f"{self.id} cannot be limited: {error}")
