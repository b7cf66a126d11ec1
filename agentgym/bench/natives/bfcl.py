"""BFCL: its own executor, on instances that it makes for each episode."""

import json
from collections.abc import Iterator, Sequence
from itertools import count

from agentgym.bench.natives import Native, Play
from agentgym.env import EnvConfig
from agentgym.envs.bfcl.data import Entry, entry_of
from agentgym.types import Message, Task

_serials = count()


def native(config: EnvConfig) -> Native:
    """Play without agentgym: as BFCL's handlers do, without a model; the checker is its own."""

    def prepare(task: Task, messages: Sequence[Message]) -> Play:
        entry = entry_of(task)
        turns = list(_turns(messages))
        return lambda: _play(entry, turns)

    return Native("bfcl-eval", prepare)


def _turns(messages: Sequence[Message]) -> Iterator[list[list[str]]]:
    """Yield [step][call] for every turn of the user."""
    steps: list[list[str]] = []
    for message in messages:
        if not message.tool_calls:
            yield steps
            steps = []
            continue
        calls = [(call.name, json.loads(call.arguments)) for call in message.tool_calls]
        steps.append(
            [
                f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
                for name, arguments in calls
            ]
        )
    yield steps


def _play(entry: Entry, turns: Sequence[list[list[str]]]) -> int:
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    name, raw, taken = f"native_{next(_serials)}_", entry.raw, 0
    for steps in turns:
        for calls in steps:
            multi_turn_utils.execute_multi_turn_func_call(
                calls,
                raw["initial_config"],
                raw["involved_classes"],
                name,
                entry.id,
                long_context=entry.is_long,
            )
            taken += 1
    if len(turns) > len(entry.truth):  # the user said all of it
        multi_turn_checker(list(turns[:-1]), entry.truth, raw, "", name)
        taken += len(entry.truth)
    else:
        taken += len(turns) - 1
    kept = vars(multi_turn_utils)  # else it would grow with every episode
    for each in [each for each in kept if each.startswith(name)]:
        del kept[each]
    return taken
