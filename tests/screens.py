"""The screens of the viewer, and what they are looked at for."""

EPISODE = "train-000004-001.0.0"
LONG = "train-000002-000.1.0"
GROUP = "train-000001-002"
EQUAL = "train-000000-001"
TREE = "train-000000-005"

SCREENS = {
    "runs": "/",
    "curves": "/run/demo",
    "curves of two runs": "/run/demo?with=trained&scale=log&smooth=5",
    "groups": "/run/demo?view=groups",
    "episodes": "/run/demo?view=episodes",
    "record": "/run/demo?view=record",
    "group": f"/run/demo/group/{GROUP}?minus=grpo&row=10",
    "equal group": f"/run/demo/group/{EQUAL}",
    "map": f"/run/demo/group/{GROUP}?view=map&node=1",
    "compare": "/compare/demo/demo",
    "matrix": "/compare/demo/trained?view=matrix",
    "messages": f"/run/demo/episode/{LONG}?turn=2",
    "tokens": f"/run/demo/episode/{EPISODE}?view=tokens&turn=0&token=2",
    "steps": f"/run/demo/episode/{LONG}?view=steps&turn=2",
}
