"""A run in which every text is an attack, and every id a strange one."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
from trained_run import ENV, make_episode, record_step

from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.panels import Diff, Grid, Table, Terminal
from agentgym.store.episodes import EpisodeWriter
from agentgym.store.run import Run
from agentgym.trainers.record import Recorder
from agentgym.types import Message, Task, ToolCall, ToolSpec, Trajectory

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028'\"`${1}\x1b[31m"
NAMES = [
    SCRIPT, "a/b", "a%2Fb", "../../etc/passwd", "..", ".", "a\0b", "\ud800", "é", "?x=1#y", "a b",
    "'; DROP TABLE episode; --", "x" * 3000, "\r\nset-cookie: a=b", "",
]  # fmt: skip


def make_hostile_run(root: Path) -> Path:
    """Record an episode for each name, all of them used by one optimiser step."""
    resolved = resolve_words([f"env.id={ENV}"])
    text = f"# {SCRIPT!r}\n{render_toml(resolved)}"
    with Run.create(root, config_text=text, command=[SCRIPT], seed=0, env=SCRIPT) as run:
        run.event("warning", reason=SCRIPT)
        run.event("fault", episode=SCRIPT, reason=SCRIPT)
        (root / "metrics.jsonl").write_text(json.dumps({"step": 1, SCRIPT: 1.0}) + "\n")
    made = [_hostile(number, name) for number, name in enumerate(NAMES)]
    with EpisodeWriter(root) as writer:
        for each in made:
            writer.append(each)
    recorder = Recorder(root)
    record_step(recorder, resolved.config, made, 0, 1, np.random.default_rng(0))
    recorder.close()
    return root


def encoded(name: str) -> str:
    """Return a name as it stands in an address."""
    return quote(name.encode("utf-8", "surrogatepass"), safe="")


def _hostile(number: int, name: str) -> Trajectory:
    made = make_episode(np.random.default_rng(number), 0, 0, number)
    step = made.steps[0]
    step.message = Message("assistant", SCRIPT, (ToolCall(SCRIPT, SCRIPT, SCRIPT),))
    step.replies = (Message("tool", SCRIPT, tool_call_id=SCRIPT),)
    step.state_key = step.next_state_key = step.action_key = SCRIPT
    step.reward_terms = {SCRIPT: 1.0}
    step.panels = (
        Grid(rows=[[SCRIPT, name[:3]]], legend={SCRIPT: SCRIPT}, title=SCRIPT),
        Diff(before=SCRIPT, after=name, title=SCRIPT),
        Table(columns=[SCRIPT, "__proto__"], rows=[[SCRIPT, name[:3]]], title=SCRIPT),
        Terminal(text=f"\x1b]0;{SCRIPT}\x07\x1b[2J{SCRIPT}", title=SCRIPT),
    )
    return replace(
        made,
        id=name,
        group_id=name,
        task=Task(SCRIPT, id=SCRIPT, env=SCRIPT, split=SCRIPT, answer=SCRIPT, payload={SCRIPT: 1}),
        prompt=(Message("user", SCRIPT),),
        tools=(ToolSpec(SCRIPT, SCRIPT, {SCRIPT: SCRIPT}),),
        policy=SCRIPT,
        reason=SCRIPT,
    )
