"""Does a sandbox keep its promises, and does it hold what runs in it?

A row is one attack or one rule of the contract; each theme is a file, and `table.py` joins them.
Programs of the rows run inside sandboxes and nowhere else.
"""

from agentgym.check.sandbox.report import Finding, SandboxReport, Status
from agentgym.check.sandbox.suite import check_sandbox

__all__ = ["Finding", "SandboxReport", "Status", "check_sandbox"]
