"""The promise that the tokens trained on say what the model is recorded to have said."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentgym.check.report import NotChecked
from agentgym.check.run.subject import RunSubject
from agentgym.renderers.calls import parse_hermes, parse_xml
from agentgym.types import Completion, Message, Trajectory

_FILE = "tokenizer.json"


def check_texts(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """The sampled tokens of a step, decoded, are its message."""
    schemas = {tool.name: tool.parameters for tool in trajectory.tools}
    for number, step in enumerate(trajectory.steps):
        if step.completion is None:
            continue
        text = _decoded(step.completion, _tokenizer(subject.run.root))
        if not any(reading == _said(step.message) for reading in _readings(text, schemas)):
            yield f"{trajectory.id} step {number}: {text[:40]!r} was sampled, {step.message.content[:40]!r} recorded"


@lru_cache(maxsize=1)
def _tokenizer(root: Path) -> Any:
    """Return the tokenizer of the newest checkpoint.

    Raises:
        NotChecked: there is none, or nothing that reads it.
    """
    folders = [*sorted((root / "checkpoints").glob("[0-9]*"), reverse=True), root / "model"]
    file = next((each / _FILE for each in folders if (each / _FILE).is_file()), None)
    if file is None:
        raise NotChecked(f"no checkpoint of the run has a {_FILE}")
    try:
        from tokenizers import Tokenizer
    except ImportError:
        hint = "pip install 'agentgym-framework[train]'"
        raise NotChecked("decoding needs the package tokenizers", hint=hint) from None
    return Tokenizer.from_file(str(file))


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
