import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import torch
from hostile_run import make_hostile_run
from starlette.testclient import TestClient
from trained_run import ENV, make_trained_run
from transformers import LlamaConfig, LlamaForCausalLM

from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.store.episodes import EpisodeWriter
from agentgym.store.run import Run
from agentgym.types import Message, Step, Task, Trajectory
from agentgym.viewer.app import make_app
from agentgym.viewer.guard import Door
from agentgym.viewer.runs import OpenRuns

Open = Callable[..., TestClient]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three optimiser steps; it is only read."""
    return Path(make_trained_run(tmp_path_factory.mktemp("runs") / "trained", "credit.name=gigpo"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text is an attack; it is only read."""
    return make_hostile_run(tmp_path_factory.mktemp("runs") / "hostile")


@pytest.fixture
def open_runs(tmp_path: Path):
    """Open runs with an index of their own, and read all of them."""
    opened: list[OpenRuns] = []

    def opening(*roots: Path) -> OpenRuns:
        opened.append(OpenRuns(roots, cache=tmp_path / "cache"))
        opened[-1].read_all()
        return opened[-1]

    yield opening
    for runs in opened:
        runs.close()


class Raw(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def ask() -> Callable[..., Raw]:
    """Ask for exactly these bytes: clients take `..` and `//` out of addresses."""

    def asking(app: Any, target: str, **headers: str) -> Raw:
        path, _, query = target.partition("?")
        sent: list[Any] = []
        headers = {"host": "127.0.0.1:7777"} | headers
        scope = {
            "type": "http",
            "method": "GET",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        return Raw(sent[0]["status"], found, b"".join(each.get("body", b"") for each in sent))

    return asking


@pytest.fixture
def browse(open_runs) -> Open:
    """A browser before a server of these runs."""

    def browsing(*roots: Path, **options: Any) -> TestClient:
        door = Door("127.0.0.1", 7777)
        own = {"authorization": f"Bearer {door.token}"}
        app = make_app(open_runs(*roots), door)
        return TestClient(app, base_url="http://127.0.0.1:7777", headers=own, **options)

    return browsing


@pytest.fixture
def tiny():
    """A transformer of two layers with random weights and 29 tokens."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=29,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


@pytest.fixture
def record(tmp_path):
    """Make an evaluated training, or a run of one evaluation; outcomes by (task, member)."""

    def recording(name: str, *evaluations: list[float], kind="train", env=ENV, first=0) -> Path:
        root = tmp_path / name
        text = render_toml(resolve_words([f"env.id={ENV}"]))
        with (
            Run.create(root, config_text=text, command=["x"], seed=0, env=env) as run,
            EpisodeWriter(root) as writer,
        ):
            run.update(kind=kind, status="finished")
            for place, outcomes in enumerate(evaluations, 1):
                step = 10 * place
                for number, outcome in enumerate(outcomes):
                    writer.append(_episode(step, first + number // 2, number % 2, outcome, env))
                run.event("eval", step=step, mode="sampled")
        return root

    return recording


def _episode(step: int, task: int, member: int, outcome: float, env: str) -> Trajectory:
    group = f"eval-sampled-{step:06d}-{task:03d}"
    said = Step(message=Message("assistant", "up"), reward_terms={"outcome": outcome})
    return Trajectory(
        id=f"{group}.{member}.0",
        task=Task("Go.", id=f"t{task}", env=env, split="test"),
        group_id=group,
        member=member,
        prompt=(Message("user", "Go."),),
        steps=[said],
        end="terminated",
        reason="env",
    )
