"""Episodes of thirty turns with a model that says anything, and what became of every token."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from agentgym.engine import Engine, Loaded, SamplingConfig
from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.settings import TinyConfig
from agentgym.env import Env, EnvConfig, EnvStep, Reset
from agentgym.renderers.chat import ChatRenderer
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs, token_policies
from agentgym.trainers.policy import TrainerPolicy
from agentgym.types import Completion, Message, Task, Trajectory

TURNS = 30
_TOKENS_A_TURN = 48
_WORDS = (
    "key",
    "door",
    "<|end|>",
    "<|user|>",
    "naïve",
    "e\u0301",
    "\U0001f9ea",
    "{",
    "]",
    "\n\n",
    "0.5",
)


class Chatter(Env):
    """Answers anything with a few words, names of control tokens among them; never ends."""

    def reset(self, task: Task, *, seed: int) -> Reset:
        self.random = random.Random(seed)
        return Reset((Message("user", task.prompt),))

    async def step(self, message: Message) -> EnvStep:
        said = " ".join(self.random.choices(_WORDS, k=self.random.randint(1, 6)))
        return EnvStep((Message("user", said),), {"outcome": 0.0})


class ChatterConfig(EnvConfig):
    id = "test/Chatter-v0"
    max_turns: int = TURNS

    def build(self, sandboxes: Any = None) -> Env:
        return Chatter()

    def tasks(self, split: str) -> Any:
        return (Task(f"Say something, {number}.") for number in range(10**6))


class Watched(Engine):
    """Passes everything on, and keeps what each session was asked and what it answered."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.max_context = engine.max_context
        self.asked: dict[str, list[tuple[list[int], Completion]]] = {}

    async def generate(
        self, token_ids: Sequence[int], sampling: SamplingConfig, *, session: str, **rest: Any
    ) -> Completion:
        completion = await self.engine.generate(token_ids, sampling, session=session, **rest)
        self.asked.setdefault(session, []).append((list(token_ids), completion))
        return completion

    async def release(self, session: str) -> None:
        await self.engine.release(session)

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Found:
    sampled: int
    drift: int
    """Sampled tokens that any later prompt, or the record, has otherwise."""
    misread: float
    """Share of the turns that would have other tokens if their text were tokenised again."""
    gap: float
    """Largest difference between log-probabilities of engine and trainer, in nats."""


def load_chatty(folder: Path) -> Loaded:
    """A model that vLLM takes too: heads of 32 numbers."""
    config = ModelConfig(
        path="tiny",
        device="cpu",
        tiny=TinyConfig(layers=2, width=64, heads=2, max_context=TURNS * (_TOKENS_A_TURN + 60)),
    )
    return load_model(config, folder=folder, texts=[" ".join(_WORDS), "Say something."])


async def play(engine: Engine, loaded: Loaded, *, num_tokens: int, compared: int = 2) -> Found:
    """Sample about `num_tokens`; `compared` episodes are computed by a trainer too."""
    watched = Watched(engine)
    renderer = ChatRenderer(loaded.tokenizer)
    # Random weights seldom say the stop token, so that nearly all answers have full length.
    episodes = -(-num_tokens // (TURNS * _TOKENS_A_TURN))
    tasks = [Task(f"Say something, {number}.") for number in range(episodes)]
    trajectories = await collect(
        make_jobs(tasks, group_size=1, run_seed=0, prefix="long", env=ChatterConfig.id),
        config=ChatterConfig(),
        make_policy=token_policies(
            watched, renderer, SamplingConfig(max_tokens=_TOKENS_A_TURN, temperature=1.3)
        ),
        rollout=RolloutConfig(concurrency=32),
    )
    assert all(each.reason == "max_turns" for each in trajectories), trajectories[0].reason
    return Found(
        sampled=sum(each.num_sampled for each in trajectories),
        drift=sum(each.drift for each in trajectories) + _changed_later(watched),
        misread=_misread(trajectories, loaded.tokenizer),
        gap=max(_gap(each, loaded) for each in trajectories[:compared]),
    )


def _changed_later(watched: Watched) -> int:
    """Count tokens of each turn that are not the same, at the same place, in the next prompt."""
    changed = 0
    for turns in watched.asked.values():
        for (prompt, completion), (later, _) in pairwise(turns):
            before = [*prompt, *completion.token_ids]
            assert len(later) > len(before)
            changed += sum(a != b for a, b in zip(before, later, strict=False))
    return changed


def _misread(trajectories: Sequence[Trajectory], tokenizer: Any) -> float:
    turns = [step.completion.token_ids for each in trajectories for step in each.steps]
    again = [
        tokenizer.encode(tokenizer.decode(ids, skip_special_tokens=False), add_special_tokens=False)
        for ids in turns
    ]
    return sum(list(a) != b for a, b in zip(turns, again, strict=True)) / len(turns)


def _gap(trajectory: Trajectory, loaded: Loaded) -> float:
    (segment,) = trajectory.segments
    mask = torch.tensor([segment.sampled])
    policy = TrainerPolicy(loaded.model, temperature=1.3)
    with torch.no_grad():
        found = policy.stats(torch.tensor([segment.token_ids]), mask).logprobs
    return float((found - torch.tensor([segment.logprobs]))[mask].abs().max())
