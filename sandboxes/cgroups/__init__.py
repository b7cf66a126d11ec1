"""Control groups: exact limits on memory, processes and CPU for a tree of processes.

Version 2 and version 1 are used where this process may make groups; elsewhere there are only
rlimits. Groups stand under `agentgym/` and carry their owner's process in their name, so that
what a killed owner left is found.
"""

from agentgym.sandboxes.cgroups.detection import detect, reap
from agentgym.sandboxes.cgroups.group import Group
from agentgym.sandboxes.cgroups.parent import Cgroups
from agentgym.sandboxes.cgroups.tables import of_process, tops

__all__ = ["Cgroups", "Group", "detect", "of_process", "reap", "tops"]
