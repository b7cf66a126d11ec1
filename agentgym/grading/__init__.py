"""Grades what an agent left: hidden tests and expected values never meet its code."""

from agentgym.grading.calls import Calls, Case
from agentgym.grading.comparing import Comparison
from agentgym.grading.files import Absent, Contains, Equals, Files, Json, Sha256
from agentgym.grading.grade import Check, grade
from agentgym.grading.place import ABSENT, collect
from agentgym.grading.programs import Programs, Run
from agentgym.grading.suite import Suite
from agentgym.grading.values import Tolerance
from agentgym.grading.verdict import Grade, Result, Word

__all__ = [
    "ABSENT",
    "Absent",
    "Calls",
    "Case",
    "Check",
    "Comparison",
    "Contains",
    "Equals",
    "Files",
    "Grade",
    "Json",
    "Programs",
    "Result",
    "Run",
    "Sha256",
    "Suite",
    "Tolerance",
    "Word",
    "collect",
    "grade",
]
