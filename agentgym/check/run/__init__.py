"""Is the record of a run what it should be? Each check is a row of the table in `table.py`.

A row names the bugs of other frameworks that it would have caught: silent ones, which a run
survives and an audit of what was trained on finds.
"""

from agentgym.check.run.table import check_run

__all__ = ["check_run"]
