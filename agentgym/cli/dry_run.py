"""`agentgym train --dry-run`: everything that can be known before the first step."""

import json as json_module
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.cli.output import echo, echo_json, note, paint, run_aside, safe
from agentgym.errors import EnvError, boundary

if TYPE_CHECKING:
    from agentgym.config.run import RunConfig
    from agentgym.renderer import Renderer
    from agentgym.types import Message, Trajectory

_BYTES_PER_PARAMETER = 16  # float32 weights, gradients and the two moments of AdamW


def dry_run(config: "RunConfig", *, json: bool) -> None:
    """Look the model up, play one step of the first task, and count; nothing is written.

    Raises:
        AgentGymError: what the training would have raised at its start.
    """
    from agentgym.trainers.plan import doubts

    episode = run_aside(_first_episode(config))
    messages, parameters = episode.prompt, _parameters(config)
    renderer = _renderer(config)
    rollout, train = config.rollout, config.train
    report: dict[str, Any] = {
        "run": str(config.run_dir()),
        "env": config.env.id,
        "prompt": [message.to_openai() for message in messages],
        "prompt_tokens": renderer and len(renderer.prompt(messages, episode.tools)),
        "renderer": renderer and renderer.describe(),
        "parameters": parameters,
        "memory_bytes": _memory(config, parameters),
        "steps": train.steps,
        "episodes": train.steps * rollout.groups * rollout.group_size,
        "warnings": [*doubts(config), *_of_programs(config)],
    }
    for words in report["warnings"]:
        note(f"warning: {words}")
    if json:
        echo_json(report)
    else:
        _print(report, messages)


def _of_programs(config: "RunConfig") -> list[str]:
    if config.agent.command is None:
        return []
    return ["a program plays the episodes: its prompts are other and longer than this one"]


async def _first_episode(config: "RunConfig") -> "Trajectory":
    from agentgym.cli.scoring import open_sandboxes
    from agentgym.env import first_tasks
    from agentgym.rollout.episode import Job, run_episode
    from agentgym.rollout.scripted import scripted_policies
    from agentgym.types import with_env

    env = config.env.config
    tasks = first_tasks(env, "train", number=1)
    if not tasks:
        raise EnvError(f"{config.env.id} has no training task")
    teacher = config.warm_start.policy if config.warm_start.steps else "scripted:noop"
    async with open_sandboxes(config) as sandboxes:
        found = await run_episode(
            Job(task=with_env(tasks[0], type(env).id), group_id="dry-run", run_seed=config.seed),
            config=env.model_copy(update={"max_turns": 1}),
            make_policy=scripted_policies(teacher),
            sandboxes=sandboxes,
        )
    if found.end == "error":
        raise EnvError(found.reason)
    return found


def _parameters(config: "RunConfig") -> int | None:
    """Count the weights from the headers of their files; None where they are not known yet."""
    if config.model.path == "tiny":
        return None
    from agentgym.engines.model import check_folder

    folder = Path(config.model.path).expanduser()
    check_folder(folder)
    return sum(map(_count_in, folder.glob("*.safetensors"))) or None


def _count_in(file: Path) -> int:
    with ExitStack() as stack:
        stack.enter_context(boundary(EnvError, f"reading {file}"))
        opened = stack.enter_context(file.open("rb"))
        (size,) = struct.unpack("<Q", opened.read(8))
        header = json_module.loads(opened.read(size))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            count = 1
            for length in tensor["shape"]:
                count *= length
            total += count
    return total


def _memory(config: "RunConfig", parameters: int | None) -> int | None:
    """Estimate weights, gradients and optimizer, without activations and caches."""
    if parameters is None:
        return None
    has_copy = config.engine.needs_module and config.train.max_staleness > 0
    engine = 2 if config.model.dtype == "bfloat16" else 4 if has_copy else 0
    reference = 4 if config.loss.kl_penalty else 0
    return parameters * (_BYTES_PER_PARAMETER + engine + reference)


def _renderer(config: "RunConfig") -> "Renderer | None":
    """Make the renderer of a model folder; a tiny model's is made when training begins."""
    if config.model.path == "tiny":
        return None
    try:
        from transformers import AutoTokenizer
    except ImportError:
        return None
    from agentgym.errors import ConfigError

    with boundary(ConfigError, f"the tokenizer in {config.model.path}"):
        folder = Path(config.model.path).expanduser()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return config.renderer.build(tokenizer)


def _print(report: dict[str, Any], messages: "Sequence[Message]") -> None:
    echo(paint(f"{report['env']}: the first prompt of training", "bold"))
    for message in messages:
        echo(f"{message.role}: {safe(message.content)}")
    tokens, parameters = report["prompt_tokens"], report["parameters"]
    echo()
    if tokens is not None:
        echo(f"prompt       {tokens} tokens")
        echo(f"renderer     {report['renderer']}")
    if parameters is None:
        echo("model        tiny, made when training begins")
    else:
        memory = report["memory_bytes"] / 2**30
        echo(f"model        {parameters / 1e6:.1f} M parameters")
        echo(f"memory       {memory:.2f} GiB of weights, gradients and optimizer, and activations")
    echo(f"training     {report['steps']} steps, {report['episodes']} episodes")
    echo(f"would write  {report['run']}")
