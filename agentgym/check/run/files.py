"""Promises about a run as a whole: its files, and which episodes were trained on."""

from collections import Counter
from collections.abc import Iterator

from agentgym.check.report import NotChecked
from agentgym.check.run.subject import RunSubject, names_of, some
from agentgym.config.toml import read_toml
from agentgym.errors import ConfigError
from agentgym.store.address import address_of


def check_files(subject: RunSubject) -> Iterator[str]:
    """Every record of every shard is whole, and the configuration can be read."""
    yield from subject.damage
    config = subject.run.config_path
    if not config.is_file():
        yield f"{config} is missing"
        return
    try:
        read_toml(config)
    except ConfigError as error:
        yield str(error)


def check_used(subject: RunSubject) -> Iterator[str]:
    """What was trained on is in the record, came to its own end, and was used once."""
    _need_steps(subject)
    count, numbers = subject.missing
    if count:
        which = f"optimiser steps are not in the record: {some(numbers)}"
        yield f"{count} of {subject.num_steps} {which}"
    yield from subject.unread
    used = Counter(name for note in subject.notes.values() for name in names_of(note))
    for name, times in used.items():
        head = subject.heads.get(name)
        if head is None:
            yield f"{name} was trained on and is not in the record"
        elif head.end == "error":
            yield f"{address_of(subject.run.root, name)} ended by a fault ({head.reason}) and was trained on"
        if times > 1:
            yield f"{address_of(subject.run.root, name)} was trained on {times} times"


def check_groups(subject: RunSubject) -> Iterator[str]:
    """A group is of one task, and no member of it counts twice."""
    _need_steps(subject)
    for step, note in subject.notes.items():
        heads = [subject.heads[name] for name in names_of(note) if name in subject.heads]
        tasks = {(head.group_id, head.task_id) for head in heads}
        for group, count in Counter(group for group, _ in tasks).items():
            if count > 1:
                yield f"step {step + 1}: the group {group} is of {count} tasks"
        places = Counter((head.group_id, head.member) for head in heads)
        for (group, member), count in places.items():
            if count > 1:
                yield f"step {step + 1}: member {member} of the group {group} counts {count} times"


def _need_steps(subject: RunSubject) -> None:
    if not subject.num_steps:
        raise NotChecked("the record has no optimiser step")
