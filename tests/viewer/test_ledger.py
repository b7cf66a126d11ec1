import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from strategies import groups, make_group, make_step
from trained_run import make_trained_run

from agentgym.config.methods import Methods, parse_shapers, recorded_methods
from agentgym.table import build_table
from agentgym.trainers.recompute import read_updates
from agentgym.trainers.shaping.base import totals
from agentgym.viewer.ledger import condition, ledger
from agentgym.viewer.scene import Scene

SHAPERS = {
    "outcome": "off",
    "gated": 'gated,levels=[{term="outcome",threshold=0.0},{term="format",weight=0.5,scope="step"}]',
    "lenient": 'gated,gate_positive_only=true,levels=[{term="match",threshold=1.0},{term="outcome"}]',
    "progressive": 'progressive,stages=[{term="match"},{term="outcome"}]',
    "soft": 'terms,terms=[{term="outcome",gates=[{name="soft",terms=["match","format"]}]}]',
    "score": 'terms,terms=[{term="format",scope="step",gates=[{name="score",term="match"}]}]',
    "not_zero": 'terms,terms=[{term="num_tokens",gates=[{name="not_zero",term="num_steps"}]}]',
    "potential": 'terms,terms=[{term="match",scope="step",form={name="potential"}},{term="outcome"}]',
    "group_max": 'terms,terms=[{term="outcome",form={name="group_max"}}]',
    "overlong": 'terms,terms=[{term="num_tokens",form={name="overlong",max_length=4,cache=2}}]',
}


def shaper(name):
    return next(iter(parse_shapers([SHAPERS[name]]).values()))


def scene_of(*found, shaping="gated"):
    members = [each for group in found for each in group.trajectories]
    return Scene.played(members, Methods(shaping=shaper(shaping)))


def rows(found):
    return {row.term: row for row in found.terms}


@pytest.mark.parametrize("name", SHAPERS)
@settings(max_examples=25)
@given(drawn=groups())
def test_what_is_paid_adds_up_to_the_rewards(name, drawn):
    scene = scene_of(*drawn, shaping=name)
    shaped = scene.shape(scene.methods.shaping)
    for index, episode in enumerate(scene.table.trajectory_ids):
        found = ledger(scene, episode)
        sums = np.sum([row.paid for row in found.terms], axis=0)
        np.testing.assert_allclose(sums, found.rewards, atol=1e-12)
        here = slice(*scene.table.step_start[index : index + 2])
        np.testing.assert_array_equal(found.rewards, shaped.rewards[here])
        assert found.recorded is None
        assert {row.term for row in found.terms} >= set(scene.table.term_names)


@pytest.mark.parametrize("name", ["gated", "lenient", "progressive", "soft", "score", "not_zero"])
@settings(max_examples=25)
@given(drawn=groups())
def test_a_gate_stands_where_it_would_had_the_episode_ended_there(name, drawn):
    """Cut every episode after every step, and ask the gate itself."""
    scene = scene_of(*drawn, shaping=name)
    listed = getattr(scene.methods.shaping, "as_terms", lambda: scene.methods.shaping)()
    gates = [(term.term, gate) for term in listed.terms for gate in term.gates]
    for trajectory in scene.trajectories:
        found = ledger(scene, trajectory.id)
        assert [(row.term, row.condition) for row in found.gates] == [
            (term, condition(gate)) for term, gate in gates
        ]
        for (_, gate), row in zip(gates, found.gates, strict=True):
            cuts = [trajectory.steps[: t + 1] for t in range(len(trajectory.steps))]
            expected = [gate.share(build_table([make_group(cut)]))[0] for cut in cuts]
            assert row.share == pytest.approx(expected)


@pytest.mark.parametrize("name", SHAPERS)
@settings(max_examples=25)
@given(drawn=groups())
def test_states_fit_what_was_paid(name, drawn):
    scene = scene_of(*drawn, shaping=name)
    for episode in scene.table.trajectory_ids:
        for row in ledger(scene, episode).terms:
            for state, paid in zip(row.states, row.paid, strict=True):
                assert (paid != 0) == (state in ("counted", "clipped"))
                assert (state == "unused") == (row.form is None)
            if "blocked" in row.states[-1:]:
                assert row.blocked_by


def test_a_gated_term_by_hand():
    """The format is paid only where the outcome is above 0, which it is at the end alone."""
    won = [
        make_step(outcome=0.0, format=0.0),
        make_step(outcome=0.0, format=1.0),
        make_step(outcome=0.0, format=0.0),
        make_step(outcome=1.0, format=0.0, other=3.0),
    ]
    lost = [make_step(outcome=0.0, format=1.0), make_step(outcome=0.0, format=0.0)]
    scene = scene_of(make_group(won, lost))
    found = ledger(scene, "g/0")
    assert found.rewards == (0.0, 0.5, 0.0, 1.0)
    form = rows(found)["format"]
    assert form.states == ("not reached", "counted", "blocked", "open")
    assert form.paid == (0.0, 0.5, 0.0, 0.0)
    assert (form.weight, form.scope, form.form, form.blocked_by) == (0.5, "step", "as_given", ())
    assert rows(found)["outcome"].states == ("not reached",) * 3 + ("counted",)
    assert rows(found)["other"].states == ("unused",) * 4
    (gate,) = found.gates
    assert (gate.term, gate.condition, gate.share) == (
        "format",
        "outcome > 0",
        (0.0, 0.0, 0.0, 1.0),
    )
    other = ledger(scene, "g/1")
    assert other.rewards == (0.0, 0.0)
    assert rows(other)["format"].states == ("blocked", "blocked")
    assert rows(other)["format"].blocked_by == ("outcome > 0",)


def test_a_weight_is_what_the_schedule_left_of_it():
    group = make_group([make_step(outcome=1.0)], [make_step(outcome=0.5)])
    (found,) = parse_shapers(
        ['terms,terms=[{term="outcome",weight=2.0,schedule={name="linear",start=1.0,end=0.0}}]']
    ).values()
    members = group.trajectories
    for progress, weight in ((0.0, 2.0), (0.25, 1.5), (1.0, 0.0)):
        scene = Scene.played(
            members, Methods(shaping=found), schedules={"progress": progress, "competence": 0.0}
        )
        (row,) = ledger(scene, members[0].id).terms
        assert row.weight == pytest.approx(weight)
        assert row.paid == pytest.approx([row.weight * each for each in row.raw])


def test_a_part_of_a_term_is_clipped():
    scene = scene_of(make_group([make_step(outcome=0.0, format=1.0, match=0.25)]), shaping="score")
    row = rows(ledger(scene, "g/0"))["format"]
    assert (row.states, row.paid) == (("clipped",), (0.25,))


def test_another_shaper_can_be_asked_about():
    scene = scene_of(make_group([make_step(outcome=1.0, format=1.0)]))
    assert ledger(scene, "g/0", shaper=shaper("outcome")).rewards == (1.0,)
    assert ledger(scene, "g/0").rewards == (1.5,)


def test_a_recorded_step_agrees_with_the_record_or_says_so(tmp_path):
    run = make_trained_run(
        tmp_path / "run",
        'shaping={name="gated",levels=[{term="outcome",threshold=0.0},{term="valid"}]}',
    )
    *_, update = read_updates(run)
    scene = Scene.trained(update, recorded_methods(f"{run}/config.toml"))
    table = update.table
    for index, episode in enumerate(table.trajectory_ids):
        here = slice(*table.step_start[index : index + 2])
        found = ledger(scene, episode)
        assert found.recorded is None
        np.testing.assert_array_equal(found.rewards, update.rewards[here])
        for row in found.terms:
            np.testing.assert_array_equal(row.paid, update.columns[f"shaped/{row.term}"][here])
        (gate,) = found.gates
        assert gate.share[-1] == update.columns["gate/valid"][index]
        assert sum(rows(found)["outcome"].raw) == totals(table, "outcome")[index]
    other = Scene.trained(update, Methods(shaping=shaper("overlong")))
    assert ledger(other, episode).recorded == tuple(update.rewards[here])


def test_json_has_totals_that_add_up():
    scene = scene_of(make_group([make_step(outcome=1.0, format=1.0), make_step(format=2.0)]))
    found = ledger(scene, "g/0").to_json()
    assert found["total"] == sum(row["total"] for row in found["terms"]) == 2.5
    assert found["terms"][0]["states"] == ["open", "counted"]
    assert found["gates"][0]["condition"] == "outcome > 0"


def test_what_is_not_there_is_a_key_error():
    with pytest.raises(KeyError):
        ledger(scene_of(make_group([make_step()])), "nobody")


@given(st.text())
def test_hostile_terms_are_names(name):
    scene = scene_of(make_group([make_step(**{"outcome": 1.0, name: 1.0})]))
    assert name in rows(ledger(scene, "g/0"))
