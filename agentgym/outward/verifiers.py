"""An environment as a taskset and an `Env` of verifiers, inside its own loop.

verifiers finds both by the name of a module, so a module of yours names them, and its
configuration says which environment is meant (docs/outward.md):

    from agentgym.outward.verifiers import AgentGymEnv, AgentGymTaskset
    __all__ = ["AgentGymEnv", "AgentGymTaskset"]

The agent is verifiers' chat program, which calls the tools over MCP; what it says beside them is
said to the environment, whose answer is the next user turn. The outcome is the reward, other
terms are metrics.
"""

import copy
import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, Self

from pydantic import Field, SerializeAsAny

from agentgym.config.run import EnvSection
from agentgym.env import EnvConfig, tasks_of
from agentgym.errors import AgentGymError, EnvError, MissingError
from agentgym.outward.episode import Episode, text_of
from agentgym.outward.mcp import PATH, serving_http
from agentgym.outward.sessions import Sessions
from agentgym.outward.settings import Exposed
from agentgym.outward.stage import Stage
from agentgym.sandboxes import AnySandbox
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.types import OUTCOME, Message, Task
from agentgym.web.port import listen

try:
    import verifiers.v1 as vf
except ImportError as error:
    raise MissingError(
        f"an environment of verifiers needs the package verifiers ({error})",
        hint="pip install 'agentgym-framework[verifiers]'",
    ) from error

_HOST = "127.0.0.1"
_IDLE_S = 86_400.0  # episodes end with the rollout that plays them


class AgentGymTaskConfig(vf.TaskConfig):  # type: ignore[misc]  # it is Any without verifiers
    """Where the tools of the episode of a task are; set when it starts."""

    url: str | None = None


class AgentGymTaskData(vf.TaskData):  # type: ignore[misc]
    """A task of ours, whole: it needs no look at its split."""

    task: dict[str, Any]


class EpisodeTools(vf.Toolset[vf.ToolsetConfig]):  # type: ignore[misc]
    """The tools of an episode, which are served here already."""

    TOOL_PREFIX = None  # or they would not be called what the environment calls them


class AgentGymTask(vf.Task[AgentGymTaskData, vf.State, AgentGymTaskConfig]):  # type: ignore[misc]
    """A task, and while it is played its episode."""

    episode: Episode | None = None

    def played_in(self, episode: Episode, *, url: str | None) -> Self:
        """Return the task of one rollout."""
        played = copy.copy(self)
        played.episode = episode
        played.config = self.config.model_copy(update={"url": url})
        return played

    @classmethod
    def toolsets(cls, config: AgentGymTaskConfig) -> list[Any]:
        """Return the server that has the episode's tools."""
        return [EpisodeTools(vf.ToolsetConfig(url=config.url))] if config.url else []

    @vf.stop  # type: ignore[untyped-decorator]
    async def episode_over(self, request: vf.Request) -> bool:
        """Stop where a tool ended the episode: nothing that is said then would be heard."""
        return self.episode is not None and self.episode.end is not None


class AgentGymTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Which environment, and which of its tasks."""

    task: SerializeAsAny[AgentGymTaskConfig] = AgentGymTaskConfig()
    env: str = ""
    """An id, `pkg.mod:Config` or `path/file.py[:Config]`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Fields of the environment's configuration."""
    split: str | None = None
    """Where tasks come from; None: test, or the first split where there is none."""
    seed: int = 0
    """Of the randomness of episodes."""
    sandbox: AnySandbox = LocalSandboxConfig()
    """Where programs of a model run."""

    def exposed(self) -> Exposed:
        """Return what is played.

        Raises:
            ConfigError: there is no such environment or setting.
        """
        section = EnvSection.of(self.env, **self.settings)
        return Exposed(
            env=section, split=self.split_of(section.config), seed=self.seed, sandbox=self.sandbox
        )

    def split_of(self, config: EnvConfig) -> str:
        """Return the split that is meant."""
        return self.split or config.held_out_split


class AgentGymTaskset(vf.Taskset[AgentGymTask, AgentGymTasksetConfig]):  # type: ignore[misc]
    """The tasks of one split."""

    def __init__(self, config: AgentGymTasksetConfig) -> None:
        super().__init__(config)
        self.exposed = config.exposed()
        self.INFINITE = self.exposed.split == "train"  # it may be; say how many with a limit

    def load(self) -> Iterator[AgentGymTask]:
        """Yield the tasks."""
        assert self.exposed.split is not None
        for task in tasks_of(self.exposed.env.config, self.exposed.split):
            data = AgentGymTaskData(id=task.id, task=dataclasses.asdict(task))
            yield AgentGymTask(data, self.config.task)


class AgentGymEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """The agent: verifiers' chat program, in a process of this machine."""

    agent: vf.AgentConfig = vf.AgentConfig(
        harness=vf.HarnessConfig(id="null"), runtime=vf.SubprocessConfig()
    )


class AgentGymEnv(vf.Env[AgentGymEnvConfig]):  # type: ignore[misc]
    """Plays an episode for each rollout; tools are served to the agent on this machine."""

    _held: AsyncExitStack | None = None
    _stage: Stage
    _sessions: Sessions
    _url: str

    async def start(self) -> None:
        """Open the stage, its sandboxes, and the server of its tools."""
        held = self._held = AsyncExitStack()
        self._stage = await held.enter_async_context(self.taskset.exposed.stage())
        self._sessions = Sessions(self._stage, idle_s=_IDLE_S)
        taken = held.enter_context(listen(_HOST, 0))
        self._url = f"http://{_HOST}:{taken.getsockname()[1]}{PATH}"
        serving = serving_http(self._sessions, taken, host=_HOST, has_own_tools=False)
        await held.enter_async_context(serving)

    async def stop(self) -> None:
        """End what is open."""
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()

    async def run(self, task: AgentGymTask, agents: Any) -> None:
        """Play one episode.

        Raises:
            EnvError: the environment raised; verifiers records it as a fault of the episode.
        """
        if self._held is None:
            raise AgentGymError("run episodes inside of `async with env.serving()`")
        episode = await self._stage.open({"task": Task(**task.data.task)})
        key = secrets.token_urlsafe(16)
        self._sessions.adopt(f"?{key}", episode)
        try:
            url = f"{self._url}?episode={key}" if episode.start.tools else None
            await self._play(task.played_in(episode, url=url), agents, episode)
        finally:
            await self._sessions.end(f"?{key}")

    async def _play(self, task: AgentGymTask, agents: Any, episode: Episode) -> None:
        system, told = _opening(episode.start.messages)
        if system:
            task = task.with_system_prompt(system)
        async with agents.agent.interaction(task) as interaction:
            segment = await interaction.turn(told)
            while episode.end is None and not segment.terminated:
                turn = await episode.say(segment.last_reply)
                if turn.end is not None:
                    break
                segment = await interaction.turn(turn.text)
        if episode.fault is not None:
            raise EnvError(f"the episode broke off: {episode.fault}") from episode.fault
        await episode.cut()
        trace = interaction.trace
        trace.record_reward(OUTCOME, episode.reward)
        trace.record_metrics({k: v for k, v in episode.terms.items() if k != OUTCOME})


def _opening(messages: tuple[Message, ...]) -> tuple[str, Any]:
    """Return the system message, and the others as verifiers takes them."""
    system = text_of(tuple(each for each in messages if each.role == "system"))
    return system, [each.to_openai() for each in messages if each.role != "system"]
