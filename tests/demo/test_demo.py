"""The demo is the same every time, passes the checks of runs, and has everything in it."""

import json
import math
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer

from agentgym.check.report import Status
from agentgym.check.run import check_run
from agentgym.config.methods import recorded_methods
from agentgym.config.run import recorded
from agentgym.demo import write_demo
from agentgym.demo.cues import GROUP_SIZE, STEPS
from agentgym.demo.flaws import DRIFTED, LOST, STALE
from agentgym.demo.update import judge
from agentgym.errors import ConfigError
from agentgym.metrics import read_metrics
from agentgym.store.episodes import read_episodes
from agentgym.store.run import Run
from agentgym.trainers.batch import pad
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.credit.base import equal_groups
from agentgym.trainers.losses import Normalizer
from agentgym.trainers.pairs import pair, result_of
from agentgym.trainers.recompute import ANNOTATIONS, Update, read_updates
from agentgym.trainers.rows import Row
from agentgym.types import Trajectory


@dataclass
class Demo:
    run: Run

    @cached_property
    def episodes(self) -> list[Trajectory]:
        return list(read_episodes(self.run.root))

    @cached_property
    def updates(self) -> list[Update]:
        return list(read_updates(self.run.root))

    @cached_property
    def events(self) -> list[dict]:
        return list(self.run.events())

    @cached_property
    def metrics(self) -> dict[int, dict[str, float]]:
        return read_metrics(self.run.metrics_path)

    @cached_property
    def groups(self) -> dict[str, list[Trajectory]]:
        found = defaultdict(list)
        for episode in self.episodes:
            if episode.end != "error":
                found[episode.group_id].append(episode)
        return found

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.run.checkpoints_dir / "latest" / "tokenizer.json"))

    @cached_property
    def text(self) -> str:
        """All that was said and answered."""
        return "\n".join(m.content for each in self.episodes for m in each.messages)

    def column(self, name: str) -> np.ndarray:
        return np.concatenate([update.columns[name] for update in self.updates])

    def any_step(self, holds: Callable) -> bool:
        return any(holds(step) for each in self.episodes for step in each.steps)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Demo:
    return Demo(write_demo(tmp_path_factory.mktemp("demo") / "demo"))


def _learns(demo: Demo) -> bool:
    first, last = (demo.metrics[step]["success"] for step in (1, STEPS))
    return last > first + 0.2 and sorted(demo.metrics) == list(range(STEPS + 1))


def _kinds(demo: Demo) -> bool:
    kinds = {each.task.payload["kind"] for each in demo.episodes}
    return kinds == {"grid", "calc", "repair", "words", "pages"}


def _revisits(demo: Demo) -> bool:
    """One episode comes to a state twice, and several of a group to the same."""
    table = demo.updates[0].table
    rows = list(zip(table.trajectory.tolist(), table.state.tolist(), strict=True))
    shared = defaultdict(set)
    for row, state in rows:
        shared[state].add(row)
    return len(set(rows)) < len(rows) and max(map(len, shared.values())) == GROUP_SIZE


def _meets_again(demo: Demo) -> bool:
    """Two of a group go the same way, part, and come to one state again."""

    def meet(a: Trajectory, b: Trajectory) -> bool:
        keys = [[step.state_key for step in each.steps] for each in (a, b)]
        parted = next((k for k, (x, y) in enumerate(zip(*keys, strict=False)) if x != y), None)
        return bool(parted and parted > 1 and {*keys[0][parted:]} & {*keys[1][parted:]})

    return any(meet(a, b) for each in demo.groups.values() for a, b in combinations(each, 2))


def _children(demo: Demo) -> bool:
    known = {each.id: each for each in demo.episodes}
    children = [each for each in demo.episodes if each.parent_id]

    def begins_alike(child: Trajectory) -> bool:
        parent, count = known[child.parent_id], child.fork_step
        pairs = zip(child.steps[:count], parent.steps[:count], strict=True)
        return child.task == parent.task and all(
            (a.completion, a.replies, a.state_key) == (b.completion, b.replies, b.state_key)
            for a, b in pairs
        )

    others = {tuple(s.action_key for s in each.steps) for each in children}
    return len(children) == 3 and all(map(begins_alike, children)) and len(others) > 1


def _no_variance(demo: Demo) -> bool:
    found = [equal_groups(u.table, u.rewards) for u in demo.updates]
    return any(each.any() for each in found) and not any(each.all() for each in found)


def _versions(demo: Demo) -> set[tuple[int, ...]]:
    return {
        tuple(version for _, version in step.completion.versions)
        for each in demo.groups[f"train-{5:06d}-006"]
        for step in each.steps
    }


def _splits_characters(demo: Demo) -> bool:
    """A token alone is no text, while its turn is."""

    def split(step) -> bool:
        ids = step.completion.token_ids
        decode = demo.tokenizer.decode
        return any(decode([i]) == "\N{REPLACEMENT CHARACTER}" for i in ids) and (
            "\N{REPLACEMENT CHARACTER}" not in step.message.content
        )

    return demo.any_step(split)


def _gate(demo: Demo, name: str) -> set[float]:
    return set(demo.column(f"gate/{name}").tolist())


def _compared(demo: Demo) -> bool:
    ids = [
        [(e.task_id, e.member) for e in demo.episodes if e.group_id.startswith(f"eval-sampled-{s:06d}")]
        for s in (0, STEPS)
    ]  # fmt: skip
    rates = [each["success"]["mean"] for each in demo.events if each["kind"] == "eval"]
    return ids[0] == ids[1] != [] and len(rates) == 2 and rates[1] > rates[0] + 0.3


def _foreseen(demo: Demo) -> float:
    """How well the values of steps go with the outcomes of their trajectories."""
    tables = [update.table for update in demo.updates]
    values = np.concatenate([table.value for table in tables])
    outcomes = [t.per_trajectory(t.term("outcome"))[t.trajectory] for t in tables]
    return float(np.corrcoef(values, np.concatenate(outcomes))[0, 1])


def _times(demo: Demo) -> list[float]:
    lines = map(json.loads, demo.run.metrics_path.read_text().splitlines())
    return [line["time"] for line in lines if line["step"]]


def _falls(demo: Demo) -> bool:
    """The same test passed is paid less and less."""
    found = [(u.columns["shaped/tests"].max(), u.table.term("tests").max()) for u in demo.updates]
    paid = [reward / raw for reward, raw in found if raw > 0]
    return len(paid) > 2 and paid == sorted(paid, reverse=True) and paid[-1] < paid[0]


FEATURES: dict[str, Callable[[Demo], object]] = {
    "a learning curve": _learns,
    "several kinds of tasks": _kinds,
    "groups of eight": lambda d: {
        len(each) for name, each in d.groups.items() if name.startswith("train")
    } == {GROUP_SIZE},
    "states that are seen again": _revisits,
    "ways that part and meet": _meets_again,
    "an edited context": lambda d: _has_segment(d, "edit", 0),
    "a branch": lambda d: _has_segment(d, "branch", 0),
    "a branch beside an edit": lambda d: any(len(each.segments) > 2 for each in d.episodes),
    "child episodes": _children,
    "a group without variance": _no_variance,
    "several policies in an episode": lambda d: {(4,), (5,)} <= _versions(d),
    "a policy that changes in the middle of a turn": lambda d: (4, 5) in _versions(d),
    "a fault, tried again": lambda d: {
        f"{each.id[:-1]}1" for each in d.episodes if each.end == "error"
    } <= {each.id for each in d.episodes} and any(each["kind"] == "fault" for each in d.events),
    "truncation by turns": lambda d: any(each.reason == "max_turns" for each in d.episodes),
    "truncation by the context": lambda d: any(each.reason == "context" for each in d.episodes),
    "an answer that was cut off": lambda d: d.any_step(
        lambda s: s.completion.finish_reason == "length"
    ),
    "a time limit": lambda d: d.any_step(lambda s: s.timed_out),
    "broken calls": lambda d: d.any_step(_is_broken),
    "calls of tools that are not there": lambda d: d.any_step(
        lambda s: any(call.name == "seek" for call in s.message.tool_calls)
    ),
    "a gate that is open or closed": lambda d: _gate(d, "tool_valid") == {0.0, 1.0},
    "a gate that is half open": lambda d: _gate(d, "mess") == {0.0, 0.5, 1.0},
    "a closed gate that lets losses through": lambda d: (
        (d.column("shaped/mess") < 0).any() and 0.0 in _gate(d, "mess")
    ),
    "a gate clipped to 1": lambda d: (
        d.column("raw/tests").max() > 1 and max(_gate(d, "tidy")) == 1
    ),
    "a penalty that grows and is clipped": lambda d: {
        value > -0.2 + 1e-9 for value in d.column("shaped/num_tokens") if value < 0
    } == {True, False},
    "a schedule that falls": _falls,
    "a schedule that turns a term on and off": lambda d: [
        bool(u.columns["shaped/style"].any()) for u in d.updates if "shaped/style" in u.columns
    ].count(True) == 2,
    "tokens by every cause but one": lambda d: set(d.column("cause").tolist())
    == {*Cause} - {Cause.NOT_IN_BATCH},
    "an alarm": lambda d: any(each["kind"] == "alarm" for each in d.events),
    "a warning": lambda d: any(each["kind"] == "warning" for each in d.events),
    "script tags": lambda d: "<script>alert" in d.text and "onerror=" in d.text,
    "script tags in what the model said": lambda d: d.any_step(
        lambda s: "<script" in s.message.content or "<b>" in s.message.content
    ),
    "markup in ids, in names of terms": lambda d: any("<b>&" in e.task_id for e in d.episodes)
    and "<i>markup</i>" in d.updates[0].table.term_names,
    "escapes of terminals": lambda d: "\x1b[31m" in d.text and "\x1b]8;;" in d.text,
    "a huge line": lambda d: max(map(len, d.text.splitlines())) > 15_000,
    "directions": lambda d: {"\u202e", "\u2066", "\u200f"} <= set(d.text),
    "half characters": lambda d: re.search("[\ud800-\udfff]", d.text),
    "control tokens as text": lambda d: "<|end|><|user|>" in d.text,
    "many scripts": lambda d: all(re.search(f"[{a}-{b}]", d.text) for a, b in _SCRIPTS),
    "tokens that split characters": _splits_characters,
    "half characters at a cut": lambda d: d.any_step(
        lambda s: "\N{REPLACEMENT CHARACTER}" in s.message.content
    ),
    "evaluations of the same tasks": _compared,
    "every optional column": lambda d: all(
        getattr(d.updates[0].table, name) is not None for name in ANNOTATIONS
    ),
    "values that know what comes": lambda d: _foreseen(d) > 0.5,
    "time that passes": lambda d: _times(d) == sorted(set(_times(d))) and len(_times(d)) > STEPS,
    "checkpoints": lambda d: {p.name for p in d.run.checkpoints_dir.iterdir()}
    == {"000000", "000008", "latest"},
}  # fmt: skip

_SCRIPTS = (("α", "ω"), ("一", "龥"), ("א", "ת"), ("ا", "ي"), ("а", "я"), ("😀", "🧿"))  # noqa: RUF001


def _has_segment(demo: Demo, reason: str, parent: int) -> bool:
    return any((s.reason, s.parent) == (reason, parent) for e in demo.episodes for s in e.segments)


def _is_broken(step) -> bool:
    def is_json(text: str) -> bool:
        try:
            json.loads(text)
        except ValueError:
            return False
        return True

    return any(not is_json(call.arguments) for call in step.message.tool_calls)


@pytest.mark.parametrize("name", FEATURES)
def test_it_has(demo: Demo, name: str) -> None:
    assert FEATURES[name](demo)


def _files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_it_is_the_same_every_time_and_everywhere(demo: Demo, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    again = write_demo("somewhere/else")
    mine, others = _files(demo.run.root), _files(again.root)
    assert {name for name in mine | others if mine.get(name) != others.get(name)} == set()
    assert sum(map(len, mine.values())) < 3_000_000


def test_it_is_the_same_on_another_machine(demo: Demo, tmp_path) -> None:
    """Other hashes, another time zone, and a processor of which numpy uses half as much."""
    off = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512_SKX"
    env = os.environ | {
        "PYTHONHASHSEED": "77",
        "TZ": "Asia/Kathmandu",
        "NPY_DISABLE_CPU_FEATURES": off,
    }
    words = [sys.executable, "-W", "ignore", "-m", "agentgym", "demo", str(tmp_path / "d")]
    done = subprocess.run(words, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mine, others = _files(demo.run.root), _files(tmp_path / "d")
    assert {name for name in mine | others if mine.get(name) != others.get(name)} == set()


def test_it_passes_every_check_of_runs(demo: Demo) -> None:
    found = check_run(demo.run)
    assert {
        each.name: each.message for each in found.results if each.status is not Status.PASSED
    } == {}


def test_it_overwrites_nothing(demo: Demo, tmp_path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        write_demo(demo.run.root)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="exists already"):
        write_demo(tmp_path)


def test_every_estimator_can_be_tried_on_it(demo: Demo) -> None:
    extra = {"ui_s1": {"match_term": "tool_valid"}}
    for name, kind in CREDITS.items():
        advantages = kind(**extra.get(name, {}))(demo.updates[1].table, demo.updates[1].rewards)
        assert np.isfinite(advantages).all(), name


def test_its_evaluations_can_be_paired(demo: Demo) -> None:
    found = result_of(demo.run)
    assert found is not None
    assert len(pair(found.episodes, found.episodes)) == 24
    assert found.which == f"the evaluation after step {STEPS}"


def test_its_configuration_is_whole(demo: Demo) -> None:
    config = recorded(demo.run.config_path).config
    assert config.train.steps == STEPS == demo.run.step
    assert recorded_methods(demo.run.config_path).shaping == config.shaping
    assert demo.run.status == "finished"


def test_a_flawed_one_fails_the_checks_that_it_should(demo: Demo, tmp_path) -> None:
    flawed = Demo(write_demo(tmp_path / "f", flawed=True))
    results = check_run(flawed.run).results
    failed = {each.name: each for each in results if each.status is Status.FAILED}
    assert set(failed) == {"files", "tokens", "versions"}
    assert LOST in failed["tokens"].message
    assert f"{DRIFTED}: 1 tokens drifted" in failed["tokens"].message
    assert [each.id for each in flawed.episodes if each.drift] == [DRIFTED]
    assert STALE in failed["versions"].message
    assert "bytes after the last whole record" in failed["files"].message
    assert flawed.run.status == "interrupted"
    assert set(flawed.column("cause").tolist()) == {*Cause}
    assert len(flawed.episodes) == len(demo.episodes)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_tokens_are_judged_as_the_loss_judges_them(demo: Demo, seed: int) -> None:
    loss = recorded(demo.run.config_path).config.loss
    chance = np.random.default_rng(seed)
    size = 30
    mask = np.arange(size) % 5 > 1

    def near(values, by: float) -> np.ndarray:
        return np.where(mask, values + chance.normal(0, by, size), 0).astype(np.float32)

    sampled = near(-1.0, 0.3)
    old = near(sampled, 0.5)
    row = Row(
        token_ids=np.arange(size),
        loss_mask=mask,
        old_logprobs=old,
        rollout_logprobs=sampled,
        advantages=near(0.0, 1.0) * (np.arange(size) % 7 > 0),
        token=np.where(mask, np.arange(size), -1),
    )
    now = near(old, 0.3)
    found = judge(loss, row, now, tokens=40)
    out = loss(
        torch.from_numpy(now)[None],
        pad([row]),
        normalizer=Normalizer(tokens=40.0, rows=1.0),
        entropy=torch.zeros(1, size),
    )
    assert found.clipped.tolist() == out.clipped[0].tolist()
    np.testing.assert_allclose(found.weights, out.weights[0].numpy(), rtol=1e-6)
    total = float((found.losses * found.weights)[mask].sum())
    assert math.isclose(total, float(out.metrics["policy_loss"]), rel_tol=1e-4, abs_tol=1e-6)
