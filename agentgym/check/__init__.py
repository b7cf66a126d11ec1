"""Does an environment keep its promises? Each check is a function in the table of `checks.py`."""

from agentgym.check.checks import check_env
from agentgym.check.report import Report, Result, Status

__all__ = ["Report", "Result", "Status", "check_env"]
