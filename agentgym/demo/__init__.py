"""A synthetic run with everything in it that a viewer shows, made without a model and without torch.

Environments, episodes, tables, shaping, credit and notes are the framework's own; only what would
need weights is pretended: what is said, how likely it was, and what an update did to it.
"""

from agentgym.demo.run import write_demo

__all__ = ["write_demo"]
