"""Questions of a user's own, about a corpus that a remote retriever searches."""

import zlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from agentgym.envs.search.text import citable
from agentgym.errors import ConfigError
from agentgym.types import Task, digest

_TEST_SHARE = 8  # one question in so many belongs to the test split


class _Row(BaseModel, strict=True):
    """One line; other keys are left alone."""

    question: str = Field(min_length=1)
    golden_answers: list[str] = Field(min_length=1)
    """Every accepted spelling."""
    documents: list[str] = []
    """Ids of the articles that show the answer, for the terms evidence and citation."""


def read_questions(path: Path, split: str) -> Iterator[Task]:
    """Yield the questions of a split, in the order of the file; equal ones share a split.

    Raises:
        ConfigError: the file cannot be read, or a line is no question.
    """
    is_test = split == "test"
    for number, row in enumerate(_rows(path), start=1):
        if (zlib.crc32(row.question.encode()) % _TEST_SHARE == 0) != is_test:
            continue
        yield Task(
            row.question,
            id=f"{digest(row.question)}-{number}",
            answer=row.golden_answers[0],
            payload={
                "accepted": row.golden_answers,
                "documents": [citable(each) for each in row.documents],
            },
        )


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.expanduser().open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _row(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the questions in {path} cannot be read: {error}") from error


def _row(line: str, where: str) -> _Row:
    try:
        return _Row.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ConfigError(
            f"{where}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}",
            hint='each line is {"question": "...", "golden_answers": ["..."]}',
        ) from error
