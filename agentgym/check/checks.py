"""The table of checks, and what runs it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from agentgym.check import runtime, static
from agentgym.check.places import place_of, place_of_error
from agentgym.check.report import Failed, NotChecked, Report, Result, Status
from agentgym.check.subject import Subject
from agentgym.env import EnvConfig
from agentgym.errors import ConfigError, MissingError, SandboxUnavailable

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes


class Check(NamedTuple):
    """One promise, and the function that tests it: it returns what it saw, or raises."""

    number: int
    name: str
    promise: str
    run: Callable[[Subject], Awaitable[str]]


CHECKS = (
    Check(1, "import", "imports without side effects", static.check_import),
    Check(2, "identity", "id, splits, tiers and bounds are declared well", static.check_identity),
    Check(3, "config", "the configuration survives a round trip", static.check_config),
    Check(4, "tools", "tool schemas are valid and documented", runtime.check_tools),
    Check(5, "tasks", "tasks are unique, stable and disjoint", static.check_tasks),
    Check(6, "shapes", "reset and step answer in the right shapes", runtime.check_shapes),
    Check(7, "repeat", "the same seed and actions repeat exactly", runtime.check_repeat),
    Check(8, "seeds", "the seed does what is declared", runtime.check_seeds),
    Check(10, "rewards", "rewards are finite, in range, with outcome", runtime.check_rewards),
    Check(12, "malformed", "nonsense is answered by a message", runtime.check_malformed),
)


async def check_env(
    config_class: type[EnvConfig],
    *,
    overrides: Mapping[str, Any] | None = None,
    sandboxes: "Sandboxes | None" = None,
    checks: tuple[Check, ...] = CHECKS,
) -> Report:
    """Run the checks one after the other.

    `overrides` are fields of the configuration; without `sandboxes`, an environment that needs
    them is checked as far as it goes.

    Raises:
        ConfigError: `overrides` do not fit the configuration.
    """
    subject = Subject(config_class, overrides=overrides or {}, sandboxes=sandboxes)
    if subject.overrides:
        _try_overrides(subject)
    results = [await _run(check, subject) for check in checks]
    return Report(str(getattr(config_class, "id", config_class.__name__)), tuple(results))


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
        status, message = Status.FAILED, _describe(error)
        where = place_of_error(error, subject.folder) or place_of(subject.config_class)
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


def _describe(error: BaseException) -> str:
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"raised {type(error).__name__}: {error}{notes}"


def _try_overrides(subject: Subject) -> None:
    try:
        _ = subject.config
    except NotChecked as error:
        raise ConfigError(f"the settings do not fit {subject.config_class.__name__}") from error
