"""`/share`: a group or an episode as one HTML file."""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from starlette.responses import Response

from agentgym.config.methods import parse_credits
from agentgym.errors import ConfigError
from agentgym.viewer.gathering import Gathering, Shared, members_of, part
from agentgym.viewer.lookup import find_episode, find_run
from agentgym.viewer.onefile import make_page
from agentgym.viewer.packed import Packed
from agentgym.viewer.routes import Asked, NotFoundError, Route, split_path
from agentgym.viewer.runs import OpenRun, OpenRuns

LARGEST = 64 << 20
"""Bytes of answers in one file."""

MOST_CREDITS = 6
"""Estimators of one file: it has the difference of every two."""


class Sharing:
    """The handler of `/share`; it asks the handlers of other addresses."""

    def __init__(
        self, runs: OpenRuns, routes: Sequence[Route], static: Mapping[str, bytes]
    ) -> None:
        self._runs = runs
        self._answering = routes
        self._static = static
        self.routes: Sequence[Route] = [Route("/share", self.share)]

    def share(self, asked: Asked) -> Response:
        """One HTML file, to be kept."""
        run = find_run(self._runs, asked.text("run"))
        body = self.make(
            run,
            group=asked.text("group"),
            episode=asked.text("episode"),
            credit=asked.text("credit"),
        )
        headers = {"content-disposition": f'attachment; filename="{run.name}.html"'}
        return Response(body, media_type="text/html; charset=utf-8", headers=headers)

    def make(self, run: OpenRun, *, group: str, episode: str, credit: str) -> bytes:
        """Return the file of a group or of an episode; the other one is empty.

        Args:
            run: what it is of.
            group: its name.
            episode: its id.
            credit: estimators that can be asked in it, as `--credit` of `agentgym recredit`.

        Raises:
            ConfigError: there is no such estimator, or one cannot be asked here; the file would be
                too large; both or none are named; this build has no pages.
            NotFoundError: there is no such group or episode.
        """
        if bool(episode) == bool(group):
            raise ConfigError("say what to share", hint="either a group or an episode")
        page = make_page(self._static)
        shared = self._what(run, group, episode, _credits(credit))
        answers = Packed(LARGEST, hint=_less(shared, is_group=bool(group)))
        Gathering(run, shared, self._bytes, answers).gather()
        return page.with_content(answers.finish(page=shared.page, credits=list(shared.credits)))

    def _what(self, run: OpenRun, group: str, episode: str, credits: Sequence[str]) -> Shared:
        name = group or str(find_episode(run, episode).fields["group_id"])
        rows = json.loads(self._bytes(members_of(run, name)))["rows"]
        if not rows:
            raise NotFoundError(f"no group {name[:80]!r} in {run.name}")
        page = f"/run/{run.name}/{'episode' if episode else 'group'}/{part(episode or group)}"
        return Shared(name, [episode] if episode else [each["id"] for each in rows], credits, page)

    def _bytes(self, target: str) -> bytes:
        path, _, query = target.partition("?")
        for route in self._answering:
            names = route.match(split_path(path))
            if names is not None and route.method == "GET":
                answer = route.handler(Asked(names, dict(parse_qsl(query)), {}))
                assert isinstance(answer, Response)
                return bytes(answer.body)
        raise AssertionError(target)


def _less(shared: Shared, *, is_group: bool) -> str:
    """Return what to do where that is too much for a file."""
    if is_group:
        return "share a single episode of it"
    return "name fewer estimators" if shared.credits else "agentgym view shows it without a limit"


def _credits(text: str) -> list[str]:
    found = list(parse_credits([text])) if text else []
    if len(found) > MOST_CREDITS:
        raise ConfigError(f"at most {MOST_CREDITS} estimators, got {len(found)}")
    return found
