"""Trajectories of any content, drawn by Hypothesis: what models say is hostile."""

import json

import numpy as np
from drawn_panels import panels
from hypothesis import strategies as st

from agentgym.types import (
    Completion,
    Message,
    Segment,
    Step,
    Task,
    Timings,
    ToolCall,
    ToolSpec,
    Trajectory,
)

Texts = st.text(max_size=12) | st.sampled_from(
    ["```", "</script>", "\u2028", "{", "[x](y)", "\x1b[31m"]
)
Drawn = st.lists(panels(Texts), max_size=2).map(tuple)
Finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
Ids = st.integers(0, 2**31 - 1)
Json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | Texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(Texts, inner, max_size=2),
    max_leaves=4,
)
Arguments = st.dictionaries(Texts, Json, max_size=2).map(json.dumps)
"""JSON of an object, with other escapes than we would write."""
Calls = st.builds(ToolCall, name=Texts, arguments=Arguments | Texts, id=Texts)
Replies = st.builds(
    Message, role=st.sampled_from(["system", "user", "assistant"]), content=Texts
) | st.builds(Message, role=st.just("tool"), content=Texts, tool_call_id=st.none() | Texts)
Answers = st.builds(
    Message,
    role=st.just("assistant"),
    content=Texts,
    tool_calls=st.lists(Calls, max_size=2).map(tuple),
)
Completions = st.lists(st.tuples(Ids, Finite), min_size=1, max_size=3).map(
    lambda pairs: Completion(
        token_ids=tuple(token for token, _ in pairs),
        logprobs=tuple(logprob for _, logprob in pairs),
        finish_reason="length" if len(pairs) == 2 else "stop",
        versions=((0, len(pairs)),),
    )
)
Terms = st.dictionaries(Texts | st.just("outcome"), Finite, max_size=2)
Timed = st.builds(Timings, **dict.fromkeys(("generate_s", "env_s", "started_s"), st.floats(0, 1e6)))
Steps = st.builds(
    Step,
    message=Answers,
    replies=st.lists(Replies, max_size=2).map(tuple),
    reward_terms=Terms,
    state_key=st.none() | Texts,
    next_state_key=st.none() | Texts,
    action_key=Texts,
    completion=st.none() | Completions,
    agent=Texts,
    timed_out=st.booleans(),
    usage=st.dictionaries(st.sampled_from(["prompt_tokens", "cost", "retries"]), st.just(3.0)),
    timings=Timed,
    panels=Drawn,
)
Tools = st.builds(
    ToolSpec, name=Texts, description=Texts, parameters=st.dictionaries(Texts, Json, max_size=2)
)
Tasks = st.builds(
    Task, prompt=Texts, id=st.text(min_size=1, max_size=8), answer=Json, payload=Json, env=Texts
)


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    """An episode whose tokens, where it has any, are laid out as by `TokenPolicy`."""
    steps = draw(st.lists(Steps, max_size=3))
    return Trajectory(
        id=draw(st.text(min_size=1, max_size=8)),
        task=draw(Tasks),
        group_id=draw(Texts),
        member=draw(st.integers(0, 9)),
        seed=draw(st.integers(0, 2**63 - 1)),
        policy=draw(Texts),
        attempt=draw(st.integers(0, 3)),
        parent_id=draw(st.none() | Texts),
        fork_step=draw(st.none() | st.integers(0, 9)),
        drift=draw(st.integers(0, 2)),
        prompt=tuple(draw(st.lists(Answers | Replies, max_size=2))),
        tools=tuple(draw(st.lists(Tools, max_size=2))),
        steps=steps,
        segments=_segments(steps, draw(st.lists(st.booleans(), min_size=3, max_size=3))),
        end=draw(st.sampled_from(["terminated", "truncated", "error"])),
        reason=draw(Texts),
        seconds=draw(st.floats(0, 1e6)),
        panels=draw(Drawn),
    )


def _segments(steps: list[Step], grows: list[bool]) -> list[Segment]:
    """A segment goes on where it grows, and else begins anew with another token."""
    segments: list[Segment] = []
    for index, (step, same) in enumerate(zip(steps, grows, strict=False)):
        if step.completion is None:
            continue
        if not segments or not same:
            parent = len(segments) - 1 if segments else None
            segments.append(Segment(parent=parent, reason="edit" if segments else "start"))
        segment = segments[-1]
        _append(segment, (-1 - index,), (0.0,), sampled=False)
        first = len(segment.token_ids)
        _append(segment, step.completion.token_ids, step.completion.logprobs, sampled=True)
        segment.steps.append((index, first, len(segment.token_ids)))
    return segments


def _append(
    segment: Segment, ids: tuple[int, ...], logprobs: tuple[float, ...], *, sampled: bool
) -> None:
    segment.token_ids += ids
    segment.sampled += [sampled] * len(ids)
    segment.logprobs += [float(np.float32(each)) for each in logprobs]
