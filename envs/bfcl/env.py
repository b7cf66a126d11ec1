"""BFCL's multi-turn tasks: a user asks several times, simulated APIs answer, its checker judges."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from agentgym.env import EnvConfig, EnvStep, Reset, Script
from agentgym.envs.bfcl.apis import Apis, calls_of
from agentgym.envs.bfcl.data import Entry, Tier, entries, entry_of
from agentgym.envs.tool_env import ToolEnv
from agentgym.tools import ToolSet
from agentgym.types import OUTCOME, Message, Task, digest

_TEST_EVERY = 5


class BFCLConfig(EnvConfig):
    """Which category of BFCL's multi-turn tasks.

    Tasks of the same number are variants of one story in all categories, and stand on the same
    side: test has the numbers that 5 divides, train the others.
    """

    id: ClassVar[str] = "agentgym/BFCL-v0"
    tiers: ClassVar[tuple[str, ...]] = ("base", "miss_param", "miss_func", "long_context")
    packages: ClassVar[tuple[str, ...]] = ("bfcl_eval", "mpmath")

    max_turns: int = 168
    """Steps after which an episode is truncated; BFCL's own limits allow 8 turns of 21 steps."""
    tier: Tier = "base"
    """A parameter may be missing at first, or a function; or what APIs say is padded."""
    whole: bool = False
    """Whether test has all 200 tasks, as BFCL reports it; nothing is then left to train on."""

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield tasks in BFCL's order: 160 to train, 40 to test, of every domain alike."""
        for number, entry in enumerate(entries(self.tier).values()):
            is_test = self.whole or number % _TEST_EVERY == 0
            if is_test == (split == "test"):
                name = entry.id
                yield Task(entry.users[0], id=name, answer=entry.truth, payload={"id": name})

    def build(self, sandboxes: object = None) -> "BFCLEnv":
        """Make one environment."""
        return BFCLEnv()


class BFCLEnv(ToolEnv):
    """A message without calls ends the turn of the user, and the last one the episode.

    `outcome` is the verdict of BFCL's checker; `turns` is the share of turns before the first
    wrong one.
    """

    async def reset(self, task: Task, *, seed: int) -> Reset:
        """Make the APIs of the task; the seed changes nothing."""
        self._entry = entry_of(task)
        self._apis = Apis(self._entry)
        self._turn = 0
        return await super().reset(task, seed=seed)

    def toolset(self) -> ToolSet:
        """Return the functions that have come in by now."""
        offered = [
            spec
            for turn, specs in self._entry.offered.items()
            if turn <= self._turn
            for spec in specs
        ]
        return ToolSet(self._apis.tools(offered))

    async def step(self, message: Message) -> EnvStep:
        """Run the calls; without any, let the user go on."""
        if not message.tool_calls:
            return self._go_on(message)
        self._apis.begin_step()
        answer = await super().step(message)
        if self._apis.num_steps > _max_steps() and not answer.terminated:
            return answer._replace(reward={**answer.reward, OUTCOME: 0.0}, truncated=True)
        return answer

    def state_key(self) -> str | None:
        """Identify the state of the APIs and the turn."""
        return digest(self._entry.id, self._turn, self._apis.key())

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the script that makes BFCL's own calls."""
        if level != "expert":
            return super().expert(task, seed=seed, level=level)
        script = _truth(entry_of(task))

        def play(conversation: Sequence[Message]) -> Message:
            return next(script)

        return play

    def _go_on(self, message: Message) -> EnvStep:
        self.transcript.messages.append(message)
        self._turn += 1
        if self._turn >= len(self._entry.users):
            verdict = self._apis.verdict()
            terms = {
                OUTCOME: float(verdict.is_valid),
                "turns": verdict.turns / len(self._entry.users),
            }
            return EnvStep((), terms, terminated=True)
        self._apis.begin_turn()
        if self._turn in self._entry.offered:
            self._tools = self.toolset()
        user = Message("user", self._entry.users[self._turn])
        self.transcript.messages.append(user)
        return EnvStep((user,), {})


def _max_steps() -> int:
    from bfcl_eval.constants.default_prompts import MAXIMUM_STEP_LIMIT

    return int(MAXIMUM_STEP_LIMIT)


def _truth(entry: Entry) -> Iterator[Message]:
    for turn in range(len(entry.truth)):
        calls = calls_of(entry, turn)
        if calls:
            yield Message("assistant", tool_calls=calls)
        yield Message("assistant", "Done.")
