"""Reading the records of verifiers 1: an episode a line, with a trace for each of its agents.

prime-rl's `stream/*.jsonl` holds the same; what its trainer noted elsewhere is not looked at. A
trace is a graph of messages, each with the tokens that it added; what it was rewritten to is
another path, which becomes another segment.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from agentgym.errors import StoreError
from agentgym.formats.conversation import asked, to_step
from agentgym.formats.reader import NO_END, Reader, Told, check, has_keys, short_name
from agentgym.formats.source import Source, Value
from agentgym.formats.verifiers_records import Episode, ModelCall, Node, Span, Trace, Usage
from agentgym.types import (
    OUTCOME,
    Completion,
    Message,
    Segment,
    Step,
    Task,
    Timings,
    Trajectory,
    digest,
)

_LIMITS = (
    "max_turns",
    "max_input_tokens",
    "max_output_tokens",
    "max_total_tokens",
    "compaction_failed",
)
_TOKENS = 50_000_000  # of all branches: few nodes can make very many of them


class VerifiersReader(Reader):
    """An episode for each trace; those of one group and agent belong together."""

    name = "verifiers"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._members: Counter[str] = Counter()

    @classmethod
    def sees(cls, source: Source) -> str | None:
        """Look for `traces` with `nodes`, or for a trace by itself."""
        first = source.first
        if has_keys(first, "nodes", "task", "agent") and isinstance(first["nodes"], list):
            return "a trace with `nodes`"
        if has_keys(first, "traces", "task") and isinstance(first["traces"], list):
            return "an episode with `traces`"
        return None

    def read(self, value: Value) -> Iterator[Trajectory]:
        """Make an episode of each trace."""
        record = value.value if has_keys(value.value, "traces") else {"traces": [value.value]}
        episode = check(Episode, value._replace(value=record))
        agents = list(dict.fromkeys(trace.agent.name for trace in episode.traces))
        for number, trace in enumerate(episode.traces):
            found = _trajectory(trace, episode, f"{value.name}.{number}", value.place, self.told)
            if trace.agent.name != agents[0]:
                found.group_id = f"{found.group_id}/{short_name(trace.agent.name, 'agent')}"
            found.member = self._members[found.group_id]
            self._members[found.group_id] += 1
            yield found


def _trajectory(trace: Trace, episode: Episode, name: str, place: str, told: Told) -> Trajectory:
    _check_graph(trace.nodes, place)
    prompt: list[Message] = []
    turns: list[list[Message]] = []  # what was sampled, and what was answered
    owners: dict[int, int] = {}
    for number, node in enumerate(trace.nodes):
        message = node.message.to_ours(told)
        if node.sampled:
            owners[number] = len(turns)
            turns.append([message])
        else:
            (turns[-1] if turns else prompt).append(message)
    steps = [to_step(*turn) for turn in turns]
    calls = {call.node: call for call in trace.calls}
    _measure(steps, owners, calls, trace)
    segments = _tokens(trace, episode, steps, owners, calls, place, told)
    _reward(steps, trace, told)
    task = _task(trace, episode, prompt)
    tools = trace.tools or next((node.tools for node in trace.nodes if node.tools), [])
    return Trajectory(
        id=short_name(trace.id, name),
        task=task,
        group_id=short_name(episode.group and episode.group.id, task.id),
        policy=next((call.model for call in trace.calls if call.model), ""),
        prompt=tuple(prompt),
        tools=tuple(tool.to_ours() for tool in tools),
        steps=steps,
        segments=segments,
        seconds=_seconds(trace.timing.agent),
        **_end(trace, told),
    )


def _check_graph(nodes: Sequence[Node], place: str) -> None:
    """Refuse a parent that does not come before its child: every walk to a root then ends."""
    for number, node in enumerate(nodes):
        if node.parent is not None and not 0 <= node.parent < number:
            where = f"nodes.{number}.parent"
            raise StoreError(f"{place}: {where}: expected an earlier node, found {node.parent}")


def _task(trace: Trace, episode: Episode, prompt: Sequence[Message]) -> Task:
    data = trace.task.data
    prompted = data.get("prompt")
    return Task(
        prompted if isinstance(prompted, str) else asked(prompt),
        id=short_name(data.get("id") or trace.task.key, digest(data)),
        payload=data,
        env=episode.env.id,
    )


def _measure(
    steps: list[Step], owners: dict[int, int], calls: dict[int | None, ModelCall], trace: Trace
) -> None:
    for number, index in owners.items():
        call = calls.get(number)
        if call is None:
            continue
        begin = trace.timing.agent.start
        started = max(0.0, call.time.start - begin) if begin and call.time.start else 0.0
        steps[index].timings = Timings(generate_s=_seconds(call.time), started_s=started)
        steps[index].usage = (call.usage or Usage()).to_ours()


def _seconds(span: Span) -> float:
    return max(0.0, span.end - span.start) if span.end else 0.0


def _reward(steps: list[Step], trace: Trace, told: Told) -> None:
    """Give the last step all rewards; the outcome is their weighted sum, as verifiers has it."""
    rewards = {name: each for name, each in trace.rewards.items() if each is not None}
    if len(rewards) < len(trace.rewards):
        told["with a reward that was not computed"] += 1
    if not steps or not rewards:
        return
    terms = {name: float(each) for name, each in trace.metrics.items() if each is not None}
    terms |= {name: each.score for name, each in rewards.items()}
    terms[OUTCOME] = sum(each.score * each.weight for each in rewards.values())
    steps[-1].reward_terms = terms


def _end(trace: Trace, told: Told) -> dict[str, Any]:
    reason = trace.stop_condition or ""
    if trace.errors and not trace.ok:
        fault = trace.errors[-1]
        return {"end": "error", "reason": f"{fault.type}: {fault.message}"}
    if reason == "error" or reason.endswith("_error"):
        return {"end": "error", "reason": reason}
    last = next((call for call in reversed(trace.calls) if call.error is None), None)
    if (
        reason in _LIMITS
        or reason.endswith("_timeout")
        or (last and last.finish_reason == "length")
    ):
        return {"end": "truncated", "reason": reason or "length"}
    if trace.ok or reason:
        return {"end": "terminated", "reason": reason}
    told["without an end"] += 1
    return {"end": "truncated", "reason": NO_END}


def _tokens(
    trace: Trace,
    episode: Episode,
    steps: list[Step],
    owners: dict[int, int],
    calls: dict[int | None, ModelCall],
    place: str,
    told: Told,
) -> list[Segment]:
    """Lay each path from a root to a leaf out as a segment, and tell the steps their tokens."""
    if not any(node.token_ids for node in trace.nodes):
        return []
    if not all(map(_is_whole, trace.nodes)):
        told["with tokens without mask or log-probabilities, left out"] += 1
        return []
    policy = episode.run.work.policy
    if policy is None or policy.start != policy.end:
        told["with tokens that do not tell their policy version"] += 1
    versions = ((0, policy.start if policy else 0),)
    for number, index in owners.items():
        node = trace.nodes[number]
        if node.logprobs:
            reason = calls[number].finish_reason if number in calls else None
            first = node.mask.index(True)
            steps[index].completion = Completion(
                token_ids=tuple(node.token_ids[first : first + len(node.logprobs)]),
                logprobs=tuple(node.logprobs),
                finish_reason="length" if reason == "length" else "stop",
                versions=versions,
            )
    return _segments(trace.nodes, owners, place)


def _is_whole(node: Node) -> bool:
    """Whether each token tells if it was sampled; those that were stand together, with numbers."""
    count = sum(node.mask)
    first = node.mask.index(True) if count else 0
    return (
        len(node.mask) == len(node.token_ids)
        and count == len(node.logprobs)
        and all(node.mask[first : first + count])
        and (count == 0 or node.sampled)
    )


def _segments(nodes: Sequence[Node], owners: dict[int, int], place: str) -> list[Segment]:
    """Return a segment a path. A node belongs to the first that has it; in others it is prompt."""
    parents = {node.parent for node in nodes}
    home: dict[int, int] = {}
    segments: list[Segment] = []
    room = _TOKENS
    for leaf in range(len(nodes)):
        if leaf in parents:
            continue
        path = _path(nodes, leaf)
        room -= len(path) + sum(len(nodes[each].token_ids) for each in path)
        if room < 0:
            raise StoreError(f"{place}: its branches have more than {_TOKENS} tokens in all")
        shared = [home[each] for each in path if each in home]
        segment = Segment(
            parent=shared[-1] if shared else (len(segments) - 1 if segments else None),
            reason=("branch" if shared else "edit") if segments else "start",
        )
        for number in path:
            _lay(segment, nodes[number], owners.get(number) if number not in home else None)
            home.setdefault(number, len(segments))
        segments.append(segment)
    return segments


def _path(nodes: Sequence[Node], leaf: int) -> list[int]:
    path = [leaf]
    while (parent := nodes[path[-1]].parent) is not None:
        path.append(parent)
    return path[::-1]


def _lay(segment: Segment, node: Node, owner: int | None) -> None:
    """Append the tokens of a node; those that it sampled are a step's where it has an owner."""
    begin = len(segment.token_ids)
    segment.token_ids += node.token_ids
    segment.sampled += [False] * len(node.token_ids)
    segment.logprobs += [0.0] * len(node.token_ids)
    if owner is not None and node.logprobs:
        first = begin + node.mask.index(True)
        stop = first + len(node.logprobs)
        segment.sampled[first:stop] = [True] * len(node.logprobs)
        segment.logprobs[first:stop] = node.logprobs
        segment.steps.append((owner, first, stop))
