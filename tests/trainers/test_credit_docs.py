import doctest
from pathlib import Path

import pytest

import agentgym.trainers.credit.base
from agentgym.trainers.credit import CREDITS

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["credit.md", "losses.md", "shaping.md"])
def test_the_example_of_the_page_runs(page: str) -> None:
    failed, attempted = doctest.testfile(str(_DOCS / page), module_relative=False)
    assert attempted
    assert not failed


@pytest.mark.parametrize("name", CREDITS)
def test_every_estimator_has_an_entry_with_an_example(name: str) -> None:
    entry = (_DOCS / "credit.md").read_text().partition(f"\n### `{name}`: ")[2].partition("\n##")[0]
    assert "Sureness: " in entry
    assert f'>>> credit("{name}"' in entry


def test_the_examples_of_the_docstrings_run() -> None:
    failed, attempted = doctest.testmod(agentgym.trainers.credit.base)
    assert attempted
    assert not failed
