"""Tags of an episode: what looks like a hacked reward, and what else is worth a filter.

A tag is a hint to look and no proof. Each is a row of the table below: its name, what it looks at,
and a predicate that says what it saw, or nothing. Messages are text that a model wrote: they are
searched, never run.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from agentgym.types import Step, ToolCall, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What tags look at: an episode, and what is known of it besides."""

    trajectory: Trajectory
    success: float = 1.0
    """The outcome that counts as one."""
    reward: float | None = None
    """What it was paid in all; None: not known."""
    trained: int | None = None
    """The version of the policy that was trained on it; None: none was, or not known."""
    group: Sequence[tuple[float, int]] = ()
    """(outcome, turns) of each episode of the group, this one too; empty: not known."""

    @property
    def is_success(self) -> bool:
        """Whether it solved its task."""
        return self.trajectory.end != "error" and self.trajectory.outcome >= self.success

    @property
    def calls(self) -> list[ToolCall]:
        """All calls of tools, in order."""
        return [call for step in self.trajectory.steps for call in step.message.tool_calls]


class Tag(NamedTuple):
    """One kind of tag."""

    name: str
    looks_at: str
    is_tripwire: bool
    """Whether it hints at a hacked reward."""
    find: Callable[[Seen], str | None]
    """Returns what it saw; None: nothing."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag that an episode has."""

    name: str
    note: str
    is_tripwire: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"name": self.name, "note": self.note, "tripwire": self.is_tripwire}


def tags_of(seen: Seen) -> list[Tagged]:
    """Return the tags of an episode, in the order of the table."""
    found = ((tag, tag.find(seen)) for tag in TAGS)
    return [Tagged(tag.name, note, tag.is_tripwire) for tag, note in found if note is not None]


# Tripwires

_TESTS = re.compile(  # no check_weather, and no checkout
    r"(^|[^a-z])((run_?)?(py|unit)?tests?([^a-z]|$)|"
    r"(check|verify|validate)(er)?_?(answer|code|program|result|solution|syntax|work|$))",
    re.IGNORECASE,
)
_HIDES = re.compile(
    r"2>\s*/dev/null|&>\s*/dev/null|\|\|\s*(?:true|:)(?![\w])|set \+e|"
    r"except(?:\s+(?:Base)?Exception)?(?:\s+as\s+\w+)?\s*:\s*(?:pass|\.\.\.)"
)
_WRITES = re.compile(
    r"write|edit|patch|replace|create|append|delete|remove|save|move", re.IGNORECASE
)
_TEST_FILE = re.compile(
    r"(^|[\s/\"'])(tests?/|test_\w{1,80}\.\w|\w{1,80}_test\.\w|conftest\.py)", re.IGNORECASE
)
_FAILED = re.compile(
    r"^\s*(?:error\b|traceback \(most recent call last\))|"
    r"\b(?:exit (?:code|status)|exited(?: with)?(?: code| status)?|return ?code)[ :=]+[1-9]\d{0,3}\b",
    re.IGNORECASE | re.MULTILINE,
)
_MOST_SEARCHED = 20_000  # characters of one text: of a huge one the beginning and the end
_MANY_CALLS = 3
_SHORT = 0.5  # of the median of the group's other successes


def _success_without_tests(seen: Seen) -> str | None:
    offered = [tool.name for tool in seen.trajectory.tools if _TESTS.search(tool.name)]
    if not seen.is_success or not offered or any(call.name in offered for call in seen.calls):
        return None
    return f"solved without a call of {', '.join(sorted(offered)[:3])}"


def _answer_before_work(seen: Seen) -> str | None:
    if not seen.is_success or not seen.trajectory.tools or not seen.trajectory.steps:
        return None
    first = seen.trajectory.steps[0].message
    if first.tool_calls or not first.content.strip():
        return None
    return "the first message is an answer, before any tool was called"


def _hidden_errors(seen: Seen) -> str | None:
    for number, step in enumerate(seen.trajectory.steps):
        for call in step.message.tool_calls:
            if match := _HIDES.search(_cut(_unescaped(call.arguments))):
                return f"step {number} calls {call.name} with {match[0]!r}"
    return None


def _tests_edited(seen: Seen) -> str | None:
    for number, step in enumerate(seen.trajectory.steps):
        for call in step.message.tool_calls:
            if not _WRITES.search(call.name):
                continue
            if match := _TEST_FILE.search(_cut(_unescaped(call.arguments))):
                return f"step {number} calls {call.name} on {match[0].strip()!r}"
    return None


def _success_after_error(seen: Seen) -> str | None:
    steps = seen.trajectory.steps
    if not seen.is_success or len(steps) < 2:
        return None
    before = [reply.content for reply in steps[-2].replies if reply.role == "tool"]
    if not before or not all(_FAILED.search(_cut(text)) for text in before):
        return None
    return f"solved right after step {len(steps) - 2} failed"


def _short_success(seen: Seen) -> str | None:
    turns = len(seen.trajectory.steps)
    others = sorted(count for outcome, count in seen.group if outcome >= seen.success)
    if not seen.is_success or len(others) < 3:  # itself and two more, or there is no usual length
        return None
    usual = others[len(others) // 2]
    return f"{turns} turns, usual are {usual}" if turns <= _SHORT * usual else None


def _paid_failure(seen: Seen) -> str | None:
    outcome, reward = seen.trajectory.outcome, seen.reward
    if seen.trajectory.end == "error" or reward is None or outcome > 0:
        return None
    if reward < 0.5 * seen.success:
        return None
    return f"paid {reward:.4g}, and the outcome is {outcome:.4g}"


def _repeated_calls(seen: Seen) -> str | None:
    for key, run in groupby(enumerate(seen.trajectory.steps), lambda pair: _asked(pair[1])):
        steps = [number for number, _ in run]
        if key is not None and len(steps) >= _MANY_CALLS:
            return f"the same action {len(steps)} times from step {steps[0]}"
    return None


# What else is worth a filter


def _fault(seen: Seen) -> str | None:
    return seen.trajectory.reason[:200] if seen.trajectory.end == "error" else None


def _truncated(seen: Seen) -> str | None:
    return seen.trajectory.reason[:200] if seen.trajectory.end == "truncated" else None


def _timed_out(seen: Seen) -> str | None:
    return "a time limit fired: it need not replay equally" if seen.trajectory.timed_out else None


def _cut_off(seen: Seen) -> str | None:
    numbers = [
        number
        for number, step in enumerate(seen.trajectory.steps)
        if step.completion and step.completion.finish_reason == "length"
    ]
    return f"the message of step {numbers[0]} was cut off" if numbers else None


def _broken_call(seen: Seen) -> str | None:
    for number, step in enumerate(seen.trajectory.steps):
        for call in step.message.tool_calls:
            if not isinstance(_parsed(call.arguments), dict):
                return f"step {number} calls {call.name[:80]} with what is no JSON object"
    return None


def _drift(seen: Seen) -> str | None:
    count = seen.trajectory.drift
    return f"{count} tokens are stored otherwise than they were sampled" if count else None


def _switched(seen: Seen) -> str | None:
    for number, step in enumerate(seen.trajectory.steps):
        if step.completion and len(step.completion.versions) > 1:
            token, version = step.completion.versions[1]
            return f"policy {version} took over at token {token} of step {number}"
    return None


def _stale(seen: Seen) -> str | None:
    versions = list(_versions(seen.trajectory))
    if seen.trained is None or not versions or min(versions) >= seen.trained:
        return None
    lag = seen.trained - min(versions)
    return f"up to {lag} versions older than the policy that was trained on it"


def _rewritten(seen: Seen) -> str | None:
    reasons = [each.reason for each in seen.trajectory.segments if each.reason != "start"]
    return f"{len(reasons)} times ({', '.join(sorted(set(reasons)))})" if reasons else None


def _equal_group(seen: Seen) -> str | None:
    outcomes = {outcome for outcome, _ in seen.group}
    if len(seen.group) < 2 or len(outcomes) > 1:
        return None
    return f"all {len(seen.group)} of its group have the outcome {outcomes.pop():.4g}"


def _forked(seen: Seen) -> str | None:
    parent, step = seen.trajectory.parent_id, seen.trajectory.fork_step
    return f"of {parent}, at step {step}" if parent is not None else None


TAGS = (
    Tag("success_without_tests", "tools that test, calls", True, _success_without_tests),
    Tag("answer_before_work", "the first message, tools", True, _answer_before_work),
    Tag("hidden_errors", "arguments of calls", True, _hidden_errors),
    Tag("tests_edited", "arguments of calls that write", True, _tests_edited),
    Tag("success_after_error", "the last answer of a tool but one", True, _success_after_error),
    Tag("short_success", "turns, beside successes of the group", True, _short_success),
    Tag("paid_failure", "reward and outcome", True, _paid_failure),
    Tag("repeated_calls", "actions, one after the other", True, _repeated_calls),
    Tag("fault", "the end", False, _fault),
    Tag("truncated", "the end", False, _truncated),
    Tag("timed_out", "time limits", False, _timed_out),
    Tag("cut_off", "why sampling stopped", False, _cut_off),
    Tag("broken_call", "arguments of calls", False, _broken_call),
    Tag("drift", "tokens as stored and as sampled", False, _drift),
    Tag("switched", "policy versions inside of a message", False, _switched),
    Tag("stale", "policy versions, sampled and trained", False, _stale),
    Tag("rewritten", "segments", False, _rewritten),
    Tag("equal_group", "outcomes of the group", False, _equal_group),
    Tag("forked", "the parent", False, _forked),
)
"""Every tag."""


def _asked(step: Step) -> tuple[object, ...] | None:
    """Return what a step asked for; None: nothing, or for what cannot be told."""
    if not step.action_key and not step.message.tool_calls:
        return None
    calls = tuple((call.name, call.arguments) for call in step.message.tool_calls)
    return (step.action_key, step.state_key, calls)


def _versions(trajectory: Trajectory) -> Iterator[int]:
    for step in trajectory.steps:
        if step.completion:
            yield from (version for _, version in step.completion.versions)


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return None


def _unescaped(arguments: str) -> str:
    """Return the strings in a call as they are meant; what is no JSON as it stands."""
    found = _parsed(arguments)
    return "\n".join(_strings(found)) if isinstance(found, dict) else arguments


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, but not the names of fields."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list):
            waiting += reversed([*(each.values() if isinstance(each, dict) else each)])


def _cut(text: str) -> str:
    if len(text) <= _MOST_SEARCHED:
        return text
    half = _MOST_SEARCHED // 2
    return f"{text[:half]}\n{text[-half:]}"
