"""What a training leaves is enough to compute its numbers again, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import make_table
from trained_run import make_trained_run

from agentgym.config.methods import recorded_methods
from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.errors import ConfigError, StoreError
from agentgym.store.notes import NewNoteWriter, read_notes
from agentgym.store.run import Run
from agentgym.trainers.agreement import agreement, correlation, per_step, spread
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.credit.duration import DurationAware
from agentgym.trainers.credit.empg import EMPG
from agentgym.trainers.credit.gdpo import GDPO
from agentgym.trainers.credit.igpo import IGPO
from agentgym.trainers.credit.reinforce_pp import ReinforcePP
from agentgym.trainers.recompute import (
    ANNOTATIONS,
    annotations,
    check_columns,
    latest_notes,
    read_updates,
    same_bits,
)
from agentgym.trainers.recredit import is_reproduced, recredit
from agentgym.trainers.trainer import train

GATED = """shaping={name="gated",levels=[{term="outcome",threshold=0.0},{term="valid"}]}"""
SUMS = """shaping={name="gated",levels=[{term="outcome"},{term="valid"}]}"""
TINY = [
    "seed=5",
    "env={id='agentgym/KeyDoor-v0',rules=false,max_turns=4}",
    "model.tiny={layers=1,width=16,heads=2,max_context=128}",
    "rollout={groups=3,group_size=4,sampling.max_tokens=3}",
    "warm_start={policy='scripted:random',episodes=16,steps=40,batch_size=8,lr=0.02}",
    "train.steps=2",
]


@pytest.mark.slow
@pytest.mark.parametrize("credit", ["gigpo", "empg"])
async def test_a_real_training_comes_out_again(tmp_path, credit):
    resolved = resolve_words([*TINY, f"credit.name={credit}", SUMS])
    text = render_toml(resolved)
    with Run.create(tmp_path / "r", config_text=text, command=[], seed=5) as run:
        await train(resolved.config, run, env=resolved.config.env.config)
    methods = recorded_methods(run.config_path)
    updates = list(read_updates(run.root))
    assert [update.step for update in updates] == [0, 1]
    for update in updates:
        assert update.advantages.any()
        assert same_bits(update.shape(methods.shaping).rewards, update.rewards)
        assert is_reproduced(methods.credit, update)


HERE = sorted(name for name, kind in CREDITS.items() if set(kind().columns) <= {"entropy"})
SETTINGS = {"ui_s1": ["credit.match_term=valid"]}
"""Terms that the run has."""


@pytest.mark.parametrize("name", HERE)
def test_every_estimator_comes_out_again(tmp_path, name):
    settings = [f"credit.name={name}", *SETTINGS.get(name, ())]
    root = make_trained_run(tmp_path / "r", *settings, GATED)
    methods = recorded_methods(tmp_path / "r" / "config.toml")
    assert methods.credit.name == name
    for update in read_updates(root):
        assert same_bits(update.shape(methods.shaping).rewards, update.rewards)
        assert is_reproduced(methods.credit, update)
        assert not is_reproduced(CREDITS["gigpo" if name != "gigpo" else "grpo"](), update)


def test_annotations_stand_in_the_record(tmp_path):
    root = make_trained_run(tmp_path / "r", steps=1)
    (note,) = read_notes(root, "update")
    (update,) = read_updates(root)
    assert set(ANNOTATIONS) & set(note.columns) == {"entropy"}
    assert {"value", "token_value", "pool_mean", "duration"} < set(ANNOTATIONS)
    np.testing.assert_array_equal(update.table.entropy, note.columns["entropy"])
    check_columns(EMPG(), update.table, where="r")
    with pytest.raises(ConfigError, match="igpo needs the column 'answer_logprob'"):
        check_columns(IGPO(), update.table, where="r")


def test_the_later_note_of_a_repeated_step_counts(tmp_path):
    root = make_trained_run(tmp_path / "r", steps=2)
    notes = list(read_notes(root, "update"))
    changed = notes[0].columns | {"advantages": notes[0].columns["advantages"] + 1}
    with NewNoteWriter(root, producer="trainer", kind="update") as writer:
        assert writer.add(notes[0].payload, changed)
        assert not writer.add(notes[0].payload, changed)
    updates = list(read_updates(root))
    assert [update.step for update in updates] == [0, 1]
    np.testing.assert_array_equal(updates[0].advantages, changed["advantages"])
    assert [update.step for update in read_updates(root, last=1)] == [1]


def test_columns_are_read_step_by_step(tmp_path):
    root = make_trained_run(tmp_path / "r", steps=2)
    notes = latest_notes(root)
    assert [note.columns for note in notes.values()] == [{}, {}]
    for note, update in zip(read_notes(root, "update"), read_updates(root), strict=True):
        assert set(update.columns) == set(note.columns)
        np.testing.assert_array_equal(update.advantages, note.columns["advantages"])


def test_a_lost_episode_is_named(tmp_path):
    root = make_trained_run(tmp_path / "r", steps=1)
    (shard,) = (tmp_path / "r" / "episodes").iterdir()
    shard.unlink()
    with pytest.raises(StoreError, match=r"step 1 used the episode train-000000-000\.0\.0"):
        list(read_updates(root))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda note: note.columns.update(advantages=note.columns["advantages"][:-1]), "advantages for"),
        (lambda note: note.columns.update(rewards=note.columns["rewards"][1:]), "rewards for"),
        (
            lambda note: note.columns.update(advantages=note.columns["advantages"].astype("f4")),
            "the advantages are float32, not float64",
        ),
        (lambda note: note.payload.pop("version"), "reading the note of step 1 .* KeyError: 'version'"),
        (lambda note: note.payload.pop("step"), "reading a note .* KeyError: 'step'"),
        (lambda note: note.columns.update(entropy=note.columns["entropy"][:-1]), "entropy"),
    ],
)  # fmt: skip
def test_a_broken_note_is_an_error_that_says_so(tmp_path, change, told):
    root = make_trained_run(tmp_path / "r", steps=1)
    (note,) = read_notes(root, "update")
    change(note)
    with NewNoteWriter(root, producer="trainer", kind="update") as writer:
        writer.add(note.payload, note.columns)
    with pytest.raises(StoreError, match=told):
        recredit(root, {}, trained=GDPO())


def test_what_is_no_number_is_not_computed_with(tmp_path):
    root = make_trained_run(tmp_path / "r", steps=1)
    (note,) = read_notes(root, "update")
    broken = note.columns | {"rewards": np.full_like(note.columns["rewards"], np.nan)}
    with NewNoteWriter(root, producer="trainer", kind="update") as writer:
        writer.add(note.payload, broken)
    with pytest.raises(StoreError, match=r"step 1 of .*: \d+ rewards are not finite"):
        recredit(root, {}, trained=GDPO())


def test_results_are_noted_once(tmp_path):
    root = make_trained_run(tmp_path / "r")
    trained = recorded_methods(tmp_path / "r" / "config.toml").credit
    credits = {"pp": ReinforcePP(), "gdpo": GDPO()}
    for expected in (3, 0):
        with NewNoteWriter(root, producer="recredit", kind="credit") as notes:
            found = recredit(root, credits, trained=trained, notes=notes)
        assert [each.noted for each in found.estimators] == [0, expected, expected]
        assert found.estimators[0].same == 3
    notes = list(read_notes(root, "credit"))
    assert [note.payload["step"] for note in notes] == [0, 0, 1, 1, 2, 2]
    for note, update in zip(notes[::2], read_updates(root), strict=True):
        assert note.payload["credit"] == ReinforcePP().model_dump(mode="json")
        expected = ReinforcePP()(update.table, update.rewards)
        assert same_bits(note.columns["advantages"], expected)


def test_what_was_noted_before_an_interrupt_stays(tmp_path):
    root = make_trained_run(tmp_path / "r")

    def stop(step):
        if step == 2:
            raise KeyboardInterrupt

    def run(on_update):
        with NewNoteWriter(root, producer="recredit", kind="credit") as notes:
            return recredit(root, {"g": GDPO()}, trained=GDPO(), notes=notes, on_update=on_update)

    with pytest.raises(KeyboardInterrupt):
        run(stop)
    assert len(list(read_notes(root, "credit"))) == 2
    assert run(lambda _: None).estimators[1].noted == 1


def test_agreement_by_hand():
    a, b = np.array([1.0, 2.0, 0.0, -3.0]), np.array([-1.0, 5.0, 0.0, -3.0])
    found = agreement(a, b)
    assert found.same_sign == 0.75
    assert found.opposite == 0.25
    assert found.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.rank == pytest.approx(0.8)
    assert np.isnan(correlation(a, np.ones(4)))
    assert agreement(a, a) == (pytest.approx(1), pytest.approx(1), 1, 0)
    with np.errstate(all="raise"):
        assert abs(correlation(a * 1e300, b * 1e300) - found.correlation) < 1e-12


def test_spread_by_hand(tmp_path):
    flat = spread(np.array([1.0, 1.0, -1.0]), np.array([0, 0, 1]))
    assert flat == (1.0, 1.0, 0.0)
    inner = spread(np.array([1.0, -1.0, 0.0]), np.array([0, 0, 1]))
    assert inner == (pytest.approx(2 / 3), pytest.approx(2 / 3), 1.0)
    assert spread(np.zeros(3), np.array([0, 0, 1])) == (0, 0, 0)
    (update,) = read_updates(make_trained_run(tmp_path / "r", steps=1))
    tokens = np.repeat(update.advantages, 2) + np.tile([0.5, -0.5], update.table.num_steps)
    np.testing.assert_allclose(per_step(tokens, update.table), update.advantages)


@pytest.mark.parametrize(
    ("credit", "hint"),
    [
        (EMPG(), "train with credit.name=empg, or leave empg out"),
        (DurationAware(), "each step must have its seconds"),
        (IGPO(), "nothing fills it in yet"),
    ],
)
def test_where_a_missing_column_would_come_from_is_told(credit, hint):
    with pytest.raises(ConfigError) as caught:
        check_columns(credit, make_table([[0.0]]), where="r")
    assert hint in str(caught.value.hint)


def test_seconds_come_back_with_the_episodes_and_are_not_noted():
    """So that two runs that did the same have the same notes."""
    table = replace(make_table([[0.0]]), duration=np.ones(1), entropy=np.ones(1))
    assert set(annotations(table)) == {"entropy"}
