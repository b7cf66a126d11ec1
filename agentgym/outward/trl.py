"""An environment inside TRL's `GRPOTrainer`: a class for `environment_factory`, rows, a reward.

TRL reads tools off the methods of a class, so one is made of the environment's tools. What a
model says at last reaches an environment only through the reward function, which is therefore
needed, too. An environment without tools gets one method, `say`. Nothing here imports TRL.
"""

import inspect
import keyword
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Literal, Union

from agentgym.env import EnvConfig, tasks_of
from agentgym.errors import AgentGymError, ConfigError, EnvError
from agentgym.outward import loop
from agentgym.outward.episode import Episode, text_of
from agentgym.outward.stage import Stage
from agentgym.types import ToolSpec

if TYPE_CHECKING:
    from agentgym.sandboxes.backend import PoolSettings

SAY = ToolSpec(
    "say",
    "Say something to the environment, which answers.",
    {
        "type": "object",
        "properties": {"text": {"type": "string", "description": "What to say."}},
        "required": ["text"],
    },
)
_NAMES = ("task_id", "index", "seed")  # the columns of a row that mean something to `reset`
_NOT_TOOLS = ("reset", "get_reward")  # what TRL takes methods of these names for
_KINDS: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


class Environment:
    """What TRL drives: one episode at a time, reset for each completion."""

    _stage: Stage
    _tools: tuple[ToolSpec, ...]
    _episode: Episode | None = None

    def reset(self, **row: Any) -> str:
        """Start the episode of a row, and return what its first messages say.

        Raises:
            ConfigError: the row names no task, or one with tools of its own.
            EnvError: the environment raised.
        """
        named = {name: row[name] for name in _NAMES if row.get(name) is not None}
        if not named:
            raise ConfigError(
                "a row names no task, so that the completions of a group would have one each",
                hint="train on datasets.Dataset.from_list(rows(config, number=...))",
            )
        seed = named.pop("seed", None)
        if self._episode is not None:
            loop.run(self._episode.close())
        episode = self._episode = loop.run(self._stage.open(named, seed=seed))
        if episode.start.tools != self._tools:
            raise ConfigError(
                f"the task {episode.task.id!r} has other tools than the first of its split",
                hint="TRL takes the same tools for all tasks of a factory; give each kind its own",
            )
        return text_of(episode.start.messages)

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Step with a call, and return the observation."""
        if self._episode is None:
            raise AgentGymError("no episode was started: call reset first")
        if not self._tools:
            return loop.run(self._episode.say(str(arguments.get("text", "")))).text
        return loop.run(self._episode.call(name, arguments)).text

    def _paid(self, completion: Sequence[Mapping[str, Any]]) -> float:
        """Hand in what was said at last, and return the outcome of the episode.

        Raises:
            EnvError: the environment raised, now or in a call: TRL shows that to the model and
                goes on, and it would be trained on.
        """
        if self._episode is None:
            raise AgentGymError("no episode was started: call reset first")
        if (fault := self._episode.fault) is not None:
            raise EnvError(f"an episode broke off: {fault}") from fault
        last = completion[-1] if completion else {}
        if last.get("role") == "assistant" and not last.get("tool_calls"):
            loop.run(self._episode.say(str(last.get("content") or "")))
        loop.run(self._episode.cut())
        return self._episode.reward

    @property
    def _terms(self) -> dict[str, float]:
        """The sums of the reward terms of the present episode."""
        return self._episode.terms if self._episode else {}


def environment_factory(
    config: EnvConfig,
    *,
    split: str | None = None,
    seed: int = 0,
    sandbox: "PoolSettings | None" = None,
) -> type[Environment]:
    """Return a class for `GRPOTrainer(environment_factory=...)`, with a method for each tool.

    Args:
        config: The environment. Its first task is started once, to see its tools.
        split: Where tasks come from; train, where there is such a split.
        seed: Of the randomness of episodes.
        sandbox: Where programs of a model run; the sandboxes end with the process.

    Raises:
        ConfigError: a tool cannot be a method.
        EnvError: the environment raised.
    """
    sandboxes = loop.lease_sandboxes(sandbox) if config.needs_sandbox else None
    stage = Stage(config, split=split, seed=seed, sandboxes=sandboxes)
    first = loop.run(stage.open({"index": 0}))
    loop.run(first.close())
    methods = {spec.name: _method(spec) for spec in first.start.tools or (SAY,)}
    fields = {"_stage": stage, "_tools": first.start.tools, "__doc__": f"{config.id} for TRL."}
    return type("AgentGymEnvironment", (Environment,), {**methods, **fields})


def rows(config: EnvConfig, *, number: int, split: str | None = None) -> list[dict[str, Any]]:
    """Return rows for `datasets.Dataset.from_list`: the first tasks of a split.

    A row has the `index` of its task, and an empty `prompt`, to which TRL appends what `reset`
    returns.
    """
    named = split or ("train" if "train" in config.splits else config.splits[0])
    return [
        {"prompt": [{"role": "user", "content": ""}], "index": index}
        for index, _ in enumerate(islice(tasks_of(config, named), number))
    ]


def outcome(
    completions: Sequence[Any],
    environments: Sequence[Environment],
    log_metric: Callable[[str, float], None] | None = None,
    **kwargs: Any,
) -> list[float]:
    """Return the outcome of each episode: a function for `GRPOTrainer(reward_funcs=...)`.

    It hands the last answer to the environment, and logs the means of all reward terms.

    Raises:
        EnvError: an environment raised.
    """
    pairs = zip(completions, environments, strict=True)
    rewards = [environment._paid(completion) for completion, environment in pairs]
    if log_metric is not None:
        for name in sorted({name for each in environments for name in each._terms}):
            total = sum(each._terms.get(name, 0.0) for each in environments)
            log_metric(f"env/{name}", total / len(environments))
    return rewards


def _method(spec: ToolSpec) -> Callable[..., str]:
    """Make the method of a tool: a signature with types, and a docstring as Google writes them.

    Raises:
        ConfigError: there is no such method in Python.
    """
    if spec.name in _NOT_TOOLS or spec.name.startswith("_"):
        raise ConfigError(f"TRL takes no method `{spec.name}` for a tool", hint="rename the tool")

    def method(self: Environment, /, **arguments: Any) -> str:
        return self._call(spec.name, arguments)

    parameters = list(_parameters(spec))
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__name__ = method.__qualname__ = spec.name
    method.__signature__ = inspect.Signature([me, *parameters], return_annotation=str)  # type: ignore[attr-defined]
    method.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": str}
    method.__doc__ = _docstring(spec)
    return method


def _parameters(spec: ToolSpec) -> Iterator[inspect.Parameter]:
    """Yield the parameters; those that must be given come first, as Python has it."""
    properties: Mapping[str, Any] = spec.parameters.get("properties", {})
    required = set(spec.parameters.get("required", ()))
    for name in sorted(properties, key=lambda name: name not in required):
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ConfigError(
                f"tool `{spec.name}`: parameter `{name}` is no name of Python, as TRL wants it",
                hint="rename the parameter",
            )
        kind = _annotation(properties[name])
        default: Any = inspect.Parameter.empty
        if name not in required:
            default = (
                properties[name].get("default") if isinstance(properties[name], Mapping) else None
            )
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )


def _annotation(schema: Any) -> Any:
    """Return the type of which TRL makes the like of a schema; anything, where there is none."""
    if not isinstance(schema, Mapping):
        return Any
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    kinds = schema.get("type", ())
    names = [kinds] if isinstance(kinds, str) else kinds
    options = [_annotation(each) for each in schema.get("anyOf", ())]
    options += [_kind(name, schema) for name in names]
    return Union[tuple(options)] if options else Any  # noqa: UP007  it has no other spelling


def _kind(name: str, schema: Mapping[str, Any]) -> Any:
    items = schema.get("items")
    if name == "array" and isinstance(items, Mapping):
        return GenericAlias(list, (_annotation(items),))
    return _KINDS.get(name, Any)


def _docstring(spec: ToolSpec) -> str:
    properties: Mapping[str, Any] = spec.parameters.get("properties", {})
    told = spec.description or f"The tool {spec.name}."
    if not properties:
        return told
    lines = [
        f"    {name}: {' '.join(str(_described(schema) or f'The {name}.').split())}"
        for name, schema in properties.items()
    ]
    return "\n".join([told, "", "Args:", *lines])


def _described(schema: Any) -> Any:
    return schema.get("description") if isinstance(schema, Mapping) else None
