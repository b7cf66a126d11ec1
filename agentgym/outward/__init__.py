"""Environments of agentgym in the loops and behind the protocols of others, unmodified.

Each target is one file, imported where it is used, because it needs a package of its own. All
drive the same `Episode`; the Gymnasium face, `agentgym.gym`, shares the loop and the tasks.
"""
