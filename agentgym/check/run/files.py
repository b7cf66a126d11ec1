"""Promises about a run as a whole: its files, and which episodes were trained on."""

from collections import Counter
from collections.abc import Iterator

from agentgym.check.report import NotChecked
from agentgym.check.run.subject import RunSubject
from agentgym.errors import StoreError
from agentgym.metrics import read_metrics
from agentgym.store import episodes, notes
from agentgym.store.frames import read_heads, read_record, shards

_MAX_GAP = 0.1  # nats; engines in bfloat16 stay near 0.02, one with stale weights near 0.2


def check_files(subject: RunSubject) -> Iterator[str]:
    """Every record of every shard is whole."""
    for module in (episodes, notes):
        for path in shards(subject.run.root / module.FOLDER):
            stop = 0
            try:
                for head in read_heads(path, schema=module.SCHEMA):
                    stop = head.stop
                    read_record(head)
            except StoreError as error:
                yield str(error)
                continue
            if stop and stop < path.stat().st_size:
                yield f"{path}: {path.stat().st_size - stop} bytes after the last whole record"


def check_used(subject: RunSubject) -> Iterator[str]:
    """What was trained on is in the record, came to its own end, and was used once."""
    _need_steps(subject)
    used = Counter(name for note in subject.notes.values() for name in note.payload["trajectories"])
    for name, times in used.items():
        head = subject.heads.get(name)
        if head is None:
            yield f"{name} was trained on and is not in the record"
        elif head.end == "error":
            yield f"{name} ended by a fault ({head.reason}) and was trained on"
        if times > 1:
            yield f"{name} was trained on {times} times"


def check_groups(subject: RunSubject) -> Iterator[str]:
    """A group is of one task, and no member of it counts twice."""
    _need_steps(subject)
    for step, note in subject.notes.items():
        names = note.payload["trajectories"]
        heads = [subject.heads[name] for name in names if name in subject.heads]
        tasks = {(head.group_id, head.task_id) for head in heads}
        for group, count in Counter(group for group, _ in tasks).items():
            if count > 1:
                yield f"step {step}: the group {group} is of {count} tasks"
        places = Counter((head.group_id, head.member) for head in heads)
        for (group, member), count in places.items():
            if count > 1:
                yield f"step {step}: member {member} of the group {group} counts {count} times"


def check_gap(subject: RunSubject) -> Iterator[str]:
    """Engine and trainer agree on how likely the sampled tokens were."""
    path = subject.run.metrics_path
    scalars = read_metrics(path) if path.is_file() else {}
    gaps = {step: each["logprob_gap"] for step, each in scalars.items() if "logprob_gap" in each}
    if not gaps:
        raise NotChecked("no step has logged `logprob_gap`")
    for step, gap in gaps.items():
        if not gap <= _MAX_GAP:
            yield f"step {step}: {gap:.3g} nats apart in the mean, more than {_MAX_GAP}"


def _need_steps(subject: RunSubject) -> None:
    if not subject.notes:
        raise NotChecked("the record has no optimiser step")
