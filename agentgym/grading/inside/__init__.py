"""Runs inside sandboxes, sent there as text: beside programs, or beside hidden tests, never both.

Needs no package and little of the standard library, and any Python from 3.9 on.
"""
