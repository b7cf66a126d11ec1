"""The table of wrong solutions, which the shipped check grades on every backend."""

from agentgym.check.sandbox.grader import KINDS
from agentgym.check.sandbox.solutions import FIFTEEN, MORE, WRONG
from agentgym.check.sandbox.table import ROWS


def test_the_table_has_fifteen_wrong_solutions_and_more():
    assert len(FIFTEEN) == 15
    assert len(WRONG) == len(FIFTEEN) + len(MORE) > 30


def test_each_is_a_row_of_the_check_and_so_is_the_right_one():
    names = {row.name for row in ROWS}
    titles = [title.replace(".", "_").replace(" ", "_") for title in WRONG]
    assert {f"grader_{title}" for title in [*titles, "right"]} <= names
    assert set(KINDS) == {"calls", "programs", "files", "suite"}
