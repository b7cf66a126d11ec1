"""The addresses that compute something: groups, estimators, tokens, ledgers."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from starlette.responses import Response

from agentgym.store.episodes import episode_head, read_episode
from agentgym.trainers.recompute import label_of
from agentgym.viewer.answers import json_answer, kept_answer
from agentgym.viewer.beside import lay_beside
from agentgym.viewer.columns import encode
from agentgym.viewer.entries import clean
from agentgym.viewer.filter import Where
from agentgym.viewer.groups import Asking, GroupShown, lens_json, show_group
from agentgym.viewer.learnt import read_ledger
from agentgym.viewer.lens import look
from agentgym.viewer.listing import MOST_ROWS, list_episodes, members_of
from agentgym.viewer.lookup import find_episode, find_run, missing, run_of
from agentgym.viewer.matrix import make_matrix
from agentgym.viewer.routes import Asked, Route
from agentgym.viewer.runs import OpenRun, OpenRuns
from agentgym.viewer.scene import TRAINED
from agentgym.viewer.versus import compare_runs
from agentgym.viewer.why import Why, why


class Analysis:
    """The handlers of these addresses."""

    def __init__(self, runs: OpenRuns) -> None:
        self._runs = runs
        self.routes: Sequence[Route] = [
            Route("/api/runs/{run}/groups/{group}", self.group),
            Route("/api/runs/{run}/groups/{group}/members", self.members),
            Route("/api/runs/{run}/groups/{group}/states", self.states),
            Route("/api/runs/{run}/lens", self.lens),
            Route("/api/runs/{run}/why", self.why),
            Route("/api/runs/{run}/tokens", self.tokens),
            Route("/api/runs/{run}/episodes/{episode}/ledger", self.ledger),
            Route("/api/runs/{run}/episodes/{episode}/advantages", self.advantages),
            Route("/api/compare", self.compare),
            Route("/api/matrix", self.matrix),
            Route("/api/beside", self.beside),
        ]

    def group(self, asked: Asked) -> Response:
        """The rollouts of a group side by side."""
        return json_answer(self._shown(asked).to_json())

    def members(self, asked: Asked) -> Response:
        """The episodes of a group as lists show them, member by member."""
        run = run_of(self._runs, asked)
        where = Where("grp = ?", (clean(asked.names["group"]),))
        page = list_episodes(run.index, where, sort="member", offset=0, limit=MOST_ROWS)
        run.tags.want(row["id"] for row in page.rows)
        return json_answer(page.to_json())

    def states(self, asked: Asked) -> Response:
        """The map of the states that a group came through."""
        return json_answer(self._shown(asked).states())

    def lens(self, asked: Asked) -> Response:
        """What an estimator makes of a group."""
        run, group = run_of(self._runs, asked), asked.text("group")
        names = members_of(run.index, clean(group))
        if not names:
            raise missing(run, f"no group {group[:80]!r}")
        ids = [found.fields["id"] for name in names if (found := run.index.head(name))]
        return json_answer(
            lens_json(look(run.scenes.of_group(group), ids, **_asking(asked)._asdict()))
        )

    def advantages(self, asked: Asked) -> Response:
        """What an estimator gives each token of an episode, as a column."""
        run = run_of(self._runs, asked)
        name = str(find_episode(run, asked.names["episode"]).fields["id"])
        found = look(run.scenes.of_episode(name), [name], **_asking(asked)._asdict()).tokens
        columns = {"advantage": found[name].astype(np.float32)} if name in found else {}
        return kept_answer(asked, encode(columns))

    def why(self, asked: Asked) -> Response:
        """Why a token weighed what it weighed."""
        run = run_of(self._runs, asked)
        explain = explainer(run, asked.text("episode"))
        found = explain(asked.number("token", 0), segment=asked.number("segment", 0))
        return json_answer(found.to_json())

    def tokens(self, asked: Asked) -> Response:
        """What became of all tokens of the run, as far as they are counted."""
        return json_answer(run_of(self._runs, asked).tally.to_json())

    def ledger(self, asked: Asked) -> Response:
        """The rewards of an episode, by the shaper of the run or another one."""
        run, name = run_of(self._runs, asked), asked.names["episode"]
        name = str(find_episode(run, name).fields["id"])
        shaping = asked.text("shaping") or TRAINED
        return json_answer({"ledger": read_ledger(run.scenes, name, shaping=shaping)})

    def compare(self, asked: Asked) -> Response:
        """Two runs task by task."""
        first, second = (find_run(self._runs, asked.text(name)) for name in "ab")
        at = asked.number("at", 0) if "at" in asked.query else None
        return json_answer(compare_runs(first, second, at=at).to_json())

    def matrix(self, asked: Asked) -> Response:
        """Tasks by the evaluations of some runs."""
        names = dict.fromkeys(asked.words("runs"))
        return json_answer(make_matrix([find_run(self._runs, name) for name in names]))

    def beside(self, asked: Asked) -> Response:
        """Two episodes side by side, each of any run."""
        runs = [find_run(self._runs, asked.text(name)) for name in "ab"]
        names = [asked.text(name) for name in ("first", "second")]
        found = [(run, find_episode(run, name)) for run, name in zip(runs, names, strict=True)]
        return json_answer(lay_beside(*found))

    def _shown(self, asked: Asked) -> GroupShown:
        run, group = run_of(self._runs, asked), asked.names["group"]
        found = show_group(run.index, run.scenes, group, _asking(asked))
        if found is None:
            raise missing(run, f"no group {group[:80]!r}")
        return found


def explainer(run: OpenRun, episode: str) -> Callable[..., Why]:
    """Return what explains the tokens of an episode: `why`, given a token and its segment.

    Raises:
        NotFoundError: there is no such episode.
        ConfigError, StoreError: as `Scenes.weights`.
    """
    trajectory = read_episode(episode_head(find_episode(run, episode)))
    weights = run.scenes.weights(episode)
    estimator = label_of(run.scenes.methods().credit) if weights else "the estimator"
    return partial(why, trajectory, weights=weights, estimator=estimator)


def _asking(asked: Asked) -> Asking:
    """Return which estimator is asked for: that of the run unless the address says another one."""
    return Asking(
        credit=asked.text("credit") or TRAINED,
        minus=asked.text("minus") or None,
        shaping=asked.text("shaping") or TRAINED,
    )
