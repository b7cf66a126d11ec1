"""Where code written by a model runs. A sandbox is one file here and one line in this table."""

SANDBOXES = {"local": "agentgym.sandboxes.local:LocalSandboxConfig"}
"""Name -> the class that configures it."""
