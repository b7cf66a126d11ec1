"""The base class of environments whose actions are tool calls."""

import inspect
from collections.abc import Awaitable, Sequence
from typing import Any, ClassVar

from agentgym.env import Env, EnvStep, Reset
from agentgym.envs.mcp.connection import Connection
from agentgym.envs.mcp.server import MCPServer
from agentgym.envs.rewards import Rewards, Transcript
from agentgym.errors import EnvError
from agentgym.tools import ToolResult, ToolSet
from agentgym.types import OUTCOME, Message, Task, ToolCall, digest


class ToolEnv(Env):
    """Subclass it and mark methods with `@tool`, and with `@reward`.

    A message with tool calls is answered by one tool message for each call, in order; a tool
    that returns `Final` ends the episode. A message without is the final answer, for `score`.
    Every step with tool calls has the reward term `tool_valid`: 1.0 when all were valid. Where
    methods are marked with `@reward`, they are asked however the episode ends.
    """

    system: ClassVar[str] = ""
    """The system message; none when empty."""

    task: Task
    """The task of the present episode."""
    transcript: Transcript
    """The conversation of the present episode so far."""
    _connections: tuple[Connection, ...] = ()

    def start(self, task: Task, *, seed: int) -> "str | Awaitable[str | None] | None":
        """Prepare the episode and return the first user message; None: the task's prompt."""
        return None

    def score(self, text: str) -> dict[str, float] | Awaitable[dict[str, float]]:
        """Return the reward terms of a final answer given as text, where no method is a reward."""
        return {OUTCOME: 0.0}

    def toolset(self) -> ToolSet:
        """Return the tools of the present episode: the marked methods."""
        return ToolSet.of(self)

    def servers(self, task: Task, *, seed: int) -> Sequence[MCPServer]:
        """Return the MCP servers whose tools the episode has as well."""
        return ()

    def rewards(self) -> Rewards:
        """Return the rewards: the marked methods."""
        return Rewards.of(self)

    async def reset(self, task: Task, *, seed: int) -> Reset:
        """Start the episode with the system message and the one that `start` returns."""
        self.task = task
        self._tools, self._rewards = self.toolset(), self.rewards()
        await self._disconnect()
        for server in self.servers(task, seed=seed):
            connection = Connection(server)
            self._connections += (connection,)
            self._tools = self._tools.plus(await connection.start())
        prompt = await _value(self.start(task, seed=seed))
        user = Message("user", task.prompt if prompt is None else prompt)
        self._seen: tuple[str, ...] = (user.content,)
        messages = (Message("system", self.system), user) if self.system else (user,)
        self.transcript = Transcript(task, list(messages))
        return Reset(messages, self._tools.specs)

    async def step(self, message: Message) -> EnvStep:
        """Run the tool calls in order, up to one that ends the episode."""
        self.transcript.messages.append(message)
        if not message.tool_calls:
            return EnvStep((), await self._grade(message.content), terminated=True)
        results = await self._call_all(message.tool_calls)
        final = results[-1].final
        replies = tuple(result.message for result in results)
        self._seen = tuple(reply.content for reply in replies)
        self.transcript.messages += replies
        terms = {"tool_valid": float(all(result.valid for result in results))}
        if final is not None:
            graded = await self._rewards.grade(self.transcript) if self._rewards else {}
            name = message.tool_calls[len(results) - 1].name
            terms = _joined(terms | graded, final.reward, name)
        return EnvStep(
            replies,
            terms,
            terminated=final is not None,
            info={"timed_out": True} if any(result.timed_out for result in results) else {},
        )

    async def truncate(self) -> dict[str, float]:
        """Ask the rewards about an episode that a limit ended."""
        return await self._rewards.grade(self.transcript) if self._rewards else {}

    def close(self) -> Awaitable[None] | None:
        """End the MCP servers. Where there are any, a `close` of your own calls this one, too."""
        return self._disconnect() if self._connections else None

    def state_key(self) -> str | None:
        """Identify the state by the task and the last observations."""
        return digest(self.task.id, self._seen)

    async def _disconnect(self) -> None:
        connections, self._connections = self._connections, ()
        for connection in connections:
            await connection.close()

    async def _grade(self, text: str) -> dict[str, float]:
        if self._rewards:
            return await self._rewards.grade(self.transcript)
        return dict(await _value(self.score(text)))

    async def _call_all(self, calls: tuple[ToolCall, ...]) -> list[ToolResult]:
        results: list[ToolResult] = []
        for call in calls:
            results.append(await self._tools.call(call))
            if results[-1].final is not None:
                break
        return results


def _joined(graded: dict[str, float], added: dict[str, float], tool: str) -> dict[str, float]:
    """Put the terms of a `Final` beside those that the episode has already."""
    if taken := sorted(graded.keys() & added.keys()):
        raise EnvError(
            f"the tool `{tool}` returned Final with the reward term {taken[0]!r}, which the "
            f"episode has already: {', '.join(graded)}",
            hint="give the term another name, or leave it to the rewards",
        )
    return graded | added


async def _value(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
