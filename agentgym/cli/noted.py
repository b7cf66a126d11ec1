"""What was noted of the steps of an episode, for the terminal."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgym.store.run import Run


def noted(run: "Run", episode: str) -> dict[str, Any] | None:
    """Return what the last optimiser step that used an episode noted about its steps."""
    from agentgym.store.notes import leave_out, read_notes

    notes = [
        note
        for note in read_notes(run.root, "update", on_broken=leave_out)
        if episode in note.payload.get("trajectories", ())
    ]
    if not notes:
        return None
    note = notes[-1]
    row = note.payload["trajectories"].index(episode)
    steps = slice(*map(int, note.columns["step_start"][row : row + 2]))
    return {
        "update": int(note.payload["step"]) + 1,
        "rewards": note.columns["rewards"][steps].tolist(),
        "advantages": _per_step(note.columns, steps),
        "gates": {
            name.partition("/")[2]: float(values[row])
            for name, values in note.columns.items()
            if name.startswith("gate/")
        },
        "credits": dict(_other_credit(run, episode, note.payload.get("step"))),
    }


def _other_credit(run: "Run", episode: str, step: Any) -> Iterator[tuple[str, list[float]]]:
    """Yield what other estimators gave the steps of an episode, by their labels."""
    from agentgym.store.notes import leave_out, read_notes

    for note in read_notes(run.root, "credit", on_broken=leave_out):
        names = note.payload.get("trajectories", ())
        if note.payload.get("step") == step and episode in names:
            row = names.index(episode)
            steps = slice(*map(int, note.columns["step_start"][row : row + 2]))
            yield str(note.payload.get("label")), _per_step(note.columns, steps)


def _per_step(columns: Mapping[str, Any], steps: slice) -> list[float]:
    """Return the advantage of each step; where tokens have their own, their mean."""
    advantages, starts = columns["advantages"], columns["token_start"]
    if len(advantages) == len(starts) - 1:
        return [float(value) for value in advantages[steps]]
    ranges = zip(starts[steps], starts[steps.start + 1 : steps.stop + 1], strict=True)
    return [float(advantages[a:b].mean()) if b > a else 0.0 for a, b in ranges]
