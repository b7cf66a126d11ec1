"""A question of reasoning-gym, answered once or a few times."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.reasoning_gym.judging import ASIDE, judge, manner
from agentgym.envs.reasoning_gym.questions import Source, entry, questions
from agentgym.errors import TaskError
from agentgym.types import OUTCOME, Message, Task

_ANSWERED = 1.0


class ReasoningGymConfig(EnvConfig):
    """Which datasets, how hard, and how often one may try."""

    id: ClassVar[str] = "agentgym/ReasoningGym-v0"
    packages: ClassVar[tuple[str, ...]] = ("reasoning_gym",)

    dataset: str | tuple[str, ...] = "chain_sum"
    """Its name; several names take turns."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the dataset's own configuration; where there are several datasets, name = {options}."""
    level: int | None = Field(default=None, ge=0)
    """Level of the dataset's curriculum, 0 is the easiest, below the options; null: none."""
    seed: int = Field(default=0, ge=0, lt=4096)
    """Each has its million questions, although a small dataset repeats some."""
    tries: int = Field(default=1, ge=1)
    """Answers one may give; between them the score is told."""
    system: Literal["default", "DeepSeekZero", "simple", "direct", "chain_of_draft"] | None = (
        "default"
    )
    """Which of reasoning-gym's system prompts; null: none."""

    @model_validator(mode="after")
    def _check(self) -> "ReasoningGymConfig":
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"dataset should be names, each once, not {self.dataset!r}")
        if self.tries > self.max_turns:
            raise ValueError(f"tries={self.tries} are more than max_turns={self.max_turns}")
        several = not isinstance(self.dataset, str)
        if several and (strangers := self.options.keys() - set(self.names)):
            raise ValueError(f"options of {', '.join(sorted(strangers))}, which is no dataset here")
        for source in self.sources():
            if {"seed", "size"} & json.loads(source.options).keys():
                raise ValueError("seed is a key of its own, and size is not to be chosen")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the datasets."""
        return (self.dataset,) if isinstance(self.dataset, str) else self.dataset

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield questions: test has up to 100 of each dataset, train all that are not in test."""
        streams = [(source, questions(source, split)) for source in self.sources()]
        while streams:
            for source, places in list(streams):
                place = next(places, None)
                if place is None:
                    streams.remove((source, places))
                else:
                    yield _task(source, place)

    def sources(self) -> list[Source]:
        """Return where the questions come from."""
        several = not isinstance(self.dataset, str)
        return [
            Source(
                name,
                json.dumps(self.options.get(name, {}) if several else self.options, sort_keys=True),
                self.level,
                self.seed,
            )
            for name in self.names
        ]

    def build(self, sandboxes: object = None) -> "ReasoningGymEnv":
        """Make one environment."""
        slow = any(manner(source) in ASIDE for source in self.sources())
        return (_Computing if slow else ReasoningGymEnv)(self)


class ReasoningGymEnv(Env):
    """`score` is what reasoning-gym gives for each answer, `outcome` that of the last one."""

    inline: ClassVar[bool] = True

    def __init__(self, config: ReasoningGymConfig) -> None:
        self._config = config

    def reset(self, task: Task, *, seed: int) -> Reset:
        """Ask the question of the task; the seed changes nothing."""
        self._source, self._place = _place(task)
        if entry(self._source, self._place)["question"] != task.prompt:
            raise TaskError(
                f"task {task.id}: this version of reasoning-gym asks another question",
                hint="install the version that made the task",
            )
        self._task_id = task.id
        self._tries, self._score = 0, 0.0
        system = _system_prompt(self._config.system)
        return Reset((*system, Message("user", task.prompt)))

    def step(self, message: Message) -> EnvStep:
        """Score the last <answer> of a message, or all of it where there is none."""
        verdict = judge(self._source, self._place, answer_in(message.content))
        self._tries, self._score = self._tries + 1, verdict.score
        left = self._config.tries - self._tries
        terms, info = {"score": verdict.score}, {"timed_out": True} if verdict.timed_out else {}
        if left <= 0 or verdict.score >= _ANSWERED:
            terms[OUTCOME] = verdict.score
            return EnvStep((), terms, terminated=True, info=info)
        text = f"That scores {verdict.score:.2f} of 1. Tries left: {left}."
        return EnvStep((Message("user", text),), terms, info=info)

    def truncate(self) -> dict[str, float]:
        """Count the last answer."""
        return {OUTCOME: self._score}

    def state_key(self) -> str:
        """Identify the question and the tries so far."""
        return f"{self._task_id} {self._tries}"

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the one who knows the answer, where the dataset has one."""
        answer = entry(*_place(task))["answer"]
        if level != "expert" or answer is None:
            return super().expert(task, seed=seed, level=level)

        def play(conversation: Sequence[Message]) -> Message:
            return Message("assistant", f"<answer>{answer}</answer>")

        return play


class _Computing(ReasoningGymEnv):
    """Steps on a thread: what is scored in a process of its own can take seconds."""

    inline: ClassVar[bool] = False


def answer_in(text: str) -> str:
    """Return the last <answer> in a text, or all of it where there is none.

    >>> answer_in("I think <answer>4</answer>, no: <answer> 5 </answer>"), answer_in(" 5 ")
    ('5', '5')
    """
    # As reasoning-gym's own `extract_answer`, whose time grows with the square of the length.
    for part in reversed(text.split("</answer>")[:-1]):
        _, opened, answer = part.partition("<answer>")
        if opened:
            return answer.strip()
    return text.strip()


def _task(source: Source, place: int) -> Task:
    item = entry(source, place)
    return Task(
        item["question"],
        id=f"{source.dataset}-{place}",
        answer=item["answer"],
        payload={**source._asdict(), "place": place},
    )


def _place(task: Task) -> tuple[Source, int]:
    payload = task.payload if isinstance(task.payload, dict) else {}
    try:
        return Source(*(payload[field] for field in Source._fields)), payload["place"]
    except KeyError as error:
        raise TaskError(
            f"task {task.id} does not say which question it is",
            hint="take tasks from ReasoningGymConfig().tasks(split)",
        ) from error


def _system_prompt(name: str | None) -> tuple[Message, ...]:
    from reasoning_gym.utils import SYSTEM_PROMPTS

    return () if name is None else (Message("system", SYSTEM_PROMPTS[name].strip()),)
