"""The promise that the tokens trained on say what is recorded to have been said."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentgym.check.report import NotChecked
from agentgym.check.run.subject import RunSubject
from agentgym.errors import StoreError, boundary
from agentgym.renderer import Renderer
from agentgym.renderers.calls import parse_hermes, parse_xml
from agentgym.types import Completion, Message, Trajectory

_FILE = "tokenizer.json"
_HINT = "pip install 'agentgym-framework[train]'"


def check_texts(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """The sampled tokens of a step, decoded, are its message, and those before it the prompt."""
    if not any(step.completion for step in trajectory.steps):
        return
    folder = _folder(subject.run.root)
    tokenizer, renderer = _tokenizer(folder), _renderer(folder)
    schemas = {tool.name: tool.parameters for tool in trajectory.tools}
    for number, step in enumerate(trajectory.steps):
        if step.completion is None:
            continue
        here = f"{trajectory.id} step {number}"
        text = _decoded(step.completion, tokenizer)
        if not any(reading == _said(step.message) for reading in _readings(text, schemas)):
            yield f"{here}: {text[:40]!r} was sampled, {step.message.content[:40]!r} recorded"
        if renderer and not _ends(step.completion, renderer):
            yield f"{here} stopped at token {step.completion.token_ids[-1]}, which ends no answer"
    if renderer:
        yield from _contexts(trajectory, renderer)


def _contexts(trajectory: Trajectory, renderer: Renderer) -> Iterator[str]:
    """Compare what stands before and between the answers with the messages, rendered again.

    Only in the first segment: what a rewritten context was made of is not in the record.
    """
    if not trajectory.segments:
        return
    segment = trajectory.segments[0]
    expected, at, due = renderer.prompt(trajectory.prompt, trajectory.tools), 0, 0
    for number, first, stop in segment.steps:
        if number != due:
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
                f"{trajectory.id} step {number}: token {at + same} is not that of the messages "
                "before it, rendered again"
            )
        step = trajectory.steps[number]
        stopped = step.completion is not None and step.completion.finish_reason == "stop"
        expected, at, due = renderer.extend(step.replies, stopped=stopped), stop, number + 1


def _folder(root: Path) -> Path:
    """Return the newest checkpoint with a tokenizer.

    Raises:
        NotChecked: there is none.
    """
    folders = [*sorted((root / "checkpoints").glob("[0-9]*"), reverse=True), root / "model"]
    found = next((each for each in folders if (each / _FILE).is_file()), None)
    if found is None:
        raise NotChecked(f"no checkpoint of the run has a {_FILE}")
    return found


@lru_cache(maxsize=1)
def _tokenizer(folder: Path) -> Any:
    """Return what decodes.

    Raises:
        NotChecked: nothing reads it here.
        StoreError: it cannot be read.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise NotChecked("decoding needs the package tokenizers", hint=_HINT) from None
    with boundary(StoreError, f"reading {folder / _FILE}"):
        return Tokenizer.from_file(str(folder / _FILE))


@lru_cache(maxsize=1)
def _renderer(folder: Path) -> Renderer | None:
    """Return what renders; None: there is no chat template, or one that writes the date.

    Raises:
        NotChecked: nothing reads it here.
        StoreError: it cannot be read.
    """
    if not (folder / "tokenizer_config.json").is_file():
        return None
    try:
        from transformers import AutoTokenizer

        from agentgym.engines.quiet import quiet
        from agentgym.renderers.chat import ChatRenderer
    except ImportError as error:
        raise NotChecked(f"rendering needs transformers ({error})", hint=_HINT) from None
    with boundary(StoreError, f"reading the tokenizer in {folder}"), quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        template = tokenizer.chat_template
        is_fixed = isinstance(template, str) and "strftime_now" not in template
        return ChatRenderer(tokenizer) if is_fixed else None


def _ends(completion: Completion, renderer: Renderer) -> bool:
    last = completion.token_ids[-1]
    return completion.finish_reason != "stop" or last in renderer.stop_token_ids


def _decoded(completion: Completion, tokenizer: Any) -> str:
    ids = completion.token_ids[:-1] if completion.finish_reason == "stop" else completion.token_ids
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    known = [index for index in ids if 0 <= index < size]
    return str(tokenizer.decode(known, skip_special_tokens=False))


def _readings(text: str, schemas: dict[str, Any]) -> Iterator[Any]:
    """Yield what a renderer may have made of a text, whichever way its template writes calls."""
    yield text, ()
    yield _plain(*parse_hermes(text))
    for wrap in ("", "\n"):
        yield _plain(*parse_xml(text, wrap=wrap, schemas=schemas))


def _said(message: Message) -> Any:
    return _plain(message.content, message.tool_calls)


def _plain(content: str, calls: tuple[Any, ...]) -> Any:
    return content, tuple((call.name, call.arguments) for call in calls)
