"""Where code written by a model runs. A sandbox is one file here and one member of the union."""

from agentgym.sandboxes.local import LocalSandboxConfig

AnySandbox = LocalSandboxConfig
"""What `[sandbox]` may hold: a union told apart by `name` as soon as there are two."""

__all__ = ["AnySandbox"]
