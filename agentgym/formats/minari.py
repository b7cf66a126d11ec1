"""Writing a dataset of Minari: texts as observations and actions, for offline RL."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from agentgym.errors import MissingError
from agentgym.formats.writer import Writer, valid
from agentgym.types import OUTCOME, Message, Trajectory

_NOT_IN_IDS = re.compile(r"[^-\w]+", re.ASCII)


class MinariWriter(Writer):
    """Writes a folder that Minari opens.

    An observation is what was said since the action before, the first one the whole prompt; the
    last action's is empty where nothing was answered. An action is the text of a message, or
    JSON of it where it calls tools. The reward is the outcome of the step.

    Raises:
        MissingError: Minari is not installed.
    """

    folder = True
    with_faults = False

    def __init__(self, folder: Path) -> None:
        try:
            import minari
            from gymnasium.spaces import Text
            from minari.data_collector.episode_buffer import EpisodeBuffer
            from minari.dataset.minari_storage import MinariStorage
        except ImportError as error:
            hint = "pip install 'agentgym-framework[minari]'"
            raise MissingError("datasets of Minari are written by Minari", hint=hint) from error
        self._data = folder.resolve() / "data"  # Minari joins a relative path to itself
        self._data.mkdir()
        self._text, self._buffer = Text, EpisodeBuffer
        self._seen = _Texts(), _Texts()
        spaces = (Text(1, min_length=0), Text(1, min_length=0))
        self._storage = MinariStorage.new(self._data, *spaces, data_format="arrow")
        self._storage.update_metadata(
            {"dataset_id": _dataset_id(folder.name), "minari_version": minari.__version__}
        )

    def add(self, trajectory: Trajectory) -> str | None:
        """Write an episode; one without a step has nothing to learn from."""
        if not trajectory.steps:
            return "without a step"
        observations = [_said(trajectory.prompt), *(_said(s.replies) for s in trajectory.steps)]
        actions = [_action(step.message) for step in trajectory.steps]
        for seen, texts in zip(self._seen, (observations, actions), strict=True):
            seen.add(texts)
        rewards = [float(step.reward_terms.get(OUTCOME, 0.0)) for step in trajectory.steps]
        last = np.arange(len(rewards)) == len(rewards) - 1
        self._storage.update_episodes(
            [
                self._buffer(
                    seed=trajectory.seed,
                    options={"episode": valid(trajectory.id), "task": valid(trajectory.task.id)},
                    observations=observations,
                    actions=actions,
                    rewards=rewards,
                    terminations=list(last & (trajectory.end == "terminated")),
                    truncations=list(last & (trajectory.end == "truncated")),
                )
            ]
        )
        return None

    def finish(self) -> None:
        """Write the spaces, now that all texts are known: Minari fixes them at the beginning."""
        from minari.serialization import serialize_space

        path = self._data / "metadata.json"
        metadata = json.loads(path.read_text("utf-8"))
        for name, seen in zip(("observation_space", "action_space"), self._seen, strict=True):
            metadata[name] = serialize_space(seen.space(self._text))
        path.write_text(json.dumps(metadata), "utf-8")


class _Texts:
    """Of which characters texts are made, and how long they are."""

    def __init__(self) -> None:
        self._characters: set[str] = set()
        self._longest = 1

    def add(self, texts: list[str]) -> None:
        self._characters.update(*texts)
        self._longest = max(self._longest, *map(len, texts))

    def space(self, kind: Any) -> Any:
        charset = "".join(sorted(self._characters)) or " "
        return kind(self._longest, min_length=0, charset=charset)


def _said(messages: tuple[Message, ...]) -> str:
    return valid("\n\n".join(message.content for message in messages))


def _action(message: Message) -> str:
    if not message.tool_calls:
        return valid(message.content)
    said = {"content": message.content, "tool_calls": message.to_openai()["tool_calls"]}
    return valid(json.dumps(said, ensure_ascii=False))


def _dataset_id(name: str) -> str:
    """Return an id as Minari takes it: the name of the folder, and a version."""
    plain = _NOT_IN_IDS.sub("-", name).strip("-") or "episodes"
    return plain if re.search(r"-v\d+$", plain) else f"{plain}-v0"
