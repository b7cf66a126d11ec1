"""The formulas of the docstrings in plain loops, against estimators on what Hypothesis draws."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, pvariance, stdev, variance

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import annotated, tables

from agentgym.table import StepTable
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.credit.base import CreditConfig
from agentgym.types import OUTCOME

pytestmark = pytest.mark.slow

Values = list[list[float]]
"""By trajectory: a number for each of its steps, or for each of its tokens."""


@dataclass
class Row:
    """One step."""

    reward: float
    terms: dict[str, float]
    edge: tuple[int, object]
    """What was done, and what came of it; a state without a key is like no other."""
    num_tokens: int
    counts: bool
    """In statistics over steps: it sampled a token, or no step did."""
    token_values: list[float]
    entropy: float
    value: float
    answer: float
    process: float


@dataclass
class Episode:
    """One trajectory."""

    group: int
    rows: list[Row]

    @property
    def total(self) -> float:
        return sum(row.reward for row in self.rows)

    @property
    def num_tokens(self) -> int:
        return sum(row.num_tokens for row in self.rows)


Oracle = Callable[[list[Episode]], Values]


def read_episodes(table: StepTable) -> list[Episode]:
    return [
        Episode(int(table.group[m]), [_row(table, s) for s in range(start, stop)])
        for m, (start, stop) in enumerate(pairwise(table.step_start.tolist()))
    ]


def _row(table: StepTable, s: int) -> Row:
    assert table.entropy is not None
    assert table.value is not None
    assert table.token_value is not None
    assert table.answer_logprob is not None
    assert table.process_reward is not None
    after, tokens = int(table.next_state[s]), slice(*table.token_start[s : s + 2].tolist())
    return Row(
        reward=float(table.term(OUTCOME)[s]),
        terms={name: float(table.term(name)[s]) for name in table.term_names},
        edge=(int(table.action[s]), after if after >= 0 else f"unknown after row {s}"),
        num_tokens=tokens.stop - tokens.start,
        counts=tokens.stop > tokens.start or not table.token_start[-1],
        token_values=table.token_value[tokens].tolist(),
        entropy=float(table.entropy[s]),
        value=float(table.value[s]),
        answer=math.exp(table.answer_logprob[s]),
        process=float(table.process_reward[s]),
    )


# Pieces of formulas


def spread(values: Sequence[float]) -> float:
    """The unbiased std; a single value has none."""
    return stdev(values) if len(values) > 1 else 0.0


def standardise(values: Sequence[float], eps: float = 1e-6) -> list[float]:
    return [(value - mean(values)) / (spread(values) + eps) for value in values]


def whiten(values: Iterable[float], over: Sequence[float]) -> list[float]:
    """By the mean and the unbiased variance of `over`."""
    if not over:
        return [0.0 for _ in values]
    scale = math.sqrt((variance(over) if len(over) > 1 else 0.0) + 1e-8)
    return [(value - mean(over)) / scale for value in values]


def in_groups(
    episodes: list[Episode], judge: Callable[[list[float]], list[float]], returns: list[float]
) -> list[float]:
    """Judge the returns of each group; of a group of one the advantage is 0."""
    judged = [0.0] * len(episodes)
    for group in {episode.group for episode in episodes}:
        places = [m for m, episode in enumerate(episodes) if episode.group == group]
        if len(places) > 1:
            for m, value in zip(places, judge([returns[m] for m in places]), strict=True):
                judged[m] = value
    return judged


def each_step(episodes: list[Episode], relative: list[float]) -> Values:
    return [[value] * len(e.rows) for e, value in zip(episodes, relative, strict=True)]


def trajectories(judge: Callable[[list[float]], list[float]]) -> Oracle:
    """Every step has what its trajectory has in its group."""
    return lambda episodes: each_step(
        episodes, in_groups(episodes, judge, [episode.total for episode in episodes])
    )


grpo = trajectories(standardise)


def add(first: Values, second: Values, weight: float = 1.0) -> Values:
    return [
        [a + weight * b for a, b in zip(*rows, strict=True)]
        for rows in zip(first, second, strict=True)
    ]


def backwards(values: Sequence[float], decay: float) -> list[float]:
    """x_k = values_k + decay x_{k+1}, and 0 after the last."""
    carried, found = 0.0, []
    for value in reversed(values):
        carried = value + decay * carried
        found.append(carried)
    return found[::-1]


def gae_of(
    rewards: Sequence[float], values: Sequence[float], gamma: float, lam: float
) -> list[float]:
    """delta_k = r_k + gamma V_{k+1} - V_k, summed up with gamma lam."""
    after = [*values, 0.0][1:]
    errors = [r + gamma * w - v for r, v, w in zip(rewards, values, after, strict=True)]
    return backwards(errors, gamma * lam)


# Whole trajectories


def reinforce_pp_baseline(episodes: list[Episode]) -> Values:
    centered = in_groups(
        episodes,
        lambda returns: [r - mean(returns) for r in returns],
        [episode.total for episode in episodes],
    )
    groups = [episode.group for episode in episodes]
    counted = [e.num_tokens if groups.count(e.group) > 1 else 0 for e in episodes]
    tokens = [b for b, number in zip(centered, counted, strict=True) for _ in range(number)]
    whitened = zip(whiten(centered, tokens), counted, strict=True)
    return each_step(episodes, [value if number else 0.0 for value, number in whitened])


def ngrpo(returns: list[float]) -> list[float]:
    """With two virtual returns of 1."""
    return standardise([*returns, 1.0, 1.0])[: len(returns)]


def mc_grpo(returns: list[float]) -> list[float]:
    distance = [r - _lower_median(returns) for r in returns]
    mad = _lower_median([abs(d) for d in distance])
    return [max(-5.0, min(5.0, d / (mad + 1e-3))) for d in distance]


def _lower_median(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def gdpo(episodes: list[Episode]) -> Values:
    total = [0.0] * len(episodes)
    for name, weight in {OUTCOME: 1.0, "format": 0.5}.items():
        returns = [sum(row.terms.get(name, 0.0) for row in e.rows) for e in episodes]
        scaled = in_groups(episodes, lambda group: standardise(group, 1e-4), returns)
        total = [before + weight * z for before, z in zip(total, scaled, strict=True)]
    return each_step(episodes, standardise(total, 1e-4))


def bnpo(episodes: list[Episode]) -> Values:
    """Returns are expected between 0 and 1: so they are compared where rates are clipped too."""
    returns = defaultdict(list)
    for episode in episodes:
        returns[episode.group].append(episode.total)
    rates = {group: mean(values) for group, values in returns.items()}
    clipped = {group: min(1.0, max(0.0, rate)) for group, rate in rates.items()}
    weights = _densities(clipped)
    return each_step(
        episodes, [(e.total - rates[e.group]) * min(1e6, weights[e.group]) for e in episodes]
    )


def _densities(rates: dict[int, float]) -> dict[int, float]:
    """One over the density of the widened Beta distribution at each rate."""
    over = variance(rates.values()) if len(rates) > 1 else 0.0
    if over < 1e-12:
        return dict.fromkeys(rates, 1.0)
    middle = mean(rates.values())
    both = middle * (1 - middle) / over - 1  # a + b of the distribution with this mean and variance
    alpha, beta = (max(1.0, 1 + both * share / 3) for share in (middle, 1 - middle))
    scale = math.gamma(alpha + beta) / math.gamma(alpha) / math.gamma(beta)
    density = {g: scale * p ** (alpha - 1) * (1 - p) ** (beta - 1) for g, p in rates.items()}
    return {group: 1 / max(value, 1e-300) for group, value in density.items()}


def opmd(returns: list[float]) -> list[float]:
    energy = 0.5 * math.log(mean([math.exp(r / 0.5) for r in returns]))
    return [r - energy for r in returns]


def asymre(returns: list[float]) -> list[float]:
    if len(set(returns)) == 1:
        return [0.0] * len(returns)
    return [r - (mean(returns) - 0.1) for r in returns]


def riskpo(episodes: list[Episode]) -> Values:
    return each_step(episodes, _bundled(episodes, lambda parts, j, q: 1.0))


def riskpo_shared(episodes: list[Episode]) -> Values:
    return each_step(episodes, _bundled(episodes, _own_share))


Papers = list[list[float]]
"""By group of a bundle: the returns of its members, and its mean for those that are missing."""


def _bundled(
    episodes: list[Episode], share: Callable[[Papers, int, int], float], size: int = 2
) -> list[float]:
    groups = [
        [m for m, episode in enumerate(episodes) if episode.group == group]
        for group in sorted({episode.group for episode in episodes})
    ]
    relative = [0.0] * len(episodes)
    for first in range(0, len(groups), size):
        bundle = groups[first : first + size]
        papers = [[episodes[m].total for m in members] for members in bundle]
        longest = max(map(len, papers))
        papers = [paper + [mean(paper)] * (longest - len(paper)) for paper in papers]
        judged = _risk([sum(column) for column in zip(*papers, strict=True)])
        for q, members in enumerate(bundle):
            for j, m in enumerate(members):
                alone = len(members) == 1
                relative[m] = 0.0 if alone else judged[j] * share(papers, j, q)
    return relative


def _risk(sums: list[float]) -> list[float]:
    if max(sums) - min(sums) < 1e-6:
        return [0.0] * len(sums)
    low, high = np.quantile(sums, [0.2, 0.8]).tolist()
    judged = []
    for value in sums:
        middle = (max(value - low, 0.0) - max(value - high, 0.0)) / (0.6 + 1e-6)
        worst = -max(low - value, 0.0) / (0.2 + 1e-6)
        judged.append((1.5 * worst + middle) / 2.5 / (spread(sums) + 1e-6))
    return judged


def _own_share(papers: Papers, j: int, q: int) -> float:
    """Of the distances from their groups' means, that of group q; equal where they cancel."""
    parts = [paper[j] - mean(paper) for paper in papers]
    whole = sum(parts)
    return 1 / len(papers) if abs(whole) < 1e-6 else parts[q] / whole


# Steps


def turn_gae(episodes: list[Episode]) -> Values:
    return [
        gae_of([row.reward for row in e.rows], [row.value for row in e.rows], 0.9, 0.7)
        for e in episodes
    ]


def igpo(episodes: list[Episode]) -> Values:
    turn = []
    for e in episodes:
        gains = [after.answer - before.answer for before, after in pairwise(e.rows)]
        turn.append([*gains, e.total])
    return [backwards(values, 0.8) for values in _over_group_steps(episodes, turn)]


def _over_group_steps(episodes: list[Episode], values: Values) -> Values:
    """Standardise over all steps of the group."""
    pools = defaultdict(list)
    for e, own in zip(episodes, values, strict=True):
        pools[e.group] += own
    return [
        [(v - mean(pools[e.group])) / (spread(pools[e.group]) + 1e-6) for v in own]
        for e, own in zip(episodes, values, strict=True)
    ]


def istar(episodes: list[Episode]) -> Values:
    pools = defaultdict(list)
    for e in episodes:
        pools[e.group] += [row.process for row in e.rows if row.counts]
    steps = [
        [
            (row.process - mean(pools[e.group])) / (spread(pools[e.group]) + 1e-6)
            if row.counts
            else 0.0
            for row in e.rows
        ]
        for e in episodes
    ]
    return add(grpo(episodes), steps, 0.7)


def prorag(episodes: list[Episode]) -> Values:
    outcome = trajectories(lambda returns: standardise(returns, 1e-4))(episodes)
    process = []
    for e in episodes:
        tokens = [
            row.process
            for other in episodes
            for row in other.rows
            if other.group == e.group
            for _ in range(row.num_tokens)
        ]
        middle, scale = (mean(tokens), math.sqrt(pvariance(tokens) + 1e-8)) if tokens else (0, 1)
        process.append([(row.process - middle) / scale * bool(row.num_tokens) for row in e.rows])
    return add(outcome, process, 0.5)


def ui_s1(episodes: list[Episode]) -> Values:
    returns = [_returns_of_matches(e.rows) for e in episodes]
    steps = []
    for e, own in zip(episodes, returns, strict=True):
        alike = [(f.rows, o) for f, o in zip(episodes, returns, strict=True) if f.group == e.group]
        at = [
            [other[t] for rows, other in alike if t < len(rows) and rows[t].counts]
            for t in range(len(own))
        ]
        steps.append(
            [
                (g - mean(at[t])) / (spread(at[t]) + 1e-6) if e.rows[t].counts else 0.0
                for t, g in enumerate(own)
            ]
        )
    return add(steps, grpo(episodes), 0.3)


def _returns_of_matches(rows: list[Row]) -> list[float]:
    returns = [rows[-1].reward]
    for row, after in reversed(list(pairwise(rows))):
        both = row.terms["match"] > 0 and after.terms["match"] > 0
        returns.append(row.reward + (0.5 * returns[-1] if both else 0.0))
    return returns[::-1]


def portool(episodes: list[Episode]) -> Values:
    """A node is the path to it."""
    paths = [
        [(e.group, *(row.edge for row in e.rows[: t + 1])) for t in range(len(e.rows))]
        for e in episodes
    ]
    through, siblings = defaultdict(list), defaultdict(set)
    for e, own in zip(episodes, paths, strict=True):
        for path in own:
            through[path].append(e.total)
            siblings[path[:-1]].add(path)
    forks = [
        [mean(through[p]) - mean(mean(through[s]) for s in siblings[p[:-1]]) for p in own]
        for own in paths
    ]
    return add(grpo(episodes), forks)


def empg(episodes: list[Episode]) -> Values:
    advantages = grpo(episodes)
    if not any(map(any, advantages)):
        return advantages
    entropies = [row.entropy for e in episodes for row in e.rows if row.counts]
    low, high = min(entropies), max(entropies)
    sure = [
        [(row.entropy - low) / (high - low + 1e-8) if row.counts else None for row in e.rows]
        for e in episodes
    ]
    middle = mean(math.exp(-2 * h) for own in sure for h in own if h is not None) + 1e-8
    moved = []
    for (advantage, *_), own in zip(advantages, sure, strict=True):
        bonus = [*(0.0 if h is None else math.exp(-h) for h in own[1:]), 0.0]
        moved.append(
            [
                None if h is None else advantage * math.exp(-2 * h) / middle + 0.05 * f
                for h, f in zip(own, bonus, strict=True)
            ]
        )
    center = mean(value for own in moved for value in own if value is not None)
    return [[0.0 if value is None else value - center for value in own] for own in moved]


# Tokens


def reinforce_pp(episodes: list[Episode]) -> Values:
    returns = [backwards(_token_rewards(e.rows), 0.9) for e in episodes]
    return _whiten_tokens(returns)


def gae(episodes: list[Episode]) -> Values:
    return [
        gae_of(_token_rewards(e.rows), [v for row in e.rows for v in row.token_values], 0.9, 0.8)
        for e in episodes
    ]


def gae_whitened(episodes: list[Episode]) -> Values:
    return _whiten_tokens(gae(episodes))


def _token_rewards(rows: list[Row]) -> list[float]:
    """At the last token of its step, or of the last step before it that has one."""
    rewards: list[float] = []
    for row in rows:
        rewards += [0.0] * row.num_tokens
        if rewards:
            rewards[-1] += row.reward
    return rewards


def _whiten_tokens(values: Values) -> Values:
    every = [value for own in values for value in own]
    return [whiten(own, every) for own in values]


def bilevel_gae(episodes: list[Episode]) -> Values:
    return [_turn_by_turn(e.rows) for e in episodes]


def _turn_by_turn(rows: list[Row]) -> list[float]:
    turns = [row for row in rows if row.num_tokens]
    earned = []
    for row in rows:
        if row.num_tokens:
            earned.append(row.reward)
        elif earned:
            earned[-1] += row.reward
    ends = [row.token_values[-1] for row in turns]
    found = []
    for row, advantage, end in zip(turns, gae_of(earned, ends, 0.95, 0.7), ends, strict=True):
        rewards = [0.0] * (row.num_tokens - 1) + [advantage + end]
        found += gae_of(rewards, row.token_values, 0.9, 0.7)
    return found


ORACLES: dict[str, tuple[Oracle, dict[str, object]]] = {
    "reinforce_pp_baseline": (reinforce_pp_baseline, {}),
    "ngrpo": (trajectories(ngrpo), {"virtual": 2}),
    "mc_grpo": (trajectories(mc_grpo), {}),
    "gdpo": (gdpo, {"weights": {OUTCOME: 1.0, "format": 0.5}}),
    "bnpo": (bnpo, {}),
    "opmd": (trajectories(opmd), {"tau": 0.5}),
    "asymre": (trajectories(asymre), {}),
    "riskpo": (riskpo, {"bundle": 2}),
    "riskpo sum-mean": (riskpo_shared, {"bundle": 2, "share": "sum-mean"}),
    "turn_gae": (turn_gae, {"gamma": 0.9, "lam": 0.7}),
    "igpo": (igpo, {"gamma": 0.8}),
    "istar": (istar, {"step_weight": 0.7}),
    "prorag": (prorag, {}),
    "ui_s1": (ui_s1, {"episode_weight": 0.3}),
    "portool": (portool, {}),
    "empg": (empg, {"k": 2.0, "zeta": 0.05}),
    "reinforce_pp": (reinforce_pp, {"gamma": 0.9}),
    "gae": (gae, {"gamma": 0.9, "lam": 0.8, "whitened": False}),
    "gae whitened": (gae_whitened, {"gamma": 0.9, "lam": 0.8}),
    "bilevel_gae": (bilevel_gae, {"gamma": 0.9, "lam": 0.7}),
}
TOKENS = {"reinforce_pp", "gae", "bilevel_gae"}
"""They give each token its own."""


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=60)
@given(table=tables())
def test_estimators_agree_with_plain_loops(name: str, table: StepTable) -> None:
    oracle, options = ORACLES[name]
    credit: CreditConfig = CREDITS[name.split()[0]].model_validate(options)
    table = annotated(table)
    expected = [value for own in oracle(read_episodes(table)) for value in own]
    found = credit(table, table.term(OUTCOME)).tolist()
    if credit.name not in TOKENS:  # what a step without tokens has trains nothing
        tokens = np.diff(table.token_start)
        expected, found = np.repeat(expected, tokens).tolist(), np.repeat(found, tokens).tolist()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-8)
