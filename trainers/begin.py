"""The beginning of a run: the first model, and what it learns from a teacher."""

from agentgym.env import EnvConfig
from agentgym.errors import AgentGymError
from agentgym.metrics import Metrics
from agentgym.rollout.scripted import scripted_policies
from agentgym.sandbox import Sandboxes
from agentgym.store.run import Run
from agentgym.trainers.episodes import Episodes, TaskStream
from agentgym.trainers.evaluate import score
from agentgym.trainers.setup import Parts, Settings, build_parts, load_first_model
from agentgym.trainers.warm_start import demonstrations, imitate
from agentgym.trainers.watch import Watch
from agentgym.types import Trajectory, derive_seed

_LOG_EVERY = 25  # steps of imitation


async def begin(
    settings: Settings,
    run: Run,
    *,
    env: EnvConfig,
    episodes: Episodes,
    tasks: TaskStream,
    sandboxes: Sandboxes | None,
    metrics: Metrics,
    watch: Watch,
) -> Parts:
    """Make the first policy: load it, and let it imitate the teacher where asked for.

    Raises:
        ConfigError: model or teacher cannot be used.
        AgentGymError: there is nothing to imitate.
    """
    demos: list[Trajectory] = []
    if settings.warm_start.steps:
        demos = await _demonstrate(settings, episodes=episodes, tasks=tasks, watch=watch)
    loading = load_first_model(
        settings, run.root / "model", env=env, sandboxes=sandboxes, seen=demos
    )
    loaded = await watch.run("model", 1, loading)  # episodes may be played for its words
    watch.advance()
    parts = build_parts(settings, loaded)
    if settings.warm_start.steps:
        loss = _imitate(settings, parts, demos, metrics=metrics, watch=watch)
        teacher = score(demos, success=type(env).success)
        run.event(
            "warm_start",
            steps=settings.warm_start.steps,
            loss=loss,
            teacher=teacher.to_json(),
            seconds=watch.clock.seconds,
        )
    return parts


async def _demonstrate(
    settings: Settings, *, episodes: Episodes, tasks: TaskStream, watch: Watch
) -> list[Trajectory]:
    """Let the teacher play, one episode per task."""
    config = settings.warm_start
    jobs = [
        job
        for index in range(config.episodes)
        for job in tasks.jobs(f"warm-{index:06d}", group_size=1)
    ]
    work = episodes.collect(
        jobs, make_policy=scripted_policies(config.policy), policy_name=config.policy
    )
    return await watch.run("teach", len(jobs), work, of="warm")


def _imitate(
    settings: Settings,
    parts: Parts,
    demos: list[Trajectory],
    *,
    metrics: Metrics,
    watch: Watch,
) -> float:
    """Train on the demonstrations and return the loss at the end."""
    config = settings.warm_start
    rows = demonstrations(demos, parts.renderer, max_context=parts.engine.max_context)
    if not rows:
        raise AgentGymError(
            f"no episode of the teacher {config.policy!r} can be imitated",
            hint="they ended by faults, or are longer than model.max_context",
        )
    losses = imitate(
        parts.policy,
        rows,
        config=config,
        grad_clip=settings.optim.grad_clip,
        max_tokens=settings.train.max_tokens_per_micro_batch,
        seed=derive_seed(settings.seed, "imitate"),
    )
    recent: list[float] = []
    with watch.phase("imitate", config.steps):
        for step, loss in enumerate(losses, 1):
            recent = [*recent[1 - _LOG_EVERY :], loss]
            watch.advance()
            watch.check()
            if step % _LOG_EVERY == 0:
                scalars = {"warm_start/step": step, "warm_start/loss": sum(recent) / len(recent)}
                metrics.log(0, scalars)
    return sum(recent) / len(recent)
