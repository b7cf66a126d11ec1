"""The loop on a real environment with a model so small that seconds are enough."""

import json

import numpy as np
import pytest
import torch
from strategies import make_group, make_step
from transformers import AutoModelForCausalLM

from agentgym.config.run import RunConfig
from agentgym.engines.local import LocalEngine
from agentgym.errors import AgentGymError, ConfigError
from agentgym.metrics import read_metrics
from agentgym.rollout.collect import to_groups
from agentgym.store.address import parse_address
from agentgym.store.episodes import find_episode, read_episode, read_episodes, read_heads
from agentgym.store.notes import read_notes
from agentgym.store.run import Run
from agentgym.table import build_table
from agentgym.trainers.causes import Cause
from agentgym.trainers.checkpoint import checkpoints, latest_checkpoint, load_state
from agentgym.trainers.interrupt import Interrupted
from agentgym.trainers.lookout import Lookout
from agentgym.trainers.shaping.alarms import Alarm
from agentgym.trainers.shaping.base import shape
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.terms import Term, Terms
from agentgym.trainers.trainer import Trainer, train

VALID_COUNTS = {"name": "gated", "levels": [{"term": "outcome"}, {"term": "valid"}]}


def make_config(**sections):
    config = {
        "seed": 5,
        "env": {"id": "agentgym/KeyDoor-v0", "rules": False, "max_turns": 4},
        "model": {"tiny": {"layers": 1, "width": 16, "heads": 2, "max_context": 128}},
        "rollout": {"groups": 3, "group_size": 4, "sampling": {"max_tokens": 3}},
        "shaping": VALID_COUNTS,
        "optim": {"lr": 0.01},
        "warm_start": {
            "policy": "scripted:random",
            "episodes": 16,
            "steps": 40,
            "batch_size": 8,
            "lr": 0.02,
        },
        "train": {"steps": 2},
    }
    return RunConfig.model_validate(config | sections)


async def run_training(root, config, **callbacks):
    with Run.create(root, config_text="", command=[], seed=config.seed) as run:
        await train(config, run, env=config.env.config, **callbacks)
    return Run.open(root)


async def test_a_run_leaves_everything_in_its_directory(tmp_path):
    class Counting:
        def scalars(self):
            return {"sandbox/waits": 3}

        def room(self):
            return 100

    steps, phases = [], []
    config = make_config(eval={"every": 2, "episodes": 5, "greedy": True})
    run = await run_training(
        tmp_path / "run",
        config,
        sandboxes=Counting(),
        on_step=lambda *args: steps.append(args),
        on_phase=lambda *args: phases.append(args),
    )
    assert run.status == "finished"
    assert run.step == 2
    assert [(done, total) for done, total, _ in steps] == [(1, 2), (2, 2)]
    assert {"success", "reward", "entropy", "grad_norm", "lr", "tokens_per_second"} <= set(
        steps[0][2]
    )
    assert {"anchors/singletons", "signal/steps", "credit/step_share"} <= set(steps[0][2])
    assert sum(v for k, v in steps[0][2].items() if k.startswith("tokens/")) == pytest.approx(1)
    assert steps[0][2]["drift"] == 0
    assert steps[0][2]["sandbox/waits"] == 3
    assert steps[0][2]["logprob_gap"] < 1e-4
    assert [name for name, done, total in phases if done == total] == [
        "teach",
        "model",
        "imitate",
        "engine",
        "eval",
        "eval",
        "collect",
        "collect",
        "eval",
        "eval",
    ]
    kinds = [event["kind"] for event in run.events()]
    assert kinds == [
        "start",
        "warm_start",
        "checkpoint",
        "eval",
        "eval",
        "eval",
        "eval",
        "checkpoint",
    ]
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert [line["step"] for line in lines if "success" in line] == [1, 2]
    AutoModelForCausalLM.from_pretrained(latest_checkpoint(run.checkpoints_dir))
    ends = [head.group_id.rpartition("-")[0] for head in read_heads(run.root)]
    assert ends.count("train-000000") == ends.count("train-000001") == 12


async def test_what_an_engine_counts_is_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(LocalEngine, "scalars", lambda self: {"retries": 4.0})
    run = await run_training(tmp_path / "run", make_config(train={"steps": 1}))
    assert read_metrics(run.metrics_path)[1]["engine/retries"] == 4.0


async def test_the_notes_tell_what_a_step_used_and_made_of_it(tmp_path):
    config = make_config()
    run = await run_training(tmp_path / "run", config)
    by_id = {trajectory.id: trajectory for trajectory in read_episodes(run.root)}
    notes = list(read_notes(run.root, "update"))
    assert [note.payload["step"] for note in notes] == [0, 1]
    for note in notes:
        used = [by_id[name] for name in note.payload["trajectories"]]
        table = build_table(to_groups(used))
        columns = note.columns
        schedules = note.payload["schedules"]
        shaped = config.shaping(
            table, progress=schedules["progress"], competence=schedules["competence"]
        )
        np.testing.assert_array_equal(columns["rewards"], shaped.rewards)
        parts = [columns[f"shaped/{name}"] for name in ("outcome", "valid")]
        np.testing.assert_array_equal(sum(parts), columns["rewards"])
        assert {name for name in columns if name.startswith("raw/")} == {
            f"raw/{name}" for name in table.term_names
        }
        np.testing.assert_array_equal(columns["raw/valid"], table.term("valid"))
        advantages = config.credit(table, shaped.rewards)
        np.testing.assert_array_equal(columns["advantages"], advantages)
        np.testing.assert_array_equal(columns["token_start"], table.token_start)
        engine = np.concatenate(
            [np.float32(step.completion.logprobs) for each in used for step in each.steps]
        )
        trained = np.isin(columns["cause"], [Cause.TRAINED, Cause.CLIPPED])
        seen = ~np.isnan(columns["logprobs"])
        np.testing.assert_allclose(columns["logprobs"][seen], engine[seen], atol=1e-4)
        assert seen[trained].all()
        assert set(columns["cause"][~trained]) <= {Cause.ZERO_ADVANTAGE, Cause.NOT_IN_BATCH}
        assert ((columns["weights"] > 0) == (columns["cause"] == Cause.TRAINED)).all()
        assert {
            version
            for each in used
            for step in each.steps
            for _, version in step.completion.versions
        } == {note.payload["version"]}


async def test_a_finished_run_resumes_to_nothing_and_a_longer_one_goes_on(tmp_path):
    run = await run_training(tmp_path / "run", make_config())
    before = load_state(latest_checkpoint(run.checkpoints_dir))
    longer = make_config(train={"steps": 3})
    with Run.resume(tmp_path / "run") as run:
        await train(longer, run, env=longer.env.config)
    assert Run.open(tmp_path / "run").step == 3
    after = load_state(latest_checkpoint(run.checkpoints_dir))
    assert (before["step"], after["step"]) == (2, 3)
    assert after["tasks"] == before["tasks"] + 3


async def test_an_evaluation_that_was_interrupted_is_made_up_for(tmp_path, monkeypatch):
    config = make_config(eval={"every": 5, "episodes": 4})

    async def interrupted(self):
        if self.step == 2:
            raise Interrupted
        await evaluate(self)

    evaluate = Trainer.evaluate
    monkeypatch.setattr(Trainer, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await run_training(tmp_path / "run", config)
    monkeypatch.undo()
    with Run.resume(tmp_path / "run") as run:
        assert latest_checkpoint(run.checkpoints_dir).name == "000002"
        await train(config, run, env=config.env.config)
    evals = [event["step"] for event in run.events() if event["kind"] == "eval"]
    assert evals == [0, 2]


async def test_the_reference_outlives_a_resume(tmp_path):
    config = make_config(loss={"name": "ppo", "kl_penalty": 0.1}, train={"steps": 1})
    run = await run_training(tmp_path / "run", config)
    first, last = checkpoints(run.checkpoints_dir)
    start = (first / "model.safetensors").read_bytes()
    assert (last / "model.safetensors").read_bytes() != start
    assert (last / "reference" / "model.safetensors").read_bytes() == start
    seen = []
    longer = make_config(loss={"name": "ppo", "kl_penalty": 0.1})
    with Run.resume(tmp_path / "run") as run:
        await train(longer, run, env=longer.env.config, on_step=lambda *args: seen.append(args[2]))
    assert seen[0]["kl_reference"] > 0


async def test_competence_is_the_success_of_the_steps_before_and_survives_a_checkpoint(tmp_path):
    by_skill = {"name": "linear", "by": "competence"}
    terms = [{"term": "outcome"}, {"term": "valid", "schedule": by_skill}]
    config = make_config(shaping={"name": "terms", "terms": terms}, train={"steps": 3})
    run = await run_training(tmp_path / "run", config)
    success = [scalars["success"] for scalars in _steps(run)]
    notes = list(read_notes(run.root, "update"))
    found = [note.payload["schedules"]["competence"] for note in notes]
    assert found == pytest.approx([0.0, success[0], sum(success[:2]) / 2])
    state = load_state(latest_checkpoint(run.checkpoints_dir))
    assert [batch[2] for batch in state["lookout"]["batches"]] == success


async def test_a_checkpoint_that_has_the_history_alone_is_gone_on_from(tmp_path):
    run = await run_training(tmp_path / "run", make_config(train={"steps": 1}))
    folder = latest_checkpoint(run.checkpoints_dir)
    state = load_state(folder)
    state["history"] = state.pop("lookout")["batches"]
    torch.save(state, folder / "trainer.pt")
    with Run.resume(tmp_path / "run") as run:
        config = make_config()
        await train(config, run, env=config.env.config)
    after = load_state(latest_checkpoint(run.checkpoints_dir))["lookout"]
    assert len(after["batches"]) == 2
    assert after["batches"][:1] == state["history"]


async def test_competence_counts_the_groups_that_were_replaced(tmp_path):
    """With one episode in each, all groups are equal: three of nine stay."""
    rollout = {"groups": 3, "group_size": 1, "refill_equal_groups": True, "max_refills": 2}
    rollout["sampling"] = {"max_tokens": 3}
    run = await run_training(tmp_path / "run", make_config(rollout=rollout, train={"steps": 1}))
    played = [each for each in read_episodes(run.root) if each.id.startswith("train-")]
    (batch,) = load_state(latest_checkpoint(run.checkpoints_dir))["lookout"]["batches"]
    assert len(played) == 9
    assert batch[1] == pytest.approx(np.mean([each.outcome for each in played]))
    assert _steps(run)[0]["episodes"] == 3


async def test_what_is_hardly_meant_is_told_at_the_start(tmp_path, caplog):
    near = {"term": "near", "scope": "step", "form": {"name": "potential"}}
    terms = [{"term": "outcom"}, {"term": "num_tokens"}, near]
    config = make_config(shaping={"name": "terms", "terms": terms}, train={"steps": 3})
    run = await run_training(tmp_path / "run", config)
    told = [event for event in run.events() if event["kind"] == "warning"]
    assert [event["step"] for event in told] == [0, 3, 3]
    potential, outcome, level = [event["reason"] for event in told]
    assert "gigpo compares returns discounted by 0.95 and 1" in potential
    assert outcome == (
        "none of the episodes of 3 steps has the term 'outcom', which pays 0; "
        "those of this step have: outcome, valid"
    )
    assert "'near'" in level
    assert outcome in caplog.text


async def test_rewards_that_are_too_large_stop_the_run_with_their_term(tmp_path):
    terms = [{"term": name, "weight": 1e308} for name in ("num_tokens", "num_steps")]
    config = make_config(shaping={"name": "terms", "terms": terms})
    with pytest.raises(ConfigError, match="the term 'num_tokens' pays inf") as refused:
        await run_training(tmp_path / "run", config)
    assert "weight" in refused.value.hint
    (word,) = (each for each in refused.value.hint.split() if "#" in each)
    address = parse_address(word)
    assert read_episode(find_episode(address.run, address.episode)).steps[address.turn]


def test_an_alarm_that_was_quiet_for_long_is_told_again(tmp_path, monkeypatch):
    on = [Alarm("dominating", True, "look at this")]
    off = [Alarm("dominating", False, "look at this")]
    with Run.create(tmp_path / "run", config_text="", command=[], seed=0) as run:
        lookout = Lookout(run, shaping=Outcome(), success=1.0)
        for step in (1, 2, 5, 15, 26, 27):
            monkeypatch.setattr("agentgym.trainers.lookout.alarms", lambda *args, success: on)
            assert lookout.sound(step, None, None) == {"shaping/alarm_dominating": 1.0}
            monkeypatch.setattr("agentgym.trainers.lookout.alarms", lambda *args, success: off)
            assert lookout.sound(step, None, None) == {"shaping/alarm_dominating": 0.0}
        assert [event["step"] for event in run.events()] == [1, 26]


def test_what_was_told_is_not_told_again_after_a_checkpoint(tmp_path, monkeypatch):
    """An alarm that is still on, and a term that nothing gave; a checkpoint may lack both."""
    on = [Alarm("dominating", True, "look at this")]
    monkeypatch.setattr("agentgym.trainers.lookout.alarms", lambda *args, success: on)
    shaping = Terms(terms=(Term(term="outcom"),))
    table = build_table([make_group([make_step(outcome=1.0)])])
    shaped = shape(shaping, table, progress=0.0, competence=0.0)
    state = {"batches": []}
    with Run.create(tmp_path / "run", config_text="", command=[], seed=0) as run:
        for step in range(1, 7):
            lookout = Lookout(run, shaping=shaping, success=1.0)
            lookout.restore(state)
            lookout.add(step, table, shaped)
            lookout.sound(step, table, shaped)
            state = lookout.state
        told = [(event["kind"], event["step"]) for event in run.events()]
        assert told == [("alarm", 1), ("warning", 3)]


def test_a_term_that_comes_at_times_is_not_missing(tmp_path):
    shaping = Terms(terms=(Term(term="rare"),))
    with Run.create(tmp_path / "run", config_text="", command=[], seed=0) as run:
        lookout = Lookout(run, shaping=shaping, success=1.0)
        for step, terms in enumerate([{}, {"rare": 1.0}, {}, {}, {}, {}], start=1):
            table = build_table([make_group([make_step(outcome=1.0, **terms)])])
            lookout.add(step, table, shape(shaping, table, progress=0.0, competence=0.0))
        assert not list(run.events())


async def test_an_alarm_is_told_once_and_counted_every_time(tmp_path, monkeypatch, caplog):
    on = Alarm("dominating", True, "look at this")
    monkeypatch.setattr("agentgym.trainers.lookout.alarms", lambda *args, success: [on])
    run = await run_training(tmp_path / "run", make_config())
    assert [scalars["shaping/alarm_dominating"] for scalars in _steps(run)] == [1.0, 1.0]
    assert [event["step"] for event in run.events() if event["kind"] == "alarm"] == [1]
    assert [record.getMessage() for record in caplog.records] == ["step 1: look at this"]


def _steps(run):
    """The scalars of each step."""
    return [scalars for scalars in read_metrics(run.metrics_path).values() if "reward" in scalars]


async def test_groups_that_teach_nothing_are_replaced(tmp_path):
    """Without a single valid move every group is equal: all rounds are played, then given up."""
    sections = {
        "rollout": {
            "groups": 2,
            "group_size": 2,
            "refill_equal_groups": True,
            "max_refills": 2,
            "sampling": {"max_tokens": 2},
        },
        "shaping": {"name": "outcome"},
        "train": {"steps": 1},
        "warm_start": {"steps": 0},
    }
    run = await run_training(tmp_path / "run", make_config(**sections))
    groups = {head.group_id for head in read_heads(run.root)}
    assert groups == {f"train-000000-{number:03d}" for number in range(6)}
    (note,) = read_notes(run.root, "update")
    assert {name.partition(".")[0] for name in note.payload["trajectories"]} == {
        "train-000000-000",
        "train-000000-001",
    }
    assert load_state(latest_checkpoint(run.checkpoints_dir))["tasks"] == 6


async def test_refilled_groups_all_teach(tmp_path):
    rollout = {
        "groups": 3,
        "group_size": 2,
        "refill_equal_groups": True,
        "max_refills": 20,
        "sampling": {"max_tokens": 3},
    }
    config = make_config(rollout=rollout, train={"steps": 1})
    run = await run_training(tmp_path / "run", config)
    played = {head.group_id for head in read_heads(run.root) if head.group_id < "warm"}
    assert len(played) > 3
    (note,) = read_notes(run.root, "update")
    rewards = np.add.reduceat(note.columns["rewards"], note.columns["step_start"][:-1])
    assert len(rewards) == 6
    assert (rewards[0::2] != rewards[1::2]).all()


async def test_a_greedy_policy_is_refused(tmp_path):
    config = make_config(rollout={"sampling": {"temperature": 0}})
    with pytest.raises(ConfigError, match="temperature"):
        await run_training(tmp_path / "run", config)


async def test_a_teacher_that_is_not_there_is_an_error_and_the_run_says_failed(tmp_path):
    config = make_config(warm_start={"policy": "scripted:nobody", "steps": 1})
    with pytest.raises(ConfigError, match="nobody"):
        await run_training(tmp_path / "run", config)
    assert Run.open(tmp_path / "run").status == "failed"


async def test_demonstrations_that_do_not_fit_are_an_error(tmp_path):
    model = {"tiny": {"layers": 1, "width": 16, "heads": 2, "max_context": 16}}
    with pytest.raises(AgentGymError, match="can be imitated"):
        await run_training(tmp_path / "run", make_config(model=model))


async def test_max_seconds_ends_a_run_with_a_checkpoint(tmp_path):
    config = make_config(
        train={"steps": 50, "max_seconds": 0.01}, eval={"every": 50, "episodes": 2}
    )
    run = await run_training(tmp_path / "run", config)
    assert run.status == "finished"
    assert latest_checkpoint(run.checkpoints_dir).name == "000000"


async def test_an_engine_in_bfloat16_follows_the_float32_policy(tmp_path):
    seen = []
    tiny = {"layers": 1, "width": 16, "heads": 2, "max_context": 128}
    config = make_config(model={"dtype": "bfloat16", "tiny": tiny}, train={"steps": 4})
    await run_training(tmp_path / "run", config, on_step=lambda *args: seen.append(args[2]))
    assert all(0 < scalars["logprob_gap"] < 0.05 for scalars in seen)


async def test_activation_checkpointing_gives_the_same_run(tmp_path):
    states = []
    for flag in (False, True):
        config = make_config(train={"steps": 2, "activation_checkpointing": flag})
        run = await run_training(tmp_path / str(flag), config)
        folder = latest_checkpoint(run.checkpoints_dir)
        states.append(AutoModelForCausalLM.from_pretrained(folder).state_dict())
    for name, value in states[0].items():
        np.testing.assert_allclose(value, states[1][name], rtol=1e-3, atol=1e-4)
