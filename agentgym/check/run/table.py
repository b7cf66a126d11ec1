"""The checks of a run, the bugs that each would have caught, and what goes through them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from agentgym.check.report import NotChecked, Status
from agentgym.check.run import episodes, files, tokens, updates
from agentgym.check.run.report import Rounded, RunReport, RunResult
from agentgym.check.run.subject import RunSubject, UpdateSubject
from agentgym.check.run.texts import check_texts
from agentgym.errors import AgentGymError, without_warnings
from agentgym.store.address import address_of
from agentgym.store.episodes import FOLDER
from agentgym.store.run import Run
from agentgym.types import Trajectory
from agentgym.version import __version__

_SHOWN = 3
_CHANGED = "record, configuration or code were changed after the training"
_ROUNDING = (
    "all differences are as small as rounding: the code of the training, though of the same "
    "version, or the machine added the same numbers up in another order"
)


class RunCheck(NamedTuple):
    """One promise about a run; one of the three functions yields what breaks it."""

    number: int
    name: str
    promise: str
    caught: tuple[str, ...]
    """Issues and pull requests of other frameworks whose bug it would have found."""
    of_run: Callable[[RunSubject], Iterator[str]] | None = None
    of_episode: Callable[[Trajectory, RunSubject], Iterator[str]] | None = None
    of_update: Callable[[UpdateSubject, RunSubject], Iterator[str]] | None = None


CHECKS = (
    RunCheck(
        1,
        "files",
        "every record is whole",
        ("trajectoryRL PR#203",),
        of_run=files.check_files,
    ),
    RunCheck(
        2,
        "streams",
        "a stream of tokens only grows, or a new one says why",
        ("TRL#5224", "prime-rl#1334", "SkyRL#1277"),
        of_episode=episodes.check_streams,
    ),
    RunCheck(
        3,
        "masks",
        "exactly the sampled tokens are marked as sampled",
        ("RAGEN#71", "SkyRL PR#710", "verifiers#719", "unsloth#5673"),
        of_episode=episodes.check_masks,
    ),
    RunCheck(
        4,
        "tokens",
        "tokens are stored as they were sampled",
        ("TRL PR#6250", "ART#726", "NeMo Gym#1416"),
        of_episode=episodes.check_completions,
    ),
    RunCheck(
        5,
        "texts",
        "sampled tokens, decoded, are the model's messages",
        ("NeMo Gym#1416", "SkyRL#123"),
        of_episode=check_texts,
    ),
    RunCheck(
        6,
        "logprobs",
        "sampled tokens have log-probabilities, others have none",
        ("TRL#6166", "miles PR#2662"),
        of_episode=episodes.check_logprobs,
    ),
    RunCheck(
        7,
        "ends",
        "every end has a reason, and a fault is no failure",
        ("NeMo Gym#1351", "trajectoryRL PR#203"),
        of_episode=episodes.check_ends,
    ),
    RunCheck(
        8,
        "used",
        "what was trained on is recorded, without fault, and used once",
        ("NeMo Gym#1351", "verl PR#6375"),
        of_run=files.check_used,
    ),
    RunCheck(
        9,
        "groups",
        "a group is of one task, each member once",
        ("Megatron-LM PR#2966",),
        of_run=files.check_groups,
    ),
    RunCheck(
        10,
        "versions",
        "no token is of a policy older than train.max_staleness allows",
        ("rllm#291",),
        of_update=updates.check_versions,
    ),
    RunCheck(
        11,
        "gap",
        "engine and trainer agree on log-probabilities",
        ("TRL#5312", "TRL#4159", "open-instruct#1473", "TRL#6688"),
        of_update=tokens.check_gap,
    ),
    RunCheck(
        12,
        "finite",
        "rewards and advantages are finite, one for each step or token",
        ("TRL#6166",),
        of_update=updates.check_finite,
    ),
    RunCheck(
        13,
        "rewards",
        "rewards come out again, bit for bit",
        ("verl PR#6362", "verl PR#6310"),
        of_update=updates.check_rewards,
    ),
    RunCheck(
        14,
        "advantages",
        "advantages come out again, bit for bit",
        ("verl#7278", "verl PR#6375", "miles PR#1827", "grpo-flat#2"),
        of_update=updates.check_advantages,
    ),
    RunCheck(
        15,
        "zeros",
        "no step lost the advantage of its trajectory",
        ("SkyRL#1492",),
        of_update=updates.check_zeros,
    ),
    RunCheck(
        16,
        "weights",
        "each sampled token has the weight of the loss, or a cause for none",
        ("prime-rl PR#583", "open-instruct PR#1161"),
        of_update=tokens.check_weights,
    ),
)


def check_run(run: Run, *, on_item: Callable[[str], None] = lambda _: None) -> RunReport:
    """Look at everything that a run recorded; `on_item` hears of each episode and step."""
    with without_warnings("agentgym.store"):  # broken records are findings here
        return _checked(RunSubject(run), on_item)


def _checked(subject: RunSubject, on_item: Callable[[str], None]) -> RunReport:
    rows = [(check, _result(check)) for check in CHECKS]
    for trajectory in subject.episodes():
        place = address_of(subject.run.root, trajectory.id)
        for check, result in rows:
            if check.of_episode:
                _look(result, place, check.of_episode, trajectory, subject)
        on_item(trajectory.id)
    for found in subject.updates():
        for check, result in rows:
            if check.of_update:
                _look(result, found.where, check.of_update, found, subject)
        on_item(f"optimiser {found.where}")
    for check, result in rows:  # the last, since reading the others has told what is broken
        if check.of_run:
            _look(result, str(subject.run.root), check.of_run, subject)
    results = [_finished(check, result, subject) for check, result in rows]
    return RunReport(run=str(subject.run.root), results=results)


def _result(check: RunCheck) -> RunResult:
    return RunResult(
        number=check.number, name=check.name, promise=check.promise, caught=check.caught
    )


def _look(
    result: RunResult, where: str, find: Callable[..., Iterator[str]], *subjects: Any
) -> None:
    try:
        for wrong in find(*subjects):
            _blame(result, wrong)
        result.seen += 1
    except NotChecked as error:
        if result.status is not Status.FAILED and not result.message:
            result.message, result.hint = str(error), error.hint
    except AgentGymError as error:
        _blame(result, f"{where}: {error}")
    except Exception as error:  # noqa: BLE001  a record can be broken in any way
        _blame(result, f"{where} cannot be looked at: {type(error).__name__}: {error}")


def _blame(result: RunResult, wrong: str) -> None:
    if result.status is not Status.FAILED:
        result.status, result.message, result.hint = Status.FAILED, "", None
    result.broken += 1
    result.rounded += isinstance(wrong, Rounded)
    if result.broken <= _SHOWN:
        result.message += f"{'; ' if result.message else ''}{wrong}"


def _finished(check: RunCheck, result: RunResult, subject: RunSubject) -> RunResult:
    if result.status is Status.FAILED:
        if result.broken > _SHOWN:
            result.message += f"; and {result.broken - _SHOWN} more"
        if result.name in ("rewards", "advantages"):
            is_rounding = result.rounded == result.broken
            result.hint = _other_versions(subject.run) or (_ROUNDING if is_rounding else _CHANGED)
    elif not result.message:
        result.message = _unseen(check, result, subject)
        if not result.message:
            result.status = Status.PASSED
    return result


def _unseen(check: RunCheck, result: RunResult, subject: RunSubject) -> str:
    """Say what a check that found nothing has not looked at."""
    if check.of_update and result.seen < subject.num_steps:
        return f"{result.seen} of {subject.num_steps} optimiser steps can be read (see used)"
    if check.of_episode and FOLDER in subject.damage.values():
        return f"{result.seen} episodes can be read, and not all (see files)"
    if not result.seen:
        return f"the record has no {'optimiser step' if check.of_update else 'episode'}"
    return ""


def _other_versions(run: Run) -> str:
    """Say which versions recorded the run, if they are not those of now."""
    then = run.info.get("versions", {})
    now = {"agentgym": __version__, "numpy": np.__version__}
    changed = [
        f"{name} {then.get(name)}, now {mine}"
        for name, mine in now.items()
        if then.get(name) != mine
    ]
    if changed:
        return f"it was recorded by other versions, which may round otherwise: {'; '.join(changed)}"
    return ""
