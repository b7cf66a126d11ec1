"""Environments driven by policies: the only place where episodes happen."""
