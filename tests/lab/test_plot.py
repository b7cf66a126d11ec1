from dataclasses import replace

from agentgym.lab.plot import alike
from agentgym.lab.report import Report
from agentgym.lab.statistics import Figure, Quality

NONE = Figure(float("nan"), float("nan"), float("nan"))
HALF = Figure(0.5, 0.25, 0.75)


def test_estimators_whose_figures_are_the_same_share_a_line() -> None:
    one = Quality(HALF, HALF, HALF, HALF, HALF, {}, 0.0, 0.0)
    report = Report(about={}, truth={}, qualities={("a", 2): one, ("b", 2): one})
    assert alike(report) == [["a", "b"]]
    unknown = {(name, 2): one._replace(bias=NONE) for name in "cd"}
    assert alike(replace(report, qualities=report.qualities | unknown)) == [["a", "b"], ["c", "d"]]
