"""What can be told of a training from its settings: what cannot work, and what is doubtful.

Nothing here needs torch, so that it is told before anything is made.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentgym.errors import ConfigError
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
        ConfigError: the estimator needs a column that nothing fills in, or nothing is sampled.
    """
    check_columns(settings.credit)
    if settings.rollout.sampling.temperature == 0:
        raise ConfigError(
            "rollout.sampling.temperature is 0: a policy that never varies learns nothing",
            hint="set it to 1",
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
    return [*_lost_guarantees(settings.shaping, settings.credit), *settings.loss.doubts()]


def _lost_guarantees(shaping: ShaperConfig, credit: CreditConfig) -> Iterator[str]:
    """Tell of potentials whose gamma is not that of all returns that are compared."""
    discounts = sorted(credit.discounts)
    for term in _terms(shaping):
        if isinstance(term.form, Potential) and discounts != [term.form.gamma]:
            compared = " and ".join(f"{each:g}" for each in discounts)
            yield (
                f"the potential {term.term!r} has gamma {term.form.gamma:g}, and {name_of(credit)} "
                f"compares returns discounted by {compared}: it does not keep the optimum; "
                f"{_remedy(discounts)}"
            )


def _remedy(discounts: list[float]) -> str:
    if len(discounts) == 1:
        return f"set the gamma of the potential to {discounts[0]:g}"
    return "set the gamma of the potential and credit.gamma to 1"


def _terms(shaping: ShaperConfig) -> tuple[Term, ...]:
    shaping = shaping.as_terms() if isinstance(shaping, Preset) else shaping
    return shaping.terms if isinstance(shaping, Terms) else ()
