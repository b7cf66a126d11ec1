"""The picture in docs/rollouts.md: who is at the engine when, in a real run of eight slots.

.venv/bin/python docs/img/rollouts.py
"""

import asyncio
import tempfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from agentgym.bench.engine_sides import tiny_model
from agentgym.bench.rollout_engine import Metered, Request
from agentgym.bench.rollout_env import WaitingConfig
from agentgym.bench.rollout_modes import MODES, Play, endless_jobs
from agentgym.engines.local import LocalEngine
from agentgym.engines.model import load_model
from agentgym.engines.settings import ModelConfig
from agentgym.renderers.chat import ChatRenderer

SLOTS = 8
SECONDS = 4.0
NAMES = {
    "lockstep": "lock-step: all wait for the slowest",
    "async": "one loop an episode, as many episodes as slots",
    "scheduler": "scheduler: another group begins where a slot would be idle",
}


async def play(
    mode: str, engine: LocalEngine, renderer: ChatRenderer, folder: Path
) -> list[Request]:
    """Return the requests of a few seconds; times count from the start."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    meter = Metered(engine, clock=lambda: loop.time() - began, salt=mode)
    work = Play(
        engine=meter,
        renderer=renderer,
        env=WaitingConfig(),
        streams=SLOTS,
        folder=folder / mode,
    )
    jobs = endless_jobs(run_seed=0, salt=mode, is_over=lambda: False)
    playing = asyncio.create_task(MODES[mode](jobs, work))
    await asyncio.wait({playing}, timeout=SECONDS)
    playing.cancel()
    await asyncio.wait({playing})
    return [each for each in meter.requests if each.began < SECONDS]


def in_rows(requests: list[Request]) -> list[tuple[int, float, float]]:
    """Put each request in the first row that is free: (row, from, to).

    A request in a row that the engine has no slot for waits inside it.
    """
    free = [0.0] * len(requests)
    placed = []
    for each in sorted(requests):
        row = next(row for row, until in enumerate(free) if until <= each.began + 1e-6)
        free[row] = each.ended
        placed.append((row, each.began, min(each.ended, SECONDS)))
    return placed


async def main() -> None:
    """Play and draw."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = tiny_model(folder / "model", max_context=1024, layers=2)
        loaded = load_model(ModelConfig(path=made.path, threads=1))
        engine = LocalEngine(loaded.model, max_context=1024, max_batch=SLOTS)
        renderer = ChatRenderer(loaded.tokenizer)
        found = {mode: await play(mode, engine, renderer, folder) for mode in NAMES}
        await engine.close()
    draw({mode: in_rows(requests) for mode, requests in found.items()})


def draw(found: dict[str, list[tuple[int, float, float]]]) -> None:
    """Draw a bar for each request, one panel a mode."""
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, panels = plt.subplots(len(found), 1, figsize=(9, 5), sharex=True)
    for panel, (mode, bars) in zip(panels, found.items(), strict=True):
        busy = sum(stop - start for row, start, stop in bars if row < SLOTS) / SLOTS / SECONDS
        for row, start, stop in bars:
            panel.barh(row, stop - start, left=start, height=0.82, color="#3b74af", linewidth=0)
        panel.set(yticks=[], ylabel=f"{SLOTS} slots", xlim=(0, SECONDS), ylim=(-0.6, SLOTS - 0.4))
        panel.set_title(f"{NAMES[mode]}: {busy:.0%} in use", loc="left", fontsize=10)
    panels[-1].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(Path(__file__).parent / "rollouts.png", dpi=110)


if __name__ == "__main__":
    asyncio.run(main())
