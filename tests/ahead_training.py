"""Trainings of a second that play episodes of several steps at the same time."""

from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.store.episodes import read_heads
from agentgym.store.notes import read_notes
from agentgym.store.run import Run
from agentgym.trainers.trainer import train

WORDS = (
    "seed=5",
    "env.id=agentgym/KeyDoor-v0",
    "env.rules=false",
    "env.max_turns=4",
    "model.tiny={layers=1,width=16,heads=2,max_context=128}",
    "rollout.groups=2",
    "rollout.group_size=4",
    "rollout.sampling.max_tokens=3",
    'shaping={name="gated",levels=[{term="outcome"},{term="valid"}]}',
    "optim.lr=0.01",
    'loss.correction={name="tis"}',
    "warm_start.policy=scripted:random",
    "warm_start.episodes=16",
    "warm_start.steps=30",
    "warm_start.lr=0.02",
)


def resolve(*words):
    return resolve_words([*WORDS, *words])


async def run_training(root, *words, **callbacks):
    resolved = resolve(*words)
    text = render_toml(resolved)
    with Run.create(root, config_text=text, command=[], seed=resolved.config.seed) as run:
        run.update(kind="train")
        await train(resolved.config, run, env=resolved.config.env.config, **callbacks)
    return Run.open(root)


async def resume_training(root, *words):
    config = resolve(*words).config
    with Run.resume(root) as run:
        await train(config, run, env=config.env.config)
    return Run.open(root)


def used(root):
    """The episodes of each step; the last note of a step counts."""
    notes = {note.payload["step"]: note for note in read_notes(root, "update")}
    return [note.payload["trajectories"] for note in notes.values()]


def assert_used_exactly_once(root, *, steps, groups=2):
    ids = [f"train-{step:06d}-{group:03d}" for step in range(steps) for group in range(groups)]
    slots = [f"{each}.{member}" for each in ids for member in range(4)]
    found = [name.rpartition(".")[0] for names in used(root) for name in names]
    assert sorted(found) == sorted(slots)
    complete = [h for h in read_heads(root) if h.end != "error" and h.group_id.startswith("train")]
    assert {name for names in used(root) for name in names} <= {head.id for head in complete}
    assert len({(head.group_id, head.member) for head in complete}) == len(complete)
