"""Rolling a policy out over a split and scoring it: what `run` and `eval` have in common."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from agentgym.cli.output import echo, echo_json, note, one_line, paint, run_aside, short_path
from agentgym.cli.progress import EpisodeCounter
from agentgym.cli.served import knock, print_usage
from agentgym.errors import AgentGymError, BudgetError, ConfigError, MissingError, StoreError

if TYPE_CHECKING:
    from agentgym.config.overlay import Resolved
    from agentgym.config.run import RunConfig
    from agentgym.rollout.episode import Play
    from agentgym.rollout.openai.spending import Spending
    from agentgym.rollout.policy import MakePolicy
    from agentgym.sandbox import SandboxInfo
    from agentgym.sandboxes import AnySandbox
    from agentgym.store.run import Run
    from agentgym.trainers.evaluate import Rate
    from agentgym.types import Task, Trajectory


def model_folder(ref: str) -> Path:
    """Return the model that is meant: a folder, a checkpoint, or the newest one of a run.

    Raises:
        ConfigError: there is none.
    """
    from agentgym.engines.model import check_folder

    path = Path(ref)
    if (path / "run.json").is_file():
        latest = path / "checkpoints" / "latest"
        if not latest.is_dir():
            hint = "train it first, or name a model folder"
            raise ConfigError(f"the run {path} has no checkpoint", hint=hint)
        return latest.resolve()
    if not path.exists():
        hint = "use scripted, openai:MODEL@URL, a model folder, a run or a checkpoint"
        raise ConfigError(f"unknown model {ref!r}", hint=hint)
    check_folder(path)
    return path.resolve()


def preflight(config: "RunConfig", *, needs_torch: bool) -> dict[str, object] | None:
    """Refuse what cannot run here, before a run directory is made; return what sandboxes are.

    Raises:
        SandboxUnavailable: the environment needs a sandbox, and none can be started.
        MissingError: a package is not installed.
    """
    import asyncio

    if needs_torch:
        _check_torch()
    if not config.env.config.needs_sandbox:
        return None
    return asyncio.run(_probe(config.sandbox)).to_json()


async def _probe(config: "AnySandbox") -> "SandboxInfo":
    """Run a program in a sandbox: there is no other proof."""
    async with config.model_copy(update={"spares": 0}).build() as sandboxes:
        return await sandboxes.probe()


def _check_torch() -> None:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"training and local models need torch and transformers ({error})",
            hint="pip install 'agentgym-framework[train]'",
        ) from error


def score_and_report(
    resolved: "Resolved[RunConfig]",
    *,
    model: str,
    clean: bool,
    json: bool,
    opening: "Callable[[RunConfig], AbstractAsyncContextManager[Play | None]] | None" = None,
    tasks: "Sequence[Task] | None" = None,
) -> None:
    """Record a run of `eval.episodes` tasks of `eval.split`, and print its score.

    `opening` holds what plays the episodes, by default `open_play`; `tasks` are others instead.

    Raises:
        AgentGymError: it cannot be run, or too many episodes ended by a fault.
    """
    import asyncio

    config = resolved.config
    kind = kind_of(model)
    sandbox = preflight(config, needs_torch=kind == "local")
    if kind == "openai":
        asyncio.run(knock(config.openai))
        model = f"openai:{config.openai.model}@{config.openai.url}"
    with create_run(resolved, clean=clean) as run:
        run.update(kind="score", policy=model, sandbox=sandbox)
        try:
            work = _score(
                config, opening or open_play, tasks, model=model, root=run.root, show=not json
            )
            report = run_aside(work)
        except KeyboardInterrupt:
            run.update(status="interrupted")
            note(f"recorded so far: agentgym show {run.root}")
            raise
        except (ConfigError, MissingError):
            give_up(run)
            raise
        except BaseException as error:
            run.update(status="failed")
            if isinstance(error, BudgetError):
                note(f"recorded so far: agentgym show {run.root}")
            raise
        run.update(status="finished", score=report)
    if json:
        echo_json({"run": str(run.root), **report})
    else:
        _print(report, run.root)


def create_run(resolved: "Resolved[RunConfig]", *, clean: bool) -> "Run":
    """Make the directory of a run that this command line began.

    Raises:
        ConfigError, StoreError: it exists already, or cannot be made.
    """
    import sys

    from agentgym.config.overlay import render_toml
    from agentgym.store.run import Run

    config = resolved.config
    return Run.create(
        config.run_dir(),
        config_text=render_toml(resolved),
        command=sys.argv,
        seed=config.seed,
        env=config.env.id,
        clean=clean,
    )


def give_up(run: "Run") -> None:
    """End a run that cannot be played as it was asked for; without episodes it leaves no trace.

    What goes wrong on the way is only noted: why it cannot be played says more.
    """
    from agentgym.store.episodes import read_heads

    try:
        run.update(status="failed")
        if next(read_heads(run.root), None) is None:
            run.discard()
    except StoreError as error:
        note(f"warning: {error}")


async def _score(
    config: "RunConfig",
    opening: "Callable[[RunConfig], AbstractAsyncContextManager[Play | None]]",
    tasks: "Sequence[Task] | None",
    *,
    model: str,
    root: Path,
    show: bool,
) -> dict[str, Any]:
    from agentgym.env import first_tasks
    from agentgym.rollout.collect import make_jobs
    from agentgym.trainers.episodes import Episodes
    from agentgym.trainers.evaluate import score

    env, chosen = config.env.config, config.eval
    split = chosen.split or env.held_out_split
    jobs = make_jobs(
        tasks or first_tasks(env, split, number=chosen.episodes),
        group_size=chosen.samples,
        run_seed=config.seed,
        prefix=f"run-{split}",
        env=type(env).id,
    )
    started = time.perf_counter()
    async with (
        open_sandboxes(config) as sandboxes,
        open_policies(config, model) as policies,
        opening(config) as play,
    ):
        with EpisodeCounter(len(jobs), show=show) as counter:
            episodes = Episodes(
                root,
                env=env,
                rollout=config.rollout,
                sandboxes=sandboxes,
                on_episode=counter.advance,
                scheduler=config.rollout.scheduler(slots=policies.slots, sandboxes=sandboxes),
                play=play,
            )
            try:
                found = await episodes.collect(jobs, make_policy=policies.make, policy_name=model)
            finally:
                episodes.close()
    if all(each.end == "error" for each in found):
        reason = found[-1].reason if found else f"the split {split} has no task"
        of_policy = reason.startswith("PolicyError")
        hint = f"agentgym show {root}" if of_policy else f"agentgym check {config.env.id}"
        raise AgentGymError(f"no episode came to an end: {reason}", hint=hint)
    return {
        "env": config.env.id,
        "policy": model,
        "split": split,
        "seed": config.seed,
        **score(found, success=env.success).to_json(),
        **_summary(found),
        "usage": policies.spending.to_json() if policies.spending else None,
        "seconds": round(time.perf_counter() - started, 3),
    }


@asynccontextmanager
async def open_play(config: "RunConfig") -> "AsyncIterator[Play | None]":
    """Hold the gateway to the program that plays the episodes; None, where no program does.

    Raises:
        MissingError: the packages of a server are not installed.
    """
    if config.agent.command is None:
        yield None
        return
    from functools import partial

    from agentgym.rollout.outside.gateway import open_gateway

    async with open_gateway() as gateway:
        yield partial(gateway.play, command=config.agent.command)


@asynccontextmanager
async def open_sandboxes(config: "RunConfig") -> AsyncIterator[Any]:
    """Hold the sandboxes of a run, or None where its environment needs none."""
    if not config.env.config.needs_sandbox:
        yield None
        return
    sandboxes = config.sandbox.build()
    try:
        yield sandboxes
    finally:
        await sandboxes.close()


class _Policies(NamedTuple):
    make: "MakePolicy"
    spending: "Spending | None" = None
    """What a model behind a URL took."""
    slots: int | None = None
    """Of the engine, where it is one of ours."""


@asynccontextmanager
async def open_policies(
    config: "RunConfig", model: str, *, version: int = 0
) -> AsyncIterator[_Policies]:
    """Hold what answers in the episodes of a run; `version` is what a local model is counted as."""
    match kind_of(model):
        case "scripted":
            from agentgym.rollout.scripted import scripted_policies

            yield _Policies(scripted_policies(model))
        case "openai":
            from agentgym.rollout.openai.client import Client
            from agentgym.rollout.openai.policy import openai_policies

            async with Client(config.openai) as client:
                yield _Policies(openai_policies(client), client.spending)
        case "local":
            async with _local_policies(config, version) as policies:
                yield policies


@asynccontextmanager
async def _local_policies(config: "RunConfig", version: int) -> AsyncIterator[_Policies]:
    from agentgym.engines.model import load_model
    from agentgym.errors import EngineError, PolicyError, boundary
    from agentgym.rollout.collect import token_policies

    loaded = load_model(config.model, with_module=config.engine.needs_module)
    with boundary(EngineError, f"the engine {config.engine.name}"):
        engine = config.engine.build(loaded, deterministic=config.rollout.deterministic)
    try:
        if not config.engine.needs_module:
            note(f"starting the engine {config.engine.name}, which may take a minute")
        await engine.start()
        if version:
            await engine.load_weights(None, version=version)
        with boundary(PolicyError, f"the renderer {config.renderer.name}"):
            renderer = config.renderer.build(loaded.tokenizer)
        make = token_policies(engine, renderer, config.rollout.sampling)
        yield _Policies(make, slots=engine.slots)
    finally:
        await engine.close()


def kind_of(model: str) -> Literal["scripted", "openai", "local"]:
    """Return what stands behind the name of a model."""
    match model.partition(":")[0]:
        case "scripted":
            return "scripted"
        case "openai":
            return "openai"
    return "local"


def _summary(trajectories: "Sequence[Trajectory]") -> dict[str, Any]:
    """Return means per episode over those that ended without a fault, and how all of them ended."""
    whole = [each for each in trajectories if each.end != "error"]
    terms: defaultdict[str, float] = defaultdict(float)
    for trajectory in whole:
        for step in trajectory.steps:
            for name, value in step.reward_terms.items():
                terms[name] += value / len(whole)
    ends = Counter(
        f"{each.end}/{each.reason}" if each.end != "error" else "error" for each in trajectories
    )
    return {
        "reward_terms": dict(sorted(terms.items())),
        "ends": dict(ends.most_common()),
        "tokens": sum(each.num_sampled for each in whole) / max(1, len(whole)),
        "rewritten": sum(max(0, len(each.segments) - 1) for each in whole) / max(1, len(whole)),
    }


def _print(report: dict[str, Any], root: Path) -> None:
    echo(
        paint(
            f"{short_path(report['env'])}  {report['split']}  {one_line(report['policy'])}", "bold"
        )
    )
    echo(f"success  {_rate(report['success'])}")
    for kind, rate in report["kinds"].items():
        echo(f"  {one_line(kind)}  {_rate(rate)}")
    for k, value in report["pass_at"].items():
        if k != "1":
            echo(f"pass@{k}  {value:.3f}")
    echo("reward   " + "  ".join(f"{name} {v:.3f}" for name, v in report["reward_terms"].items()))
    echo("ends     " + "  ".join(f"{name} {count}" for name, count in report["ends"].items()))
    echo(f"mean     {report['turns']:.1f} turns  {report['tokens']:.0f} tokens sampled")
    if report["rewritten"]:
        echo(f"         {report['rewritten']:.1f} times an episode the context was rewritten")
    if report["usage"]:
        print_usage(report["usage"])
    if report["faults"]:
        note(f"warning: {report['faults']} episodes ended by a fault and are left out")
    echo(f"recorded in {root}, {report['seconds']:.1f} s; see: agentgym show {root}")


def _rate(rate: "dict[str, Any] | Rate") -> str:
    found = rate if isinstance(rate, dict) else rate._asdict()
    return f"{found['mean']:.3f}  [{found['low']:.3f}, {found['high']:.3f}]  n {found['n']}"
