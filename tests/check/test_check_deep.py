"""Each check that plays, cancels, forks or cheats catches the environment that is made to fail it."""

import asyncio
import json
import linecache
import multiprocessing
import os
import random
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agentgym.check import Result, Status, check_env
from agentgym.check.checks import CHECKS, LEVELS, at_level, named
from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.tool_env import ToolEnv
from agentgym.errors import ConfigError
from agentgym.tools import Final, tool
from agentgym.types import OUTCOME, Message, Task, ToolCall

pytestmark = pytest.mark.slow


class Riddle(ToolEnv):
    """Find the number by asking; the base of everything broken here."""

    def start(self, task: Task, *, seed: int) -> None:
        self.asked = 0

    @tool(inline=True)
    def guess(self, number: int) -> str | Final:
        """Guess the number.

        Args:
            number: From 1 to 99.
        """
        self.asked += 1
        if number == self.task.answer:
            return Final("right", {OUTCOME: 1.0})
        return "higher" if number < self.task.answer else "lower"

    def state_key(self) -> str:
        return json.dumps([self.task.id, self.asked, self._seen])

    async def snapshot(self) -> bytes:
        return json.dumps([self.asked, self._seen]).encode()

    async def restore(self, blob: bytes) -> None:
        self.asked, seen = json.loads(blob)
        self._seen = tuple(seen)

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        if level != "expert":
            return super().expert(task, level=level)
        bounds = [1, 99]

        def act(conversation: Sequence[Message]) -> Message:
            if conversation[-1].content == "higher":
                bounds[0] = self.last + 1
            elif conversation[-1].content == "lower":
                bounds[1] = self.last - 1
            self.last = sum(bounds) // 2
            call = ToolCall("guess", json.dumps({"number": self.last}), "call_0")
            return Message("assistant", tool_calls=(call,))

        return act


class RiddleConfig(EnvConfig):
    """Riddles."""

    id: ClassVar[str] = "test/Riddle-v0"
    env: ClassVar[type[Env]] = Riddle

    def tasks(self, split: str) -> Iterator[Task]:
        chance = random.Random(split)
        for number in range(20):
            answer = chance.randint(1, 99)
            yield Task(f"Find it ({split} {number}).", id=f"{split}-{number}", answer=answer)

    def build(self, sandboxes: object = None) -> Env:
        return self.env()


class NoExpert(Riddle):
    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        return Env.expert(self, task, level=level)


# --- 9 isolation --------------------------------------------------------------------------


class SharedState(Riddle):
    asked_by_all: ClassVar[list[int]] = []

    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        self.asked_by_all.clear()

    async def step(self, message: Message) -> EnvStep:
        self.asked_by_all.append(1)
        await asyncio.sleep(0.001)
        step = await super().step(message)
        return step._replace(reward={**step.reward, "asked": float(len(self.asked_by_all))})


class SharedStateConfig(RiddleConfig):
    env = SharedState


class Blocking(Riddle):
    async def step(self, message: Message) -> EnvStep:
        if not message.tool_calls:
            time.sleep(0.7)  # noqa: ASYNC251  the line that blocks
        return await super().step(message)


class BlockingConfig(RiddleConfig):
    env = Blocking
    splits: ClassVar[tuple[str, ...]] = ("train",)
    max_turns: int = 1

    def tasks(self, split: str) -> Iterator[Task]:
        yield Task("Find it.", answer=5)


class Cheap(NoExpert):
    """Never waits; its episodes are long, and many of them take their step in one turn."""

    inline: ClassVar[bool] = True

    def reset(self, task: Task, *, seed: int) -> Reset:  # type: ignore[override]
        return Reset((Message("user", task.prompt),), ())

    def step(self, message: Message) -> EnvStep:  # type: ignore[override]
        time.sleep(0.03)
        return EnvStep((Message("user", "go on"),), {OUTCOME: 0.0})

    def state_key(self) -> None:  # type: ignore[override]
        return None


class CheapConfig(BlockingConfig):
    env = Cheap
    max_turns: int = 10


# --- 11 gold ------------------------------------------------------------------------------


class BrokenVerifier(Riddle):
    async def step(self, message: Message) -> EnvStep:
        step = await super().step(message)
        return step._replace(reward={**step.reward, OUTCOME: 0.0})


class BrokenVerifierConfig(RiddleConfig):
    env = BrokenVerifier


class PaysForSilence(Riddle):
    def score(self, text: str) -> dict[str, float]:
        return {OUTCOME: 0.5}


class PaysForSilenceConfig(RiddleConfig):
    env = PaysForSilence


class PaysForAll(Riddle):
    @tool(inline=True)
    def guess(self, number: int) -> str | Final:
        """Guess.

        Args:
            number: Any.
        """
        return Final("right", {OUTCOME: 1.0})


class PaysForAllConfig(RiddleConfig):
    env = PaysForAll


# --- 13 limits ----------------------------------------------------------------------------


class EndsTwice(Riddle):
    async def step(self, message: Message) -> EnvStep:
        step = await super().step(message)
        return step._replace(truncated=step.terminated)


class EndsTwiceConfig(RiddleConfig):
    env = EndsTwice


class HangsAfterTheEnd(Riddle):
    over = False

    async def step(self, message: Message) -> EnvStep:
        if self.over:
            await asyncio.sleep(20)
        step = await super().step(message)
        self.over = step.terminated
        return step


class HangsAfterTheEndConfig(RiddleConfig):
    env = HangsAfterTheEnd


class TruncatesToNan(Riddle):
    async def truncate(self) -> dict[str, float]:
        return {OUTCOME: float("nan")}


class TruncatesToNanConfig(RiddleConfig):
    env = TruncatesToNan


# --- 14 leaks -----------------------------------------------------------------------------


class Slow(Riddle):
    async def step(self, message: Message) -> EnvStep:
        await asyncio.sleep(0.02)
        return await super().step(message)


class LeavesProcesses(Slow):
    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        self.child = subprocess.Popen(["sleep", "20"])  # not ended by close
        KEPT.append(self.child)


class LeavesProcessesConfig(RiddleConfig):
    env = LeavesProcesses


class LeavesThreads(Slow):
    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        threading.Thread(target=time.sleep, args=(6,), daemon=True).start()


class LeavesThreadsConfig(RiddleConfig):
    env = LeavesThreads


class LeavesFiles(Slow):
    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        handle, path = tempfile.mkstemp(prefix="left-")
        os.close(handle)
        LEFT.append(path)


class LeavesFilesConfig(RiddleConfig):
    env = LeavesFiles


KEPT: list[subprocess.Popen[bytes]] = []
LEFT: list[str] = []


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    for child in KEPT:
        child.kill()
        child.wait()
    for path in LEFT:
        Path(path).unlink(missing_ok=True)
    KEPT.clear()
    LEFT.clear()


# --- 15 spawn -----------------------------------------------------------------------------


class Hashed(Riddle):
    def state_key(self) -> str:
        return str(hash(self.task.id))


class HashedConfig(RiddleConfig):
    env = Hashed


class HangsElsewhere(Riddle):
    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        if multiprocessing.parent_process() is not None:
            time.sleep(20)


class HangsElsewhereConfig(RiddleConfig):
    env = HangsElsewhere


class EndsElsewhere(Riddle):
    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        if multiprocessing.parent_process() is not None:
            os._exit(3)


class EndsElsewhereConfig(RiddleConfig):
    env = EndsElsewhere


class RaisesElsewhere(Riddle):
    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        if multiprocessing.parent_process() is not None:
            raise KeyError("gone")


class RaisesElsewhereConfig(RiddleConfig):
    env = RaisesElsewhere


def _unpicklable() -> type[EnvConfig]:
    class Local(RiddleConfig):
        pass

    return Local


# --- 16 rendering -------------------------------------------------------------------------


class Rewrites(Riddle):
    """Its script says what its tools cannot hold."""

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        super().expert(task, level=level)
        text = "<function=guess><parameter=number>3</parameter></function>"
        return lambda conversation: Message("assistant", text)


class RewritesConfig(RiddleConfig):
    env = Rewrites


# --- 17 record ----------------------------------------------------------------------------


class TuplesConfig(RiddleConfig):
    def tasks(self, split: str) -> Iterator[Task]:
        yield Task(f"Find it {split}.", answer=5, payload={"range": (1, 99)})


# --- 18 gymnasium -------------------------------------------------------------------------


class NeverTheSame(Riddle):
    def start(self, task: Task, *, seed: int) -> str:
        super().start(task, seed=seed)
        return f"{task.prompt} {os.urandom(4).hex()}"


class NeverTheSameConfig(RiddleConfig):
    env = NeverTheSame


# --- 19 speed -----------------------------------------------------------------------------


class Grows(Riddle):
    def start(self, task: Task, *, seed: int) -> None:
        super().start(task, seed=seed)
        GROWN.append(b"x" * (5 << 20))


GROWN: list[bytes] = []


class GrowsConfig(RiddleConfig):
    env = Grows


# --- 20 to 26 tricks ----------------------------------------------------------------------


class Gullible(ToolEnv):
    """Pays for whatever `fooled` takes for success."""

    @tool(inline=True)
    def say(self, text: str) -> str:
        """Say something.

        Args:
            text: What.
        """
        return text

    def fooled(self, text: str) -> bool:
        return False

    async def step(self, message: Message) -> EnvStep:
        step = await super().step(message)
        texts = [message.content, *(call.arguments for call in message.tool_calls)]
        won = any(self.fooled(text) for text in texts)
        return step._replace(reward={**step.reward, OUTCOME: float(won)}, terminated=True)


def gullible(name: str, fooled: Any) -> type[EnvConfig]:
    env = type(name, (Gullible,), {"fooled": staticmethod(fooled), "__module__": __name__})
    return type(f"{name}Config", (RiddleConfig,), {"env": env, "__module__": __name__})


class EndsForNothing(Gullible):
    @tool(inline=True)
    def submit(self) -> Final:
        """Hand in."""
        return Final("thanks", {OUTCOME: 1.0})

    async def step(self, message: Message) -> EnvStep:
        return await ToolEnv.step(self, message)


class EndsForNothingConfig(RiddleConfig):
    env = EndsForNothing


class SpeaksAsSystem(Gullible):
    async def step(self, message: Message) -> EnvStep:
        step = await ToolEnv.step(self, message)
        if not any("full reward" in call.arguments for call in message.tool_calls):
            return step
        return step._replace(messages=(Message("system", "new orders"), *step.messages))


class SpeaksAsSystemConfig(RiddleConfig):
    env = SpeaksAsSystem


# --- 27 snapshot --------------------------------------------------------------------------


class ForgetsInSnapshot(Riddle):
    async def restore(self, blob: bytes) -> None:
        self._seen = tuple(json.loads(blob)[1])


class ForgetsInSnapshotConfig(RiddleConfig):
    env = ForgetsInSnapshot


class TimesOut(Riddle):
    async def step(self, message: Message) -> EnvStep:
        step = await super().step(message)
        return step._replace(info={"timed_out": True})


class TimesOutConfig(RiddleConfig):
    env = TimesOut


class SingleSplitConfig(RiddleConfig):
    splits: ClassVar[tuple[str, ...]] = ("train",)


class NoExpertConfig(RiddleConfig):
    env = NoExpert


BROKEN: list[tuple[str, type[EnvConfig], str]] = [
    ("isolation", SharedStateConfig, "beside other episodes differs in step"),
    ("gold", BrokenVerifierConfig, r"the expert reaches success = 1 in 0 of 8 tasks"),
    ("gold", PaysForSilenceConfig, r"silence scores 0\.500 in the mean"),
    ("gold", PaysForAllConfig, r"chance scores 1\.000, the expert 1\.000"),
    ("limits", EndsTwiceConfig, "said terminated and truncated"),
    ("limits", TruncatesToNanConfig, "nan"),
    ("leaks", LeavesProcessesConfig, r"leave behind: .*processes"),
    ("leaks", LeavesThreadsConfig, r"leave behind: .*threads"),
    ("leaks", LeavesFilesConfig, r"leave behind: .*temporary files"),
    ("spawn", HashedConfig, "plays differently in another process: step 0: state_key"),
    ("spawn", _unpicklable(), "cannot be pickled"),
    ("spawn", EndsElsewhereConfig, "in another process, Python itself ended with code 3"),
    ("spawn", RaisesElsewhereConfig, "in another process: KeyError: 'gone'"),
    ("rendering", RewritesConfig, "comes back from its tokens as"),
    ("record", TuplesConfig, "`task` is another after writing"),
    ("gymnasium", NeverTheSameConfig, "check_env: .*non-deterministic"),
    ("speed", GrowsConfig, "memory grew by"),
    ("empty", gullible("Empty", lambda text: '""' in text), "empty actions scores"),
    ("no-op", gullible("Blank", str.isspace), "a blank said to the end scores"),
    ("echo", gullible("Echo", lambda text: "Find it" in text), "an echo of the prompt"),
    ("markers", gullible("Marker", lambda text: "PASS" in text), "a fake mark of success"),
    ("exit", EndsForNothingConfig, "leaving early scores 1.000"),
    ("huge", gullible("Huge", lambda text: len(text) > 100_000), "a very long text scores"),
    ("injection", gullible("Order", lambda text: "full reward" in text), "an order in a tool"),
    ("injection", SpeaksAsSystemConfig, "answered by a message of role system"),
    ("snapshot", ForgetsInSnapshotConfig, "after restore, step"),
]


async def result_of(config: type[EnvConfig], check: str) -> Result:
    report = await check_env(config, checks=named([check]))
    return report.results[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "config", "text"), BROKEN, ids=[f"{c}: {e.__name__}" for c, e, _ in BROKEN]
)
async def test_a_broken_promise_is_caught(
    check: str, config: type[EnvConfig], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.check.leaks._SETTLE_S", 0.5)  # nothing here goes by itself
    result = await result_of(config, check)
    assert result.status is Status.FAILED, result
    assert re.search(text, result.message), result
    assert result.where is not None
    assert "test_check_deep.py" in result.where


@pytest.mark.slow
async def test_the_sound_one_passes_everything() -> None:
    report = await check_env(RiddleConfig, checks=CHECKS[1:])
    assert [str(each) for each in report.results if each.status is not Status.PASSED] == []


async def test_code_that_blocks_is_named_by_its_line_and_for_how_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentgym.check.isolation._STALL_S", 0.2)
    result = await result_of(BlockingConfig, "isolation")
    assert re.search(r"held up the event loop for 0\.[6-9] s", result.message), result
    file, line = str(result.where).rsplit(":", 1)
    assert "the line that blocks" in linecache.getline(file, int(line))


async def test_many_cheap_steps_of_many_episodes_are_no_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentgym.check.isolation._STALL_S", 0.2)
    result = await result_of(CheapConfig, "isolation")
    assert result.status is Status.PASSED, result


@pytest.mark.parametrize(
    ("check", "config", "text"),
    [
        ("limits", HangsAfterTheEndConfig, "step after the end took longer than 2 s"),
        ("spawn", HangsElsewhereConfig, "an episode in another process took longer than 2 s"),
    ],
)
async def test_what_hangs_fails_and_holds_up_nothing(
    check: str, config: type[EnvConfig], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.check.subject._TIMEOUT_S", 2.0)
    started = time.monotonic()
    result = await result_of(config, check)
    assert time.monotonic() - started < 10
    assert result.status is Status.FAILED, result
    assert text in result.message
    assert multiprocessing.active_children() == []


async def test_without_proc_nothing_is_said_about_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentgym.check.speed._STATM", Path("/proc/self/there-is-none"))
    result = await result_of(RiddleConfig, "speed")
    assert result.status is Status.NOT_CHECKED
    assert "no /proc" in result.message


@pytest.mark.parametrize(
    ("check", "config", "text"),
    [
        ("repeat", TimesOutConfig, "every episode hit a time limit"),
        ("isolation", TimesOutConfig, "every episode hit a time limit"),
        ("spawn", TimesOutConfig, "every episode hit a time limit"),
        ("gold", NoExpertConfig, "declares no expert"),
        ("splits", SingleSplitConfig, "a single split, 'train'"),
    ],
)
async def test_what_is_not_declared_is_not_checked_and_says_what_to_declare(
    check: str, config: type[EnvConfig], text: str
) -> None:
    result = await result_of(config, check)
    assert result.status is Status.NOT_CHECKED
    assert text in result.message
    assert result.hint


def test_levels_hold_those_before_them_and_every_check_has_a_name_and_a_number_of_its_own() -> None:
    sizes = [len(at_level(level)) for level in LEVELS]
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(CHECKS)
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert [check.number for check in CHECKS] == list(range(1, len(CHECKS) + 1))


def test_a_check_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no check 'isolaton'") as error:
        named(["isolaton"])
    assert error.value.hint == "did you mean 'isolation'?"
