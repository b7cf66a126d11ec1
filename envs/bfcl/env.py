"""BFCL's multi-turn tasks: a user asks several times, simulated APIs answer, its checker judges."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.bfcl.apis import Apis, calls_of
from agentgym.envs.bfcl.data import Entry, Tier, entries, entry_of, max_steps
from agentgym.loading import did_you_mean
from agentgym.tools import ToolError, ToolResult
from agentgym.tools.arguments import decode
from agentgym.tools.results import cut, refused, reply
from agentgym.types import OUTCOME, Message, Task, ToolCall, digest

_TEST_EVERY = 5
_MAX_OUTPUT_CHARS = 40_000
_MAX_NAME_CHARS = 64


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


class BFCLEnv(Env):
    """A message without calls ends the turn of the user, and the last one the episode.

    `outcome` is the verdict of BFCL's checker; `turns` is the share of turns before the first
    wrong one; `tool_valid` is 1.0 where no call of a step was refused.
    """

    inline: ClassVar[bool] = True

    def reset(self, task: Task, *, seed: int) -> Reset:
        """Make the APIs of the task; the seed changes nothing."""
        self._entry = entry = entry_of(task)
        self._apis = Apis(entry)
        self._turn = 0
        self._offered = {spec.name for spec in entry.offered[0]}
        return Reset((Message("user", entry.users[0]),), entry.offered[0])

    def step(self, message: Message) -> EnvStep:
        """Make the calls in order; without any, let the user go on."""
        if not message.tool_calls:
            return self._go_on()
        apis, replies, is_valid = self._apis, [], True
        apis.begin_step()
        for call in message.tool_calls:
            result = self._answer(call)
            replies.append(result.message)
            is_valid = is_valid and result.valid
            if apis.is_broken:
                break
        terms = {"tool_valid": float(is_valid)}
        is_over = apis.num_steps > max_steps()
        if apis.is_broken or is_over:
            terms[OUTCOME] = 0.0
        return EnvStep(tuple(replies), terms, apis.is_broken, is_over and not apis.is_broken)

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

    def _answer(self, call: ToolCall) -> ToolResult:
        if call.name not in self._offered:
            return refused(call, self._unknown(call.name[:_MAX_NAME_CHARS]))
        try:
            arguments = decode(call.arguments, usage=f"Expected the arguments of {call.name}.")
            text = self._apis.call(call.name, arguments)
        except ToolError as error:
            return refused(call, cut(str(error), _MAX_OUTPUT_CHARS))
        return ToolResult(reply(call, cut(text, _MAX_OUTPUT_CHARS)))

    def _unknown(self, name: str) -> str:
        names = sorted(self._offered)
        close = did_you_mean(name, names)
        guess = f" Did you mean `{close}`?" if close else ""
        return f"There is no tool `{name}`.{guess} Tools: {', '.join(names)}."

    def _go_on(self) -> EnvStep:
        entry = self._entry
        self._turn += 1
        if self._turn >= len(entry.users):
            verdict = self._apis.verdict()
            share = verdict.turns / len(entry.users)
            return EnvStep((), {OUTCOME: float(verdict.is_valid), "turns": share}, terminated=True)
        self._apis.begin_turn()
        self._offered.update(spec.name for spec in entry.offered.get(self._turn, ()))
        return EnvStep((Message("user", entry.users[self._turn]),), {})


def _truth(entry: Entry) -> Iterator[Message]:
    for turn in range(len(entry.truth)):
        calls = calls_of(entry, turn)
        if calls:
            yield Message("assistant", tool_calls=calls)
        yield Message("assistant", "Done.")
