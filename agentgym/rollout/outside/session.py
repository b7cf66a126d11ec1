"""One episode as a program from outside sees it: a model to ask, and an environment to act in."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from agentgym.env import EnvStep, action_key, add_terms
from agentgym.errors import AgentGymError, PolicyError
from agentgym.panels import MOST_PANELS, Panel, Terminal
from agentgym.rollout.answers import state_key_of
from agentgym.rollout.episode import Scene
from agentgym.rollout.outside.echoes import Echoes
from agentgym.rollout.outside.refused import Refused, is_over
from agentgym.rollout.outside.reply import Answer
from agentgym.rollout.outside.request import ChatRequest
from agentgym.rollout.policy import ContextFull, Reply
from agentgym.types import OUTSIDE, End, Message, Step, Timings, ToolCall, ToolSpec, digest

T = TypeVar("T")

_LOST = 16  # answers that nobody received, kept for who asks again
_CALLS_CHARS = 20_000  # of what is shown of one step's calls


class Told(NamedTuple):
    """What the environment answered."""

    text: str
    is_over: bool


class Session:
    """Turns requests of a program into steps. Requests of one session wait for each other.

    The episode goes on until the environment ends it, the model has answered `max_turns` times,
    something of ours fails, or the program ends, which `settle` is told.
    """

    def __init__(self, scene: Scene, *, id: str, key: str) -> None:
        self.id = id
        self.key = key
        self.prompt = scene.trajectory.prompt
        """What the environment began with."""
        self.tools = scene.trajectory.tools
        """The tools of the environment."""
        self.over = asyncio.Event()
        self._scene = scene
        self._steps = scene.trajectory.steps
        self._echoes = Echoes()
        self._end: tuple[End, str] | None = None
        self._failure: AgentGymError | None = None
        self._full: str | None = None
        self._heard: list[Message] = []
        self._has_answered = False
        self._early: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._asking: set[asyncio.Task[Any]] = set()
        self._acting: set[asyncio.Task[Any]] = set()
        self._lost: OrderedDict[str, Answer] = OrderedDict()
        self._last: tuple[str, Answer] | None = None
        self._calls = 0
        self._log = ""
        self._shown: Panel | None = None

    @property
    def was_asked(self) -> bool:
        """Whether the program has asked the model for anything."""
        return bool(self._steps or self._full or self._asking)

    @property
    def is_under_way(self) -> bool:
        """Whether a request waits for the model or the environment."""
        return bool(self._asking or self._acting)

    @property
    def why_over(self) -> str:
        """What is told to a program that goes on behind the end."""
        if self._failure is not None:
            return f"{type(self._failure).__name__}: {self._failure}"
        return self._end[1] if self._end else "the agent program ended"

    # What a program may ask

    async def complete(self, request: ChatRequest, *, is_again: bool = False) -> Answer:
        """Let the model answer; a step of the trajectory.

        Who asks `is_again` what was answered last, or what was `lost`, gets the same answer. A
        caller that is cancelled leaves no trace.

        Raises:
            Refused: the context is full, the episode has ended, or ends by a fault.
        """
        task = self._start(self._complete(request, is_again), self._asking)
        try:
            return await _outcome(task)
        finally:
            task.cancel()

    def lost(self, answer: Answer) -> None:
        """Take note that an answer did not reach the program; it is kept for who asks again."""
        if self._last is not None and self._last[1] is answer:
            self._lost[self._last[0]] = answer
            while len(self._lost) > _LOST:
                self._lost.popitem(last=False)

    async def use_tool(self, name: str, arguments: str) -> Told:
        """Let the environment's tool answer. It does so to the end, whoever waits for it.

        Raises:
            Refused: the episode has ended, or ends by a fault.
        """
        self._calls += 1
        call = ToolCall(name, arguments, f"outside_{self._calls}")
        message = Message("assistant", tool_calls=(call,))
        return await _outcome(self._start(self._hand(message), self._acting))

    async def answer(self, text: str) -> Told:
        """Hand a text to the environment, as if the model had said it and nothing else.

        Raises:
            Refused: the episode has ended, or ends by a fault.
        """
        self._has_answered = True
        message = Message("assistant", text)
        return await _outcome(self._start(self._hand(message), self._acting))

    # Its end

    async def leave(self, *, at_once: bool) -> None:
        """Stop what is asked of the model; the environment finishes what it does, or `at_once`."""
        under_way = [*self._asking, *self._acting]
        for task in under_way if at_once else [*self._asking]:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def settle(self, *, failed: str | None = None) -> None:
        """End the episode, now that the program did: by itself, or `failed`, which says how.

        Nothing is asked any more. What the model said last, if it is a text and no call, is handed
        to the environment, unless the program did that itself.

        Raises:
            AgentGymError: the machinery failed, or the program did.
        """
        if self._failure is not None:
            raise self._failure
        if self._end is None and self._full:
            self._end = ("truncated", self._full)
        if self._end is None and failed is not None:
            raise PolicyError(failed)
        if not self.was_asked:
            raise never_asked("ended")
        if self._end is None:
            await self._hand_in()
        trajectory = self._scene.trajectory
        trajectory.end, trajectory.reason = self._end or ("terminated", "agent")
        if trajectory.reason != "env":
            self._pay(await self._scene.last_terms())

    def show(self, panel: Panel) -> None:
        """Keep something to look at behind the last step."""
        self._shown = panel
        holder = self._steps[-1] if self._steps else self._scene.trajectory
        holder.panels = (*holder.panels[: MOST_PANELS - 1], panel)

    # Its parts

    async def _complete(self, request: ChatRequest, is_again: bool) -> Answer:
        async with self._turn:
            self._refuse_if_over()
            messages = self._echoes.resolve(request.messages)
            key = _key(messages, request.tools)
            if kept := self._kept(key, is_again=is_again):
                return kept
            if len(self._steps) >= self._scene.max_turns:
                self._finish("truncated", "max_turns")
                self._refuse_if_over()
            reply, timings = await self._ask(messages, request.tools)
            return self._record(reply, timings, messages, request.tools, key=key)

    async def _ask(
        self, messages: list[Message], tools: Sequence[ToolSpec]
    ) -> tuple[Reply, Timings]:
        try:
            found = await self._scene.act(messages, tools)
        except ContextFull as full:
            self._full = full.reason
            raise Refused(
                400,
                "This model's maximum context length is exceeded: the conversation has no room for "
                "an answer. Please reduce the length of the messages.",
                code="context_length_exceeded",
                param="messages",
            ) from None
        except AgentGymError as error:
            raise self._fail(error) from error
        self._full = None
        return found

    def _record(
        self,
        reply: Reply,
        timings: Timings,
        messages: list[Message],
        tools: tuple[ToolSpec, ...],
        *,
        key: str,
    ) -> Answer:
        """Make a step of an answer, and what was said since an earlier one its replies."""
        state = self._note_replies(messages)
        self._heard = messages
        trajectory = self._scene.trajectory
        if not self._steps:
            trajectory.prompt, trajectory.tools = tuple(messages), tools
        self._log = ""
        step = Step(
            message=reply.message,
            completion=reply.completion,
            state_key=state,
            action_key=action_key(reply.message),
            reward_terms=self._early,
            agent=OUTSIDE,
            usage=dict(reply.usage),
            timings=timings,
        )
        self._early = {}
        self._steps.append(step)
        answer = self._answer(reply)
        self._last = (key, answer)
        return answer

    def _note_replies(self, messages: list[Message]) -> str:
        """Find what was said since an answer, note it there, and return the key of the state."""
        if not self._steps:
            return state_key_of(self._scene.env, self.prompt)
        spoken = [n for n, message in enumerate(messages) if message.role == "assistant"]
        last = spoken[-1] if spoken else -1
        number, new = self._echoes.latest(messages[last]) if spoken else None, messages[last + 1 :]
        if number is None and messages[: len(self._heard)] == self._heard:
            # The last answer was left out, as by programs that only tell what is wrong with it.
            number, new = len(self._steps) - 1, messages[len(self._heard) :]
        state = digest([message.content for message in new])
        if number is not None and not self._steps[number].replies:
            self._steps[number].replies = tuple(new)
            self._steps[number].next_state_key = state
        return state

    def _answer(self, reply: Reply) -> Answer:
        number = len(self._steps) - 1
        spans = (each for segment in self._scene.policy.segments for each in segment.steps)
        completion, usage = reply.completion, reply.usage
        return Answer(
            id=f"chatcmpl-{self.id}-{number}",
            created=int(time.time()),
            message=self._echoes.add(reply.message),
            is_cut=completion.finish_reason == "length" if completion else bool(usage.get("cut")),
            prompt_tokens=next(
                (first for step, first, _ in spans if step == number),
                int(usage.get("prompt_tokens", 0)),
            ),
            completion_tokens=len(completion.token_ids)
            if completion
            else int(usage.get("completion_tokens", 0)),
        )

    def _kept(self, key: str, *, is_again: bool) -> Answer | None:
        """Return the answer that a program asks for again."""
        if key in self._lost:
            return self._lost.pop(key)
        return self._last[1] if is_again and self._last and self._last[0] == key else None

    async def _hand(self, message: Message) -> Told:
        """Hand a message to the environment; what that pays belongs to the step before."""
        async with self._turn:
            self._refuse_if_over()
            began = time.perf_counter()
            try:
                found = await self._scene.step(message)
                panels = self._scene.panels()
            except AgentGymError as error:
                raise self._fail(error) from error
            text = "\n".join(each.content for each in found.messages)
            self._take_in(message, found, text, env_s=time.perf_counter() - began)
            self._draw(panels)
            return Told(text, self.over.is_set())

    def _take_in(self, message: Message, found: EnvStep, text: str, *, env_s: float) -> None:
        self._pay(found.reward)
        said = " ".join(f"{call.name} {call.arguments}" for call in message.tool_calls)
        self._log = f"{self._log}$ {said or message.content}\n{text}\n\n"[-_CALLS_CHARS:]
        if self._steps:
            step = self._steps[-1]
            step.timed_out |= bool(found.info.get("timed_out", False))
            step.timings.env_s += env_s
        if found.terminated or found.truncated:
            self._finish("terminated" if found.terminated else "truncated", "env")

    def _draw(self, panels: Sequence[Panel]) -> None:
        """Show the environment, and what was asked of it since the model spoke."""
        if not self._steps:
            return
        calls = Terminal(text=self._log.strip("\n") + "\n", title="asked of the environment")
        shown = (calls, self._shown) if self._shown else (calls,)
        self._steps[-1].panels = (*panels[: MOST_PANELS - 2], *shown)

    async def _hand_in(self) -> None:
        """Hand the last text of the model to the environment as its answer."""
        last = self._steps[-1]
        if last.message.tool_calls or not last.message.content.strip() or self._has_answered:
            return
        with suppress(Refused):  # what failed is raised below
            await self._hand(last.message)
        if self._failure is not None:
            raise self._failure

    def _pay(self, terms: Mapping[str, float]) -> None:
        if self._steps:
            self._steps[-1].reward_terms = add_terms(self._steps[-1].reward_terms, terms)
        else:
            self._early = add_terms(self._early, terms)

    def _finish(self, end: End, reason: str) -> None:
        self._end = (end, reason)
        self.over.set()

    def _fail(self, error: AgentGymError) -> Refused:
        self._failure = error
        self.over.set()
        return Refused(500, f"{type(error).__name__}: {error}", code="machinery_failed")

    def _refuse_if_over(self) -> None:
        if self._failure is not None or self._end is not None:
            raise is_over(self.why_over)

    def _start(
        self, work: Coroutine[Any, Any, T], among: set[asyncio.Task[Any]]
    ) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)
        task.add_done_callback(_retrieve)  # the program may have gone meanwhile
        return task


def never_asked(what: str) -> PolicyError:
    """Return the fault of a program that did `what` and never asked the model."""
    return PolicyError(
        f"the agent program {what} and never asked the model",
        hint="it is to send its requests to OPENAI_BASE_URL, or to {base_url}",
    )


async def _outcome(task: asyncio.Task[T]) -> T:
    """Return what a task comes to, which goes on where the caller is cancelled.

    Raises:
        Refused: it was cancelled, since the episode ended.
    """
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        me = asyncio.current_task()
        if me is not None and me.cancelling():
            raise
        raise is_over("the agent program ended") from None


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _key(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    return digest(
        [message.to_openai() for message in messages], [tool.to_openai() for tool in tools]
    )
