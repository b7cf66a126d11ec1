"""One episode in the terminal: as a whole, or one of its turns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentgym.cli.messages import show_message
from agentgym.cli.output import echo, one_line, paint, short_path
from agentgym.errors import ConfigError

if TYPE_CHECKING:
    from agentgym.store.address import Address
    from agentgym.types import Completion, Step, Trajectory

Noted = Mapping[str, Any] | None
"""What `noted` returns."""


def show_episode(trajectory: "Trajectory", noted: Noted) -> None:
    """Print an episode message by message."""
    show_head(trajectory, noted)
    for message in trajectory.prompt:
        show_message(message)
    for index in range(len(trajectory.steps)):
        show_step(trajectory, index, noted)


def show_head(trajectory: "Trajectory", noted: Noted) -> None:
    """Print what an episode came to."""
    task = trajectory.task
    echo(
        paint(f"{one_line(trajectory.id)}  {trajectory.end}  {one_line(trajectory.reason)}", "bold")
    )
    echo(
        f"{short_path(task.env)}  {one_line(task.split)}  task {one_line(task.id)}  {one_line(trajectory.policy)}"
    )
    echo(
        f"outcome {trajectory.outcome:.3g}  {len(trajectory.steps)} turns  "
        f"{trajectory.num_sampled} tokens sampled  {trajectory.seconds:.2f} s"
    )
    if noted is not None:
        gates = "".join(
            f"  gate {one_line(name, 40)} {value:g}" for name, value in noted["gates"].items()
        )
        echo(f"trained on in step {noted['update']}{gates}")


def show_step(trajectory: "Trajectory", index: int, noted: Noted) -> None:
    """Print what was said in a turn, and what was answered."""
    step = trajectory.steps[index]
    show_message(step.message, f"turn {index}{_about(step, index, noted)}")
    for reply in step.replies:
        show_message(reply)


def show_turn(trajectory: "Trajectory", place: "Address", noted: Noted) -> None:
    """Print one turn that is there between what was said before it and what was said next."""
    turn = place.turn or 0
    before = trajectory.steps[turn - 1].replies if turn else trajectory.prompt
    for message in before:
        show_message(message, "before")
    show_step(trajectory, turn, noted)
    if place.token is not None:
        echo(f"\n{_token(trajectory.steps[turn].completion, place.token)}")
    if turn + 1 < len(trajectory.steps):
        show_message(trajectory.steps[turn + 1].message, "next")


def check_place(trajectory: "Trajectory", turn: int, token: int | None = None) -> None:
    """Refuse what is not there.

    Raises:
        ConfigError: the episode has no such turn, or the turn no such token.
    """
    count = len(trajectory.steps)
    if not 0 <= turn < count:
        told = f"its turns are 0 to {count - 1}" if count else "it has none"
        raise ConfigError(f"there is no turn {turn} in {trajectory.id}", hint=told)
    sampled = trajectory.steps[turn].completion
    tokens = len(sampled.token_ids) if sampled else 0
    if token is not None and token >= tokens:
        told = f"it has {tokens}, from 0" if tokens else "none was recorded"
        raise ConfigError(f"there is no token {token} in this turn", hint=told)


def episode_json(trajectory: "Trajectory") -> dict[str, Any]:
    """Return the record without its tokens."""
    from dataclasses import asdict

    return {
        "id": trajectory.id,
        "task": asdict(trajectory.task),
        "policy": trajectory.policy,
        "seed": trajectory.seed,
        "end": trajectory.end,
        "reason": trajectory.reason,
        "outcome": trajectory.outcome,
        "seconds": trajectory.seconds,
        "drift": trajectory.drift,
        "prompt": [message.to_openai() for message in trajectory.prompt],
        "tools": [tool.to_openai() for tool in trajectory.tools],
        "steps": [step_json(step) for step in trajectory.steps],
    }


def step_json(step: "Step") -> dict[str, Any]:
    """Return a turn without its tokens."""
    from dataclasses import asdict

    return {
        "message": step.message.to_openai(),
        "replies": [reply.to_openai() for reply in step.replies],
        "reward_terms": step.reward_terms,
        "state_key": step.state_key,
        "next_state_key": step.next_state_key,
        "action_key": step.action_key,
        "tokens": len(step.completion.token_ids) if step.completion else 0,
        "versions": step.completion.versions if step.completion else (),
        "usage": step.usage,
        "timed_out": step.timed_out,
        "timings": asdict(step.timings),
    }


def _token(sampled: "Completion | None", token: int) -> str:
    """Say what is recorded of one token of a turn."""
    assert sampled is not None
    logprob = f"  logprob {sampled.logprobs[token]:.4g}" if sampled.logprobs else ""
    return f"token {token} of {len(sampled.token_ids)}  id {sampled.token_ids[token]}{logprob}"


def _about(step: "Step", index: int, noted: Noted) -> str:
    about = "".join(
        f"  {one_line(name, 40)} {value:+.3g}" for name, value in step.reward_terms.items() if value
    )
    if noted is not None:
        about += f"  reward {noted['rewards'][index]:+.3g}"
        about += f"  advantage {noted['advantages'][index]:+.3g}"
        for label, values in noted["credits"].items():
            about += f"  {one_line(label, 40)} {values[index]:+.3g}"
    if step.completion is not None:
        about += f"  {len(step.completion.token_ids)} tokens"
    return about + _took(step.usage) + ("  timed out" if step.timed_out else "")


def _took(usage: Mapping[str, float]) -> str:
    """Say what an answer of a model behind a URL took, as far as its server tells."""
    words = {
        "prompt_tokens": "{:,.0f} prompt tokens",
        "completion_tokens": "{:,.0f} completion tokens",
        "cost": "cost {:.4g}",
    }
    return "".join(f"  {text.format(usage[key])}" for key, text in words.items() if key in usage)
