"""The table of checks, and what runs it."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from agentgym.check import probes, runtime, static
from agentgym.check.faces import check_gymnasium
from agentgym.check.gold import check_gold
from agentgym.check.isolation import check_isolation
from agentgym.check.leaks import check_leaks
from agentgym.check.limits import check_limits
from agentgym.check.places import place_of, place_of_error
from agentgym.check.records import check_record
from agentgym.check.rendering import check_rendering
from agentgym.check.report import Failed, NotChecked, Report, Result, Status
from agentgym.check.snapshots import check_snapshot
from agentgym.check.spawn import check_spawn
from agentgym.check.speed import check_speed
from agentgym.check.subject import Subject
from agentgym.env import EnvConfig
from agentgym.errors import AgentGymError, ConfigError, MissingError, SandboxUnavailable
from agentgym.loading import did_you_mean

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


Level = Literal["static", "runtime", "semantic"]
_PLACE = re.compile(r"(\S[^\n]*?\.py:\d+): ")
LEVELS: tuple[Level, ...] = get_args(Level)
"""Each holds those before it."""


class Check(NamedTuple):
    """One promise, and the function that tests it: it returns what it saw, or raises."""

    number: int
    name: str
    level: Level
    promise: str
    run: Callable[[Subject], Awaitable[str]]


CHECKS = (
    Check(1, "import", "static", "imports without side effects", static.check_import),
    Check(2, "identity", "static", "declares id, splits, tiers and bounds", static.check_identity),
    Check(3, "config", "static", "configuration survives a round trip", static.check_config),
    Check(4, "tools", "static", "tool schemas are valid and documented", runtime.check_tools),
    Check(5, "tasks", "static", "tasks are unique, stable and disjoint", static.check_tasks),
    Check(
        6, "shapes", "runtime", "reset and step answer in the right shapes", runtime.check_shapes
    ),
    Check(7, "repeat", "runtime", "the same seed and actions repeat exactly", runtime.check_repeat),
    Check(8, "seeds", "runtime", "the seed does what is declared", runtime.check_seeds),
    Check(9, "isolation", "runtime", "episodes do not disturb each other", check_isolation),
    Check(10, "rewards", "runtime", "rewards are finite, in range", runtime.check_rewards),
    Check(11, "gold", "semantic", "solving pays, silence and chance do not", check_gold),
    Check(12, "malformed", "runtime", "nonsense is answered by a message", runtime.check_malformed),
    Check(13, "limits", "runtime", "ends one way, at max_turns at the latest", check_limits),
    Check(14, "leaks", "runtime", "cancelled, it leaves nothing behind", check_leaks),
    Check(15, "spawn", "runtime", "plays equally in another process", check_spawn),
    Check(16, "rendering", "runtime", "becomes tokens and comes back", check_rendering),
    Check(17, "record", "runtime", "an episode survives the record", check_record),
    Check(18, "gymnasium", "runtime", "Gymnasium's check_env passes", check_gymnasium),
    Check(19, "speed", "runtime", "does not hang or grow", check_speed),
    Check(20, "empty", "semantic", "empty actions earn nothing", probes.check_empty_action),
    Check(21, "no-op", "semantic", "doing nothing to the end earns nothing", probes.check_noop),
    Check(22, "echo", "semantic", "an echo of the prompt earns nothing", probes.check_echo),
    Check(23, "markers", "semantic", "fake marks of success earn nothing", probes.check_markers),
    Check(24, "exit", "semantic", "leaving early earns nothing", probes.check_exit),
    Check(25, "huge", "semantic", "a very long text earns nothing", probes.check_huge),
    Check(26, "injection", "semantic", "orders in results stay results", probes.check_injection),
    Check(27, "snapshot", "runtime", "a fork goes on as the original", check_snapshot),
    Check(28, "splits", "static", "there is a split to test on", static.check_splits),
)


async def check_env(
    config_class: type[EnvConfig],
    *,
    overrides: Mapping[str, Any] | None = None,
    sandboxes: "Sandboxes | None" = None,
    template: str | None = None,
    checks: Sequence[Check] = CHECKS,
    on_check: Callable[[Check], None] = lambda check: None,
) -> Report:
    """Run the checks one after the other.

    Args:
        config_class: The configuration of the environment.
        overrides: Fields of the configuration.
        sandboxes: Without them, an environment that needs some is checked as far as it goes.
        template: A folder with a tokenizer, to render the conversation with.
        checks: Which; `at_level` chooses them by level.
        on_check: Told of each check before it runs.

    Raises:
        ConfigError: `overrides` do not fit the configuration.
    """
    subject = Subject(
        config_class, overrides=overrides or {}, sandboxes=sandboxes, template=template
    )
    if subject.overrides:
        _try_overrides(subject)
    results = []
    for check in checks:
        on_check(check)
        results.append(await _run(check, subject))
    return Report(str(getattr(config_class, "id", config_class.__name__)), tuple(results))


def at_level(level: Level) -> tuple[Check, ...]:
    """Return the checks of a level and those before it."""
    chosen = LEVELS[: LEVELS.index(level) + 1]
    return tuple(check for check in CHECKS if check.level in chosen)


def named(words: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks with these names or numbers.

    Raises:
        ConfigError: there is no such check.
    """
    by_word = {word: check for check in CHECKS for word in (check.name, str(check.number))}
    for word in words:
        if word not in by_word:
            close = did_you_mean(word, [check.name for check in CHECKS])
            known = ", ".join(check.name for check in CHECKS)
            hint = f"did you mean {close!r}?" if close else f"known: {known}"
            raise ConfigError(f"there is no check {word!r}", hint=hint)
    wanted = {by_word[word].number for word in words}
    return tuple(check for check in CHECKS if check.number in wanted)


async def _run(check: Check, subject: Subject) -> Result:
    status, where, hint = Status.PASSED, None, None
    try:
        message = await check.run(subject)
    except (NotChecked, MissingError, SandboxUnavailable) as reason:
        status, message = Status.NOT_CHECKED, str(reason)
        hint = getattr(reason, "hint", None)
    except Failed as finding:
        status, message, hint = Status.FAILED, str(finding), finding.hint
        where = finding.where or place_of(subject.config_class)
    except (Exception, SystemExit) as error:  # noqa: BLE001  the code under test may raise anything
        where, message = _described(error)
        status = Status.FAILED
        where = where or place_of_error(error, subject.folder) or place_of(subject.config_class)
        hint = getattr(error, "hint", None)
    return Result(
        number=check.number,
        name=check.name,
        promise=check.promise,
        status=status,
        message=message,
        where=where,
        hint=hint,
    )


def _described(error: BaseException) -> tuple[str | None, str]:
    """Return the place that an error of ours begins with, if it does, and the rest."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if not isinstance(error, AgentGymError):
        return None, f"raised {type(error).__name__}: {error}{notes}"
    text = str(error)
    if place := _PLACE.match(text):
        return place[1], text[place.end() :] + notes
    return None, text + notes


def _try_overrides(subject: Subject) -> None:
    try:
        _ = subject.config
    except NotChecked as error:
        raise ConfigError(f"the settings do not fit {subject.config_class.__name__}") from error
