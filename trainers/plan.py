"""What can be told of a training from its settings: what cannot work, and what is doubtful.

Nothing here needs torch, so that it is told before anything is made.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.errors import ConfigError
from agentgym.rollout.budget import BudgetConfig
from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.recompute import FILLED, name_of
from agentgym.trainers.shaping.base import ShaperConfig
from agentgym.trainers.shaping.forms import Potential
from agentgym.trainers.shaping.terms import Preset, Term, Terms

if TYPE_CHECKING:
    from agentgym.trainers.setup import Settings


def check_settings(settings: "Settings") -> None:
    """Refuse what cannot be trained.

    Raises:
        ConfigError: the estimator needs a column that nothing fills in, nothing is sampled, or
            what is played ahead shall come out the same every time.
    """
    check_columns(settings.credit)
    if settings.rollout.sampling.temperature == 0:
        raise ConfigError(
            "rollout.sampling.temperature is 0: a policy that never varies learns nothing",
            hint="set it to 1",
        )
    if settings.rollout.deterministic and settings.train.max_staleness:
        raise ConfigError(
            f"rollout.deterministic cannot be had with train.max_staleness = "
            f"{settings.train.max_staleness}: when new weights arrive depends on the clock",
            hint="set train.max_staleness to 0, or leave rollout.deterministic out",
        )


def check_columns(credit: CreditConfig) -> None:
    """Refuse an estimator that needs what training does not fill in.

    Raises:
        ConfigError: it does.
    """
    if missing := [repr(name) for name in credit.columns if name not in FILLED]:
        columns = f"column{'s' if len(missing) > 1 else ''} {' and '.join(missing)}"
        raise ConfigError(
            f"{name_of(credit)} needs the {columns} of the table, which training does not fill in",
            hint=f"choose another credit.name; training fills in {' and '.join(FILLED)} only",
        )


def doubts(settings: "Settings") -> list[str]:
    """Return what will run and hardly be what was meant."""
    return [
        *_lost_guarantees(settings.shaping, settings.credit),
        *_idle_settings(settings.credit),
        *settings.loss.doubts(),
        *_of_playing_ahead(settings),
        *_of_the_budget(settings.rollout.budget),
    ]


def _of_playing_ahead(settings: "Settings") -> Iterator[str]:
    """Tell of stale tokens that nothing weighs, and of what finds no time."""
    ahead, steps = settings.train.max_staleness, settings.train.steps
    if ahead >= steps > 1:
        yield (
            f"train.max_staleness is {ahead} and train.steps {steps}: the episodes of all steps begin "
            "at once, most of them before anything is learnt; 1 to 4 keep an engine busy"
        )
    if ahead and isinstance(settings.engine, VllmEngineConfig) and settings.engine.sleep:
        yield (
            f"engine.sleep plays no part where train.max_staleness is {ahead}: the engine plays on "
            "while the weights are updated, and needs its memory; leave it out"
        )
    if ahead and settings.loss.correction.name == "none":
        yield (
            f"train.max_staleness is {ahead} and loss.correction.name is none: tokens of older "
            "policies count like those of the present one; set it to tis or icepop"
        )


def _of_the_budget(budget: BudgetConfig) -> Iterator[str]:
    """Tell of one half of a limit in dollars: what an engine of ours costs is its machine."""
    if budget.dollars_per_hour and budget.dollars is None:
        yield (
            "rollout.budget.dollars_per_hour plays no part without rollout.budget.dollars, which is "
            "the limit: set it too"
        )
    if budget.dollars is not None and not budget.dollars_per_hour:
        yield (
            "rollout.budget.dollars is never spent where rollout.budget.dollars_per_hour is 0: in a "
            "training it is the machine that costs; set it too"
        )


def _idle_settings(credit: CreditConfig) -> Iterator[str]:
    """Tell of settings of credit that change nothing beside the others."""
    for part in credit.parts():
        for name in part.idle_settings():
            switch = part.switches[name]
            off = "false" if getattr(part, switch) is False else "0"
            yield (
                f"{name} of {name_of(part)} plays no part where {switch} is {off}: leave it out, "
                f"or set {switch} too"
            )


def _lost_guarantees(shaping: ShaperConfig, credit: CreditConfig) -> Iterator[str]:
    """Tell of potentials whose gamma is not that of all returns that are compared."""
    found = sorted(set(credit.discounts.values()))
    by_token = credit.token_discount
    for term in _terms(shaping):
        if not isinstance(term.form, Potential):
            continue
        if found == [term.form.gamma] and by_token == 1:
            continue
        yield (
            f"the potential {term.term!r} has gamma {term.form.gamma:g}, and {name_of(credit)} "
            f"{_discounts(found, by_token)}: it does not keep the optimum; "
            f"{_remedy(credit, found)}"
        )


def _discounts(found: list[float], by_token: float) -> str:
    """Say what an estimator discounts by."""
    if by_token != 1:
        return f"discounts from token to token, by {by_token:g}"
    return f"compares returns discounted by {' and '.join(f'{each:g}' for each in found)}"


def _remedy(credit: CreditConfig, found: list[float]) -> str:
    """Say which settings would keep the optimum."""
    if credit.token_discount != 1:
        return (
            f"no gamma of a potential does there: set credit.gamma to 1, and the gamma of the "
            f"potential to {found[0]:g}"
        )
    if len(found) == 1:
        return f"set the gamma of the potential to {found[0]:g}"
    if any(part.always_discounts for part in credit.parts()):
        return "no gamma of a potential does there: leave the base out, or let it discount likewise"
    keys = [f"credit.{key}" for key, each in credit.discounts.items() if each != 1]
    return f"set {' and '.join(['the gamma of the potential', *keys])} to 1"


def _terms(shaping: ShaperConfig) -> tuple[Term, ...]:
    shaping = shaping.as_terms() if isinstance(shaping, Preset) else shaping
    return shaping.terms if isinstance(shaping, Terms) else ()
