"""Episodes that go on from the middle of others, and keep their tokens."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings, strategies as st
from letters import STOP, Letters

from agentgym.check.run.episodes import (
    check_completions,
    check_ends,
    check_logprobs,
    check_masks,
    check_streams,
)
from agentgym.check.run.subject import RunSubject
from agentgym.engine import Engine, SamplingConfig
from agentgym.env import Env, EnvConfig, EnvStep, Reset
from agentgym.errors import EnvError
from agentgym.rollout.collect import token_policies
from agentgym.rollout.continuing import Slot, go_on
from agentgym.rollout.episode import Job, run_episode
from agentgym.rollout.policy import ContextFull, Policy, Reply
from agentgym.rollout.scripted import scripted_policies
from agentgym.store.run import Run
from agentgym.types import Completion, Message, Task, ToolSpec, Trajectory, derive_seed


class Capitals(Letters):
    """Another template."""

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> list[int]:
        return [2, *super().prompt(messages, tools)]


class Drawing(Engine):
    """Draws up to three letters by its seed and the tokens before; some answers are cut off."""

    max_context = 400

    async def generate(self, token_ids: Sequence[int], *_: Any, seed: int, **__: Any) -> Completion:
        chance = random.Random(derive_seed(seed, list(token_ids)))
        cut = chance.random() < 0.3
        ids = [ord(chance.choice("abc")) for _ in range(chance.randint(1, 3))]
        ids += [] if cut else [STOP]
        return Completion(
            token_ids=tuple(ids),
            logprobs=(-0.5,) * len(ids),
            finish_reason="length" if cut else "stop",
            versions=((0, 3),),
        )

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError

    async def release(self, session: str) -> None: ...


class Tale(Env):
    """Tells back all that was said, and pays for each `a`."""

    inline = True
    salt: ClassVar[str] = ""

    def reset(self, task: Task, *, seed: int) -> Reset:
        self.told = f"{seed % 97} "
        return Reset((Message("user", self.told),))

    def step(self, message: Message) -> EnvStep:
        self.told += message.content
        reply = Message("user", self.told[-9:] + self.salt)
        paid = {"outcome": float(message.content.count("a"))}
        return EnvStep((reply,), paid, terminated=self.told.endswith("cc"))

    def state_key(self) -> str:
        return self.told

    def truncate(self) -> dict[str, float]:
        return {"outcome": -1.0}

    def actions(self) -> tuple[str, ...]:
        return ("a", "b", "c")


class Saved(Tale):
    """The same with snapshots."""

    async def snapshot(self) -> bytes:
        return self.told.encode()

    async def restore(self, blob: bytes) -> None:
        self.told = blob.decode()


class TaleConfig(EnvConfig):
    id = "test/Tale-v0"
    kind: type[Tale] = Tale
    max_turns: int = 6

    def tasks(self, split: str) -> Iterator[Task]:
        yield Task("tell", id="only")

    def build(self, sandboxes: Any = None) -> Env:
        return self.kind()


class Hand(Policy):
    """Says `x` so many times and leaves."""

    class Left(ContextFull):
        reason = "left"

    def __init__(self, times: int) -> None:
        self._left = times

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        self._left -= 1
        if self._left < 0:
            raise Hand.Left
        return Reply(Message("assistant", "x"))


TOKENS = token_policies(Drawing(), Letters(), SamplingConfig())


async def play(seed: int = 1, *, make: Any = TOKENS, config: Any = None) -> Trajectory:
    config = config or TaleConfig()
    job = Job(task=Task("tell", id="only"), group_id="g", member=2, run_seed=seed)
    return await run_episode(job, config=config, make_policy=make)


async def fork(parent: Trajectory, step: int, *, make: Any = TOKENS, seed: int = 9, **more: Any):
    slot = Slot(group_id="fork-00001", member=1)
    config = more.pop("config", TaleConfig())
    return await go_on(parent, step, config=config, make_policy=make, seed=seed, slot=slot, **more)


def is_sound(trajectory: Trajectory) -> bool:
    checks = (check_streams, check_masks, check_completions, check_logprobs, check_ends)
    subject = RunSubject(Run(Path("runs/tale"), info={}))
    return not [each for check in checks for each in check(trajectory, subject)]


@settings(max_examples=60, deadline=None)
@given(run=st.integers(0, 2000), turn=st.integers(0, 5), seed=st.integers(0, 2**62))
async def test_the_seed_of_the_parent_gives_the_parent(run: int, turn: int, seed: int) -> None:
    parent = await play(run)
    step = min(turn, len(parent.steps) - 1)
    again = await fork(parent, step, seed=parent.seed)
    assert (again.segments, again.end, again.drift) == (parent.segments, parent.end, 0)
    assert _said(again) == _said(parent)
    first, second = [await fork(parent, step, seed=seed) for _ in range(2)]
    assert _said(first) == _said(second)
    assert first.segments == second.segments


@settings(max_examples=60, deadline=None)
@given(run=st.integers(0, 2000), turn=st.integers(0, 5), seed=st.integers(0, 2**62))
async def test_a_child_shares_the_tokens_up_to_its_turn(run: int, turn: int, seed: int) -> None:
    parent = await play(run)
    step = min(turn, len(parent.steps) - 1)
    child = await fork(parent, step, seed=seed)
    assert child.steps[:step] == parent.steps[:step]
    assert (child.id, child.seed) == ("fork-00001.1.0", parent.seed)
    assert (child.parent_id, child.fork_step) == (parent.id, step)
    shared = parent.segments[0].steps[step - 1][2] if step else 0
    assert child.segments[0].token_ids[:shared] == parent.segments[0].token_ids[:shared]
    assert is_sound(child)
    assert [owner for owner, *_ in child.segments[0].steps] == list(range(len(child.steps)))


def _said(trajectory: Trajectory) -> list[Any]:
    names = ("message", "replies", "reward_terms", "state_key", "next_state_key", "completion")
    return [[getattr(step, name) for name in names] for step in trajectory.steps]


async def test_what_a_person_says_is_in_the_stream_and_not_sampled() -> None:
    parent = await play()
    by_hand = await fork(parent, 2, make=lambda *_: Hand(2))
    assert (by_hand.end, by_hand.reason) == ("truncated", "left")
    assert by_hand.steps[-1].reward_terms == {"outcome": -1.0}
    assert [step.completion is None for step in by_hand.steps] == [False, False, True, True]
    assert by_hand.segments[0].token_ids == parent.segments[0].token_ids[: _end(parent, 1)]
    assert is_sound(by_hand)
    child = await fork(by_hand, 4)
    (stream,) = child.segments
    assert [owner for owner, *_ in stream.steps][:3] == [0, 1, 4]
    between = stream.token_ids[_end(parent, 1) : stream.steps[2][1]]
    told = [by_hand.steps[n].replies[0].content for n in (1, 2, 3)]
    spoken = [*map(ord, told[0]), STOP, 1, ord("x"), STOP]
    spoken += [*map(ord, told[1]), STOP, 1, ord("x"), STOP, *map(ord, told[2]), STOP, 1]
    assert between == (spoken if stopped(parent, 1) else [STOP, *spoken])
    assert is_sound(child)


def _end(trajectory: Trajectory, step: int) -> int:
    return trajectory.segments[0].steps[step][2]


def stopped(trajectory: Trajectory, step: int) -> bool:
    completion = trajectory.steps[step].completion
    return completion is not None and completion.finish_reason == "stop"


async def test_without_tokens_of_this_template_all_is_rendered_anew() -> None:
    scripted = await play(make=scripted_policies("scripted:random"))
    other = token_policies(Drawing(), Capitals(), SamplingConfig())
    for parent, make in ((scripted, TOKENS), (await play(), other)):
        child = await fork(parent, 2, make=make)
        assert [step.completion is None for step in child.steps][:3] == [True, True, False]
        assert child.segments[0].steps[0][0] == 2
        assert is_sound(child)


async def test_a_snapshot_gives_the_same_child() -> None:
    from agentgym.rollout.forks import take_fork

    parent, config = await play(), TaleConfig(kind=Saved)
    taken = await take_fork(parent, 3, config, None)
    restored = await fork(parent, 3, config=config, fork=taken)
    again = await fork(parent, 3)
    assert _said(restored) == _said(again)
    assert (restored.segments, restored.end) == (again.segments, again.end)
    assert is_sound(restored)


class Salted(Tale):
    salt = "!"


class Richer(Tale):
    def step(self, message: Message) -> EnvStep:
        return super().step(message)._replace(reward={"outcome": 7.0})


class Hidden(Tale):
    def state_key(self) -> str:
        return f"{self.told} hidden"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Salted, "turn 0 of g.2.0 went otherwise when it was played again: the observation was"),
        (Richer, "turn 0 of g.2.0 .* the reward was"),
        (Hidden, "turn 0 of g.2.0 .* the state was"),
    ],
)
async def test_where_an_environment_went_otherwise_is_told(kind: Any, told: str) -> None:
    parent = await play()
    with pytest.raises(EnvError, match=told) as caught:
        await fork(parent, 2, config=TaleConfig(kind=kind))
    assert "agentgym check" in str(caught.value.hint)
    parent.steps[0].timed_out = True
    with pytest.raises(EnvError) as caught:
        await fork(parent, 2, config=TaleConfig(kind=kind))
    assert "a time limit fired" in str(caught.value.hint)


class Ended(Tale):
    def step(self, message: Message) -> EnvStep:
        return super().step(message)._replace(truncated=True)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Salted, "turn 0 of .* the observation was"),
        (Richer, "turn 0 of .* the reward was"),
        (Hidden, "turn 0 of .* the state was"),
        (Ended, "turn 0 of .* the end was False, and is True"),
    ],
)
async def test_a_snapshot_of_another_place_is_not_taken(other: Any, told: str) -> None:
    from agentgym.rollout.forks import take_fork

    parent = await play()
    kind = type("Both", (other, Saved), {})
    with pytest.raises(EnvError, match=told):
        await take_fork(parent, 2, TaleConfig(kind=kind), None)
    strange = replace(parent, prompt=(Message("user", "another"),))
    with pytest.raises(EnvError, match=r"the reset of .* the observation was"):
        await take_fork(strange, 2, TaleConfig(kind=Saved), None)


async def test_another_prompt_is_told_before_anybody_is_asked() -> None:
    parent = await play()
    other = replace(parent, prompt=(Message("user", "another"),))
    with pytest.raises(EnvError, match=r"the reset of g\.2\.0 went otherwise"):
        await fork(other, 1, make=lambda *_: pytest.fail("asked"))
