"""The Gymnasium face of an environment: text in, text out, no `await`."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import gymnasium

from agentgym.env import Env, EnvConfig, add_terms
from agentgym.envs import ENVS
from agentgym.errors import AgentGymError, ConfigError, EnvError, boundary
from agentgym.gym.actions import to_message, to_text
from agentgym.gym.spaces import UnicodeText
from agentgym.loading import configure, did_you_mean, load_env
from agentgym.outward import loop
from agentgym.outward.tasks import POOL, TaskPicker
from agentgym.rollout.answers import checked_reset, checked_step, checked_terms, state_key_of
from agentgym.rollout.episode import call_env
from agentgym.types import OUTCOME, Message, Task

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

_MAX_CHARS = 1 << 16


class TextEnv(gymnasium.Env[str, str]):
    """Any environment of agentgym as a `gymnasium.Env`.

    An observation is the text of the messages that are new; an action is the text of the
    assistant's message, or JSON of tool calls (see `agentgym.gym.actions`). The reward is the term
    `outcome` of the step. Every info has `messages` (the new ones, in the OpenAI shape),
    `reward_terms`, `state_key` (None when nothing was answered) and `task_id`; that of reset also
    `tools`.

    `reset(seed=...)` draws a task, `reset()` takes the one after, and the options `task`,
    `task_id` or `index` name one. After `max_turns` the episode is truncated, and the terms of
    `Env.truncate` count. With `render_mode="ansi"`, `render` returns the last messages.

    Args:
        ref: An id, `pkg.mod:attr` or `path/file.py[:attr]`.
        config_class: The configuration itself, in place of `ref`.
        split: Where tasks come from; train, where there is such a split.
        render_mode: None or ansi.
        max_chars: Of an observation; a longer one is cut, its messages are not.
        **settings: Fields of the environment's configuration.

    Raises:
        ConfigError: there is no such environment, split or setting.
    """

    # render_fps: gymnasium wants one, though nothing here moves by itself.
    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        ref: str | None = None,
        *,
        config_class: type[EnvConfig] | None = None,
        split: str | None = None,
        render_mode: str | None = None,
        max_chars: int = _MAX_CHARS,
        **settings: Any,
    ) -> None:
        self.config = _configured(_config_class(ref, config_class), settings)
        self.render_mode = render_mode
        self.observation_space: UnicodeText = UnicodeText(max_chars)
        self.action_space: UnicodeText = UnicodeText(max_chars)
        splits = self.config.splits
        self._tasks = TaskPicker(
            self.config, split or ("train" if "train" in splits else splits[0])
        )
        self._env: Env | None = None
        self._task = Task("")
        self._seed = 0
        self._has_tools = False
        self._turns = 0
        self._shown: tuple[Message, ...] = ()
        self._sandboxes: Sandboxes | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Raises:
            ConfigError: the options name no task.
            EnvError: the environment raised.
        """
        super().reset(seed=seed)
        self._end_episode()
        self._task = self._pick(options or {}, is_seeded=seed is not None)
        env = self._env = self._build()
        self._seed = int(self.np_random.integers(1 << 62))
        with self._attributed("reset") as what:
            given = self._call(env, env.reset, self._task, seed=self._seed)
            start = checked_reset(given, what)
            self._turns, self._has_tools = 0, bool(start.tools)
            self._shown = tuple(start.messages)
            info = self._info(env, start.messages, {})
            # OpenAI's shape is nested; what a caller does to it must not reach the environment.
            info["tools"] = [_copied(tool.to_openai()) for tool in start.tools]
            return self._text(start.messages), info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Say something.

        Raises:
            gymnasium.error.ResetNeeded: no episode is under way.
            EnvError: the environment raised.
        """
        env = self._env
        if env is None:
            raise gymnasium.error.ResetNeeded("no episode is under way: call reset()")
        if not isinstance(action, str):
            raise ConfigError(f"an action is a text, not {action!r:.80}")
        message = to_message(str(action), has_tools=self._has_tools)
        with self._attributed("step") as what:
            answer = checked_step(self._call(env, env.step, message), what)
            self._turns += 1
            self._shown = (message, *answer.messages)
            terms, terminated, truncated = dict(answer.reward), answer.terminated, answer.truncated
            if not (terminated or truncated) and self._turns >= self.config.max_turns:
                truncated = True
                terms = add_terms(terms, self._last_terms(env))
            info, text = self._info(env, answer.messages, terms), self._text(answer.messages)
        if terminated or truncated:
            self._end_episode()
        return text, float(terms.get(OUTCOME, 0.0)), terminated, truncated, info

    def render(self) -> str | None:
        """Return the last messages: what was said, and what was answered."""
        if self.render_mode != "ansi":
            return None
        return "\n".join(f"{message.role}: {to_text(message)}" for message in self._shown)

    def close(self) -> None:
        """End the episode and give the sandboxes back."""
        self._end_episode()
        if self._sandboxes is not None:
            self._sandboxes = None
            loop.release_sandboxes()

    def expert(self, level: str = "expert") -> Callable[[Sequence[Mapping[str, Any]]], str]:
        """Return the scripted agent of the present episode: messages so far -> action.

        Raises:
            gymnasium.error.ResetNeeded: no episode is under way.
            NotImplementedError: the environment has no such script.
        """
        if self._env is None:
            raise gymnasium.error.ResetNeeded("no episode is under way: call reset()")
        script = self._env.expert(self._task, seed=self._seed, level=level)
        return lambda messages: to_text(script([Message.from_openai(each) for each in messages]))

    def _pick(self, options: Mapping[str, Any], *, is_seeded: bool) -> Task:
        chosen = self._tasks.chosen(options)
        if chosen is not None:
            return chosen
        if is_seeded:
            return self._tasks.drawn(int(self.np_random.integers(POOL)))
        return self._tasks.next()

    def _build(self) -> Env:
        if self.config.needs_sandbox and self._sandboxes is None:
            self._sandboxes = loop.lease_sandboxes()
        with boundary(EnvError, f"building {self.config.id}"):
            return self.config.build(self._sandboxes)

    def _last_terms(self, env: Env) -> dict[str, float]:
        with self._attributed("truncate") as what:
            return checked_terms(self._call(env, env.truncate), what)

    def _end_episode(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            with self._attributed("close"):
                self._call(env, env.close)

    @contextmanager
    def _attributed(self, name: str) -> Iterator[str]:
        """Attribute what escapes the block to a method of the environment.

        An environment that raised is in no state that anyone knows: its episode is over.
        """
        what = f"{name} of {self.config.id}"
        try:
            with boundary(EnvError, what):
                yield what
        except BaseException:
            with suppress(AgentGymError):  # what was raised first says more
                self._end_episode()
            raise

    def _call(self, env: Env, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method here when it is cheap, on the loop of this process when it is not."""
        if not env.inline:
            return loop.run(call_env(env, method, *args, **kwargs))
        result = method(*args, **kwargs)
        return loop.run(_value(result)) if inspect.isawaitable(result) else result

    def _info(
        self, env: Env, messages: Sequence[Message], terms: dict[str, float]
    ) -> dict[str, Any]:
        return {
            "messages": [message.to_openai() for message in messages],
            "reward_terms": terms,
            "state_key": state_key_of(env, messages) if messages else None,
            "task_id": self._task.id,
        }

    def _text(self, messages: Sequence[Message]) -> str:
        text = "\n\n".join(message.content for message in messages)
        return text[: self.observation_space.max_length]


def _config_class(ref: str | None, given: Any) -> type[EnvConfig]:
    if (ref is None) == (given is None):
        raise ConfigError(
            "an environment is named by ref, or given as config_class",
            hint='gymnasium.make("agentgym/Any-v0", ref="path/file.py")',
        )
    if ref is not None:
        return load_env(ref, ENVS)
    found = getattr(given, "env_config", given)  # what `@ag.env` leaves behind
    if not (isinstance(found, type) and issubclass(found, EnvConfig)):
        raise ConfigError(f"config_class is {given!r:.80}, expected a subclass of EnvConfig")
    return found


def _configured(config_class: type[EnvConfig], settings: Mapping[str, Any]) -> EnvConfig:
    known = list(config_class.model_fields)
    for name in settings:
        if name not in known:
            close = did_you_mean(name, known)
            hint = f"did you mean `{close}`?" if close else f"known: {', '.join(known)}"
            raise ConfigError(f"{config_class.id} has no setting `{name}`", hint=hint)
    return configure(config_class, settings)


async def _value(result: Awaitable[Any]) -> Any:
    return await result


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list | tuple) else value
