import json
from dataclasses import replace

import numpy as np
import pytest
from strategies import make_group, make_step
from updated import SEED, take_step

from agentgym.errors import ConfigError
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.losses import PPO
from agentgym.trainers.losses.corrections import IcePop
from agentgym.types import Completion
from agentgym.viewer.weights import TokenWeights
from agentgym.viewer.why import sampled_number, why, why_sampled

STOPS = {
    Cause.TRAINED: "weight",
    Cause.ZERO_ADVANTAGE: "advantage",
    Cause.NOT_IN_BATCH: "segment",
    Cause.CLIPPED: "ratio",
    Cause.DROPPED: "correction",
}


def explained(tiny, loss, **train):
    """Every token of an optimiser step, with its chain."""
    weights = TokenWeights(*take_step(tiny, loss=loss, **train), SEED)
    for trajectory in weights.update.trajectories:
        first = weights.span(trajectory.id).start
        for number in range(trajectory.num_sampled):
            token = first + number
            yield (
                weights,
                token,
                why_sampled(trajectory, number, token=token, weights=weights, estimator="grpo"),
            )


@pytest.mark.parametrize(
    ("loss", "train", "seen"),
    [
        (PPO(), {"step": 0, "credit": GRPO(), "minibatches": 2}, {0, 1, 2, 3}),
        (PPO(correction=IcePop(low=0.3, high=1.8)), {}, {0, 2, 4}),
    ],
    ids=["plain", "corrected"],
)
def test_the_chain_of_every_token_ends_where_the_record_says(tiny, loss, train, seen):
    causes = set()
    for weights, token, found in explained(tiny, loss, **train):
        cause = Cause(int(weights.cause[token]))
        causes.add(int(cause))
        assert found.weight == float(weights.weight[token])
        assert found.cause == cause.name.lower()
        assert found.chain[-1].what == STOPS[cause]
        assert [link.stops for link in found.chain[:-1]] == [False] * (len(found.chain) - 1)
        assert found.chain[-1].stops == (cause != Cause.TRAINED)
        assert (found.weight == 0) == (cause != Cause.TRAINED)
    assert causes >= seen


def test_a_chain_has_the_numbers(tiny):
    weights, token, found = next(
        each for each in explained(tiny, PPO(), minibatches=2) if each[0].weight[each[1]] > 0
    )
    links = {link.what: link for link in found.chain}
    assert list(links) == [
        "sampled",
        "batch",
        "segment",
        "returns",
        "advantage",
        "ratio",
        "share",
        "weight",
    ]
    assert links["sampled"].value == 2
    assert links["batch"].value == 3
    assert links["advantage"].value == weights.advantage[token]
    assert links["ratio"].value == weights.clip.ratio[token]
    assert links["share"].value == pytest.approx(found.weight)
    assert "token-mean" in links["share"].note
    assert "of 2" in links["share"].note
    assert "likel" in links["weight"].note


def test_a_clipped_token_has_its_ratio_and_bound(tiny):
    weights, token, found = next(
        each
        for each in explained(tiny, PPO(clip_high=0.25))
        if each[0].cause[each[1]] == Cause.CLIPPED
    )
    last = found.chain[-1]
    assert last.value == weights.clip.ratio[token]
    assert ("1.25" in last.note) == (weights.advantage[token] > 0)
    assert "clipped by ppo" in last.note


def test_a_dropped_token_has_its_number_and_the_bounds(tiny):
    loss = PPO(correction=IcePop(low=0.3, high=1.8))
    weights, token, found = next(
        each for each in explained(tiny, loss) if each[0].cause[each[1]] == Cause.DROPPED
    )
    assert f"{weights.corrected.number[token]:.6g}" in found.chain[-1].note
    assert "low 0.3, high 1.8" in found.chain[-1].note


def test_equal_returns_are_told(tiny):
    told = {
        found.chain[3].note
        for weights, token, found in explained(tiny, PPO(), step=0, credit=GRPO())
        if weights.cause[token] == Cause.ZERO_ADVANTAGE
    }
    assert any("are equal" in note for note in told)


def test_places_of_segments_are_found(tiny):
    weights = TokenWeights(*take_step(tiny, loss=PPO()), SEED)
    trajectory = weights.update.trajectories[0]
    last = trajectory.num_sampled - 1
    moved = trajectory.segments[1]
    assert sampled_number(trajectory, len(moved.token_ids) - 1, segment=1) == last
    found = why(trajectory, len(moved.token_ids) - 1, segment=1, weights=weights)
    assert found.weight == float(weights.weight[weights.span(trajectory.id)][last])
    prompt = why(trajectory, 0, segment=1, weights=weights)
    assert (prompt.cause, prompt.weight) == ("not_sampled", 0.0)
    assert "prompt" in prompt.chain[0].note
    for segment, place, told in [
        (2, 0, "no segment 2"),
        (0, 10_000, "no token"),
        (-1, 0, "no seg"),
    ]:
        with pytest.raises(ConfigError, match=told):
            why(trajectory, place, segment=segment, weights=weights)


def test_every_token_of_a_segment_is_sampled_or_not(tiny):
    weights = TokenWeights(*take_step(tiny, loss=PPO()), SEED)
    for trajectory in weights.update.trajectories:
        for number, segment in enumerate(trajectory.segments):
            for place, is_sampled in enumerate(segment.sampled):
                found = why(trajectory, place, segment=number, weights=weights)
                assert (found.cause != "not_sampled") == is_sampled


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"end": "error"}, "fault"),
        ({"group_id": "eval-sampled-000001-000"}, "evaluation"),
        ({"group_id": "warm-000001-000"}, "played for no optimiser step"),
        ({}, "no optimiser step used"),
    ],
)
def test_what_no_step_used_says_why(tiny, change, told):
    update, _ = take_step(tiny, loss=PPO())
    trajectory = replace(update.trajectories[1], **change)
    place = trajectory.segments[0].steps[0][1]
    found = why(trajectory, place, weights=None)
    assert (found.cause, found.weight) == ("not_used", 0.0)
    assert told in found.chain[-1].note
    assert found.chain[-1].stops


def test_a_record_that_contradicts_itself_is_told(tiny):
    update, training = take_step(tiny, loss=PPO())
    cause, weight = update.columns["cause"].copy(), update.columns["weights"].copy()
    token = int(np.flatnonzero(cause == Cause.TRAINED)[0])
    cause[token], weight[token] = Cause.CLIPPED, 0
    broken = replace(update, columns={**update.columns, "cause": cause, "weights": weight})
    weights = TokenWeights(broken, training, SEED)
    index = int(np.searchsorted(update.table.token_start, token, "right")) - 1
    trajectory = update.trajectories[int(update.table.trajectory[index])]
    number = token - weights.span(trajectory.id).start
    found = why_sampled(trajectory, number, token=token, weights=weights, estimator="x")
    assert found.chain[-1].what == "record"
    assert "clipped" in found.chain[-1].note
    assert "trained" in found.chain[-1].note
    cause[token] = 99
    odd = why_sampled(trajectory, number, token=token, weights=weights, estimator="x")
    assert odd.cause == "unknown cause 99"


def test_policies_that_took_over_inside_of_a_message_are_told_apart():
    (trajectory,) = make_group([make_step(num_tokens=1), make_step(num_tokens=4)]).trajectories
    trajectory.group_id = "eval-x"
    trajectory.steps[1].completion = Completion(
        token_ids=(1,) * 4, logprobs=(0.0,) * 4, finish_reason="stop", versions=((0, 5), (2, 6))
    )
    from agentgym.types import Segment

    trajectory.segments = [
        Segment(
            token_ids=[1] * 5, sampled=[True] * 5, logprobs=[0.0] * 5, steps=[(0, 0, 1), (1, 1, 5)]
        )
    ]
    versions = [why(trajectory, place, weights=None).chain[0].value for place in range(5)]
    assert versions == [0, 5, 5, 6, 6]


def test_json_has_no_number_that_is_none(tiny):
    for _, _, found in explained(tiny, PPO(correction=IcePop()), epochs=2):
        text = json.dumps(found.to_json(), allow_nan=False)
        assert sorted(json.loads(text)) == ["cause", "chain", "weight"]
