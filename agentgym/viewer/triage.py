"""The addresses by which people go through episodes: labels, ready filters, what was said."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from agentgym.errors import ConfigError
from agentgym.viewer.answers import json_answer
from agentgym.viewer.filter import Where, parse_where
from agentgym.viewer.index import Index
from agentgym.viewer.listing import SEEN
from agentgym.viewer.lookup import find_episode, run_of
from agentgym.viewer.routes import Asked, RefusedError, Route
from agentgym.viewer.runs import OpenRun, OpenRuns
from agentgym.viewer.search import search
from agentgym.viewer.tags import TAGS


class Triage:
    """The handlers of these addresses."""

    def __init__(self, runs: OpenRuns) -> None:
        self._runs = runs
        self.routes: Sequence[Route] = [
            Route("/api/runs/{run}/labels", self.label, "POST"),
            Route("/api/runs/{run}/filters", self.filters),
            Route("/api/runs/{run}/search", self.search),
        ]

    def label(self, asked: Asked) -> Response:
        """Label an episode."""
        run, sent = run_of(self._runs, asked), asked.json()
        name = sent.get("episode")
        if not isinstance(name, str):
            raise ConfigError("say which episode is labelled", hint='send {"episode", "label"}')
        if run.is_temporary:
            raise RefusedError(
                f"{run.name} was made of a file for the time being, and its labels with it",
                hint="agentgym import FILE RUN, and view that run",
            )
        head = find_episode(run, name)
        given = run.labels.put(str(head.fields["id"]), sent.get("label"), sent.get("text"))
        run.index.refresh()
        return json_answer({"episode": name, "label": given.label or None, "text": given.text})

    def filters(self, asked: Asked) -> Response:
        """What there is to filter by: tags and labels, with how many episodes have them."""
        run = run_of(self._runs, asked)
        if "all" in asked.query:
            run.tags.want_all()
        return json_answer(filters_of(run.index) | {"tagged": run.tags.progress})

    def search(self, asked: Asked) -> Response:
        """What was said, and where."""
        run = run_of(self._runs, asked)
        where = wanted_where(run, asked)
        run.text.want()
        offset, limit = asked.number("offset", 0), asked.number("limit", 20)
        found = search(run.index, asked.text("words"), where, offset=offset, limit=limit)
        return json_answer(found | {"worded": run.text.progress})


def wanted_where(run: OpenRun, asked: Asked) -> Where:
    """Return the filter of a question, and have found what it asks for.

    Raises:
        FilterError: it cannot be understood.
    """
    where = parse_where(asked.text("where"))
    if where.wants_text:
        run.text.want()
    if where.wants_tags:
        run.tags.want_all()
    return where


def filters_of(index: Index) -> dict[str, Any]:
    """Return tags in the order of their table, and labels by how often they were given."""
    counts = dict(index.query("SELECT tag, count(*) FROM tag GROUP BY tag"))
    labels = index.query(
        f"SELECT label, count(*) FROM {SEEN} WHERE label IS NOT NULL "
        "GROUP BY label ORDER BY count(*) DESC, label LIMIT 50"
    )
    return {
        "tags": [
            {
                "name": tag.name,
                "note": tag.looks_at,
                "tripwire": tag.is_tripwire,
                "episodes": counts[tag.name],
            }
            for tag in TAGS
            if tag.name in counts
        ],
        "labels": [{"label": label, "episodes": count} for label, count in labels],
    }
