from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strategies import make_group, make_step
from trained_run import make_trained_run

from agentgym.config.methods import parse_credits, recorded_methods
from agentgym.errors import ConfigError
from agentgym.store.episodes import read_heads
from agentgym.store.notes import NewNoteWriter
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.recompute import label_of, read_updates
from agentgym.trainers.recredit import recredit
from agentgym.viewer.lens import look
from agentgym.viewer.scene import Scene


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_trained_run(tmp_path_factory.mktemp("lens") / "run", "credit.name=gigpo")


@pytest.fixture(scope="module")
def update(run):
    *_, last = read_updates(run)
    return last


@pytest.fixture
def scene(run, update):
    return Scene.trained(update, recorded_methods(f"{run}/config.toml"))


def group_of(scene, number=1):
    name = sorted({each.group_id for each in scene.trajectories})[number]
    return [each.id for each in scene.trajectories if each.group_id == name]


def joined(lens, names, what="steps"):
    return np.concatenate([getattr(lens, what)[name] for name in names])


def test_what_was_trained_on_is_the_record(scene):
    names = list(scene.table.trajectory_ids)
    found = look(scene, names)
    np.testing.assert_array_equal(joined(found, names), scene.update.advantages)
    assert (found.label, found.has_tokens) == ("trained", False)
    returns = scene.table.per_trajectory(scene.update.rewards)
    assert found.returns == dict(zip(names, returns.tolist(), strict=True))


def test_what_no_optimiser_step_used_was_not_trained_but_is_asked_of_the_same_estimator(scene):
    names = group_of(scene)
    alone = Scene.played([each for each in scene.trajectories if each.id in names], scene.methods)
    assert look(alone, names).label == "gigpo"
    assert look(alone, names, minus="grpo").label == "gigpo - grpo"
    same = joined(look(alone, names, credit="gigpo"), names)
    np.testing.assert_array_equal(joined(look(alone, names), names), same)


def test_another_estimator_sees_the_whole_optimiser_step(scene):
    names = group_of(scene)
    found = look(scene, names, credit="gigpo,gamma=0.5")
    expected = GiGPO(gamma=0.5)(scene.table, scene.update.rewards)
    steps = [scene.table.trajectory_ids[row] in names for row in scene.table.trajectory]
    np.testing.assert_array_equal(joined(found, names), expected[steps])
    assert list(found.steps) == names
    assert found.label == "gigpo,gamma=0.5"
    whitened = look(scene, names, credit="reinforce_pp")
    alone = Scene.played([each for each in scene.trajectories if each.id in names], scene.methods)
    other = look(alone, names, credit="reinforce_pp")
    assert not np.array_equal(joined(whitened, names), joined(other, names))


def test_the_difference_of_two_is_theirs(scene):
    names = group_of(scene)
    found = look(scene, names, credit="gigpo", minus="grpo")
    a, b = (look(scene, names, credit=each) for each in ("gigpo", "grpo"))
    np.testing.assert_array_equal(joined(found, names), joined(a, names) - joined(b, names))
    assert found.label == "gigpo - grpo"
    same = look(scene, names, minus="trained")
    assert not joined(same, names).any()


def test_tokens_have_the_advantage_of_their_step_or_their_own(scene):
    names = group_of(scene)
    plain = look(scene, names, credit="grpo")
    values = np.arange(int(scene.table.token_start[-1])) / 7
    own = Scene.trained(
        replace(scene.update, columns={**scene.update.columns, "advantages": values}),
        scene.methods,
    )
    found = look(own, list(scene.table.trajectory_ids))
    assert found.has_tokens
    np.testing.assert_array_equal(joined(found, found.tokens, "tokens"), values)
    np.testing.assert_allclose(joined(found, found.steps), (values[::2] + values[1::2]) / 2)
    with_steps = look(own, names, minus="grpo")
    first = with_steps.tokens[names[0]]
    np.testing.assert_array_equal(first, found.tokens[names[0]] - plain.tokens[names[0]])
    for name in names:
        assert len(plain.tokens[name]) == 2 * len(plain.steps[name])
        np.testing.assert_array_equal(plain.tokens[name][::2], plain.steps[name])


def test_other_rewards_go_to_the_estimator_of_the_run(scene):
    names = list(scene.table.trajectory_ids)
    terms = 'terms,terms=[{term="valid",weight=8.0,scope="step"}]'
    found = look(scene, names, shaping=terms)
    rewards = 8.0 * scene.table.term("valid")
    np.testing.assert_array_equal(joined(found, names), scene.methods.credit(scene.table, rewards))
    assert found.returns[names[0]] == scene.table.per_trajectory(rewards)[0]
    assert found.label.startswith("trained on terms")


def test_what_was_never_trained_on_is_seen_by_its_episodes_alone(scene):
    group = make_group(
        [make_step(outcome=1.0)], [make_step(outcome=0.0), make_step(outcome=0.0)], name="eval-x"
    )
    group.trajectories[1].end = "truncated"
    played = Scene.played(group.trajectories, scene.methods)
    found = look(played, ["eval-x/0", "eval-x/1"], credit="rloo")
    expected = RLOO()(played.table, np.array([1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(joined(found, ["eval-x/0", "eval-x/1"]), expected)
    own = look(played, ["eval-x/0"])
    np.testing.assert_array_equal(
        own.steps["eval-x/0"],
        scene.methods.credit(played.table, np.array([1.0, 0.0, 0.0]))[:1],
    )


def test_faults_are_left_out(scene):
    group = make_group([make_step(outcome=1.0)], [make_step(outcome=1.0)])
    group.trajectories[0].end = "error"
    played = Scene.played(group.trajectories, scene.methods)
    assert list(look(played, ["g/0", "g/1"]).steps) == ["g/1"]
    group.trajectories[1].end = "error"
    with pytest.raises(ConfigError, match="without a fault"):
        Scene.played(group.trajectories, scene.methods)


@pytest.mark.parametrize("name", sorted(CREDITS))
def test_every_estimator_can_be_looked_through_or_says_what_it_lacks(scene, name):
    names = list(scene.table.trajectory_ids)
    credit = CREDITS[name]()
    lacks = any(getattr(scene.table, each) is None for each in credit.columns)
    if not lacks and name != "ui_s1":
        found = look(scene, names, credit=name)
        assert found.label == label_of(credit)
        values = joined(found, names, "tokens" if found.has_tokens else "steps")
        np.testing.assert_array_equal(values, credit(scene.table, scene.update.rewards))
    else:
        with pytest.raises(ConfigError, match="needs the column" if lacks else "reads 'match'"):
            look(scene, names, credit=name)


def test_what_is_kept_takes_no_more_than_it_may(scene, monkeypatch):
    expected = {name: scene.credit(name).advantages for name in ("rloo", "grpo", "gigpo")}
    scene._known.clear()
    monkeypatch.setattr("agentgym.viewer.scene._MOST_VALUES", scene.table.num_steps * 2)
    for name in ("rloo", "grpo", "gigpo", "rloo"):
        np.testing.assert_array_equal(scene.credit(name).advantages, expected[name])
        assert len(scene._known) <= 2
    monkeypatch.setattr("agentgym.viewer.scene._MOST_VALUES", 0)
    assert len(scene.credit("grpo").advantages) == scene.table.num_steps


def test_results_are_kept(scene, monkeypatch):
    calls = []
    given = GRPO.advantages
    monkeypatch.setattr(GRPO, "advantages", lambda *args: calls.append(1) or given(*args))
    for _ in range(3):
        look(scene, [], credit="grpo")
    assert len(calls) == 1
    for number in range(1, 40):
        look(scene, [], credit=f"gigpo,gamma={number / 50}")
    assert len(scene._known) <= 32


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"credit": "gipgo"}, "unknown credit 'gipgo'"),
        ({"credit": "gigpo,gama=1"}, "gama"),
        ({"credit": "gigpo,grpo"}, "names 2 methods"),
        ({"minus": "gamma=1"}, "setting of nothing"),
        ({"shaping": "off,outcome"}, "names 2 methods"),
        ({"credit": "<script>"}, "unknown credit"),
        ({"credit": "\ud800"}, "unknown credit"),
    ],
)
def test_what_is_wrong_with_a_method_is_told(scene, words, told):
    with pytest.raises(ConfigError, match=told):
        look(scene, [], **words)


def test_json_has_no_tokens(scene):
    names = group_of(scene)[:1]
    found = look(scene, names).to_json()
    assert sorted(found) == ["known", "label", "most", "returns", "steps", "tokens"]
    assert found["steps"][names[0]] == look(scene, names).steps[names[0]].tolist()


def test_every_episode_is_there(run):
    assert len(list(read_heads(run))) == 39


@pytest.mark.parametrize("credit", ["gigpo", "reinforce_pp"])
def test_a_note_is_read_as_it_was_written(tmp_path, open_runs, credit):
    root = Path(make_trained_run(tmp_path / "run", "credit.name=grpo"))
    with NewNoteWriter(root, producer="recredit", kind="credit") as notes:
        trained = recorded_methods(root / "config.toml").credit
        recredit(root, parse_credits([credit]), trained=trained, notes=notes)
    (run,) = open_runs(root)
    (label, *_) = run.index.query("SELECT label FROM credit WHERE label != 'grpo'")[0]
    for update in read_updates(root):
        name = update.trajectories[0].id
        scene = run.scenes.of_episode(name)
        names = list(scene.table.trajectory_ids)
        noted = look(scene, names, credit=f"noted:{label}")
        computed = look(scene, names, credit=credit)
        assert noted.label == f"noted:{label}"
        assert noted.has_tokens == computed.has_tokens
        np.testing.assert_allclose(
            joined(noted, names, "tokens"), joined(computed, names, "tokens"), atol=1e-6
        )
        assert look(scene, names, credit=f"noted:{label}", minus=credit).most < 1e-6
        with pytest.raises(ConfigError, match="of the rewards of the run"):
            look(scene, names, credit=f"noted:{label}", shaping="off")
    with pytest.raises(ConfigError, match=r"has no note of '\.\./x' here"):
        look(scene, names, credit="noted:../x")


def test_the_most_is_that_of_all_who_are_asked_about(scene):
    names = group_of(scene)
    found = look(scene, names, credit="reinforce_pp")
    assert found.most == max(np.abs(each).max() for each in found.tokens.values() if len(each))
    assert found.most >= look(scene, names[:1], credit="reinforce_pp").most
    assert look(scene, [], credit="grpo").most == 0
