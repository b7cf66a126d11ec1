"""The lab: what is true of a policy, beside what estimators make of its episodes."""

from agentgym.lab.experiment import Experiment
from agentgym.lab.report import Report
from agentgym.lab.settings import LabSettings

__all__ = ["Experiment", "LabSettings", "Report"]
"""The experiment, its settings, and what came out."""
