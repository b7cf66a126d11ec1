"""What a policy of tokens knows of an episode that another one played up to a step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from agentgym.renderer import Renderer
from agentgym.types import Completion, Message, Segment, ToolSpec, Trajectory


class Recalled(NamedTuple):
    """The tokens of an episode up to a step, and the messages that they say."""

    segments: list[Segment]
    completions: list[Completion | None]
    """[steps]; None where no token was sampled."""
    rendered: list[Message]
    """Up to the last answer of the policy; empty without segments."""


def recall(trajectory: Trajectory, step: int, renderer: Renderer) -> Recalled:
    """Return the recorded tokens of the first `step` steps, exactly as they were sampled.

    Answers without tokens, of a person say, are rendered behind them, as not sampled. There are
    no segments where no step has tokens, or where they are of another tokenizer or template: all
    is then to be rendered anew.
    """
    segments = cut(trajectory.segments, step)
    owners = [owner for segment in segments for owner, *_ in segment.steps]
    completions = [
        each.completion if number in owners else None
        for number, each in enumerate(trajectory.steps[:step])
    ]
    if not owners or not _is_of(renderer, trajectory, segments[0]):
        return Recalled([], [None] * step, [])
    for number in range(owners[-1] + 1, step):
        before = _conversation(trajectory, number)
        segments += _grown(segments, before, trajectory.tools, renderer)
        append_given(segments[-1], renderer.complete(trajectory.steps[number].message))
    return Recalled(segments, completions, _conversation(trajectory, step - 1, with_answer=True))


def cut(segments: Sequence[Segment], step: int) -> list[Segment]:
    """Return copies of the streams up to the last token that was sampled before a step.

    >>> stream = Segment(token_ids=[7, 8, 9], sampled=[False, True, True], logprobs=[0, -1, -2])
    >>> stream.steps = [(0, 1, 2), (1, 2, 3)]
    >>> cut([stream], 1)[0].token_ids
    [7, 8]
    """
    kept = []
    for segment in segments:
        steps = [each for each in segment.steps if each[0] < step]
        if not steps:
            break
        stop = steps[-1][2]
        kept.append(
            replace(
                segment,
                token_ids=segment.token_ids[:stop],
                sampled=segment.sampled[:stop],
                logprobs=segment.logprobs[:stop],
                steps=steps,
            )
        )
    return kept


def append_given(segment: Segment, token_ids: Sequence[int]) -> None:
    """Append tokens that the policy did not choose."""
    segment.token_ids += token_ids
    segment.sampled += [False] * len(token_ids)
    segment.logprobs += [0.0] * len(token_ids)


def _grown(
    segments: Sequence[Segment],
    messages: Sequence[Message],
    tools: Sequence[ToolSpec],
    renderer: Renderer,
) -> list[Segment]:
    """Let the last segment say messages; return another one where it cannot."""
    known = max(n for n, message in enumerate(messages, 1) if message.role == "assistant")
    more = renderer.extend(segments[-1].token_ids, messages, tools, known=known)
    if more is not None:
        append_given(segments[-1], more)
        return []
    segment = Segment(reason="edit", parent=len(segments) - 1)
    append_given(segment, renderer.prompt(messages, tools))
    return [segment]


def _is_of(renderer: Renderer, trajectory: Trajectory, segment: Segment) -> bool:
    """Return whether a renderer makes the same tokens of what stands before the first answer."""
    number, first, _ = segment.steps[0]
    before = _conversation(trajectory, number)
    return renderer.prompt(before, trajectory.tools) == segment.token_ids[:first]


def _conversation(trajectory: Trajectory, step: int, *, with_answer: bool = False) -> list[Message]:
    """Return what was said before a step, and its own message where that is wanted."""
    messages = list(trajectory.prompt)
    for each in trajectory.steps[:step]:
        messages += [each.message, *each.replies]
    return [*messages, trajectory.steps[step].message] if with_answer else messages
