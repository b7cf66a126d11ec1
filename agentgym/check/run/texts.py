"""The promise that the tokens trained on say what is recorded to have been said."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from agentgym.check.run.readers import Readers
from agentgym.check.run.subject import RunSubject
from agentgym.renderer import Renderer
from agentgym.renderers.syntaxes import SYNTAXES
from agentgym.store.address import address_of
from agentgym.types import Completion, Message, Trajectory

Place = Callable[[int], str]
"""The address of a step."""


def check_texts(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """The sampled tokens of a step, decoded, are its message, and those before it the prompt."""
    if not any(step.completion for step in trajectory.steps):
        return
    readers = subject.readers
    place = partial(address_of, subject.run.root, trajectory.id)
    while readers.untold:
        yield readers.untold.pop()
    if readers.tokenizer:
        yield from _answers(trajectory, readers, place)
    if readers.renderer:
        yield from _stops(trajectory, readers.renderer, place)
        yield from _contexts(trajectory, readers.renderer, place)
    if readers.missing:
        raise readers.missing.with_traceback(None)


def _answers(trajectory: Trajectory, readers: Readers, place: Place) -> Iterator[str]:
    """Compare what was sampled, decoded, with the messages."""
    if readers.renderer:  # which learns from prompts of which types arguments are
        readers.renderer.prompt(trajectory.prompt, trajectory.tools)
    for number, step in enumerate(trajectory.steps):
        if step.completion is None:
            continue
        readings = _readings(step.completion, readers, trajectory)
        if not any(reading == _said(step.message) for reading in readings):
            text = _decoded(step.completion, readers.tokenizer)
            said = f"{text[:40]!r} was sampled, {step.message.content[:40]!r} recorded"
            yield f"{place(number)}: {said}"


def _stops(trajectory: Trajectory, renderer: Renderer, place: Place) -> Iterator[str]:
    """Tell the answers that are said to have stopped, and do not end by a stop token."""
    for number, step in enumerate(trajectory.steps):
        if step.completion and not _ends(step.completion, renderer):
            last = step.completion.token_ids[-1]
            yield f"{place(number)} stopped at token {last}, which ends no answer"


def _contexts(trajectory: Trajectory, renderer: Renderer, place: Place) -> Iterator[str]:
    """Compare what stands before and between the answers with the messages, rendered again.

    Only in the first segment: what a rewritten context was made of is not in the record.
    """
    if not trajectory.segments:
        return
    segment, tools = trajectory.segments[0], trajectory.tools
    messages = list(trajectory.prompt)
    expected: list[int] | None = renderer.prompt(messages, tools)
    at, due = 0, 0
    for number, first, stop in segment.steps:
        if number != due or expected is None:
            return
        found = segment.token_ids[at:first]
        if found != expected:
            same = next(
                (
                    k
                    for k, pair in enumerate(zip(found, expected, strict=False))
                    if len({*pair}) > 1
                ),
                min(len(found), len(expected)),
            )
            yield (
                f"{place(number)}: token {at + same} is not that of the messages "
                "before it, rendered again"
            )
        step = trajectory.steps[number]
        if step.completion is None or not _ends(step.completion, renderer):
            return  # which is told already
        known = len(messages) + 1
        messages += [step.message, *step.replies]
        said = segment.token_ids[:stop]
        expected, at, due = renderer.extend(said, messages, tools, known=known), stop, number + 1


def _ends(completion: Completion, renderer: Renderer) -> bool:
    last = completion.token_ids[-1]
    return completion.finish_reason != "stop" or last in renderer.stop_token_ids


def _decoded(completion: Completion, tokenizer: Any) -> str:
    ids = completion.token_ids[:-1] if completion.finish_reason == "stop" else completion.token_ids
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    known = [index for index in ids if 0 <= index < size]
    return str(tokenizer.decode(known, skip_special_tokens=False))


def _readings(completion: Completion, readers: Readers, trajectory: Trajectory) -> Iterator[Any]:
    """Yield what a renderer may have made of tokens, whichever way its template writes calls."""
    text = _decoded(completion, readers.tokenizer)
    yield text, ()
    schemas = {tool.name: tool.parameters for tool in trajectory.tools}
    for syntax in SYNTAXES.values():
        yield _plain(*syntax.read(text, schemas))
    if readers.renderer:
        yield _said(readers.renderer.parse(completion.token_ids))


def _said(message: Message) -> Any:
    return _plain(message.content, message.tool_calls)


def _plain(content: str, calls: tuple[Any, ...]) -> Any:
    return content, tuple((call.name, call.arguments) for call in calls)
