"""How well a few numbers, and all, tell valid successes of a base from lucky ones: of the residual, of latents, and of
as many random directions. They are chosen and fitted on the same labels, and measured on other answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interp.studies.credit_measures import mean_or_none
from interp.studies.credit_runs import FEATURES, LIKELIHOOD, RANDOM_LATENTS, RESIDUAL, Training, sources_of
from interp.studies.credit_world import World

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from interp.policy import Policy
    from interp.readouts import Labels
    from interp.rollouts import Rollout
    from interp.studies.truth import TruthConfig

COUNTS = (1, 2, 4, 8, 16, 32)
LATENTS, RANDOM_DIRECTIONS = "latents", "random latents"
READ = {"residual": RESIDUAL, LATENTS: FEATURES, RANDOM_DIRECTIONS: RANDOM_LATENTS}
"""What is read, each by the scheme that reads it beside the likelihood."""
ALONE, BESIDE = "AUROC alone", "AUROC beside the likelihood"


def name_of(read: str, count: int | None) -> str:
    """The arm of the best `count` columns of what is read; None for all."""
    return read if count is None else f"best {count} of {read}"


NAMES = (LIKELIHOOD, *(name_of(read, count) for read in READ for count in (*COUNTS, None)))


@dataclass(frozen=True)
class Question:
    """Labels of answers to fit on, and of others to measure: the first source is the likelihood, the second another."""

    fitted_on: "Labels"
    measured_on: "Labels"
    ridge: float
    beside: bool
    """Whether the likelihood is read too."""

    def choose(self, n: int) -> list[int]:
        from interp.readouts import choose_columns

        beside_AG, x_AF = self._parts(self.fitted_on)
        return choose_columns(x_AF, self.fitted_on.is_valid_A, n, beside_BG=beside_AG, ridge=self.ridge)

    def auroc(self, columns: Sequence[int] | slice) -> float:
        """Of a regression on these columns of the second source."""
        import torch

        from interp.readouts import fit_beside
        from interp.stats import auroc

        beside_AG, x_AF = self._parts(self.fitted_on)
        beside_BG, x_BF = self._parts(self.measured_on)
        fit = fit_beside(x_AF[:, columns], beside_AG, self.fitted_on.is_valid_A, self.ridge)
        score_B = fit.log_odds(torch.cat([beside_BG, x_BF[:, columns]], 1))
        return auroc(score_B.numpy(), self.measured_on.is_valid_A.numpy())

    def _parts(self, labels: "Labels") -> "tuple[Float[Tensor, 'A G'], Float[Tensor, 'A F']]":
        likelihood, own = (part.x_BF for part in labels.columns.split(1))
        return likelihood if self.beside else likelihood[:, :0], own


def measure_columns(
    world: World, base: "Policy", rows: "Sequence[Rollout]", config: "TruthConfig"
) -> dict[str, dict[str, float | None]]:
    """The AUROC of valid among successes, by what is read and how much of it. Means over dictionaries. None where all
    successes are of one kind."""
    from interp.readouts import label_rollouts

    successes = [row for row in rows if row.reward > 0]
    measured: dict[str, dict[str, list[float | None]]] = {}
    for read, scheme in READ.items():
        for number in range(1 if scheme == RESIDUAL else config.dictionaries):
            sources = sources_of(Training(scheme, "", number, number), world, base)
            labels = [label_rollouts(sources, base, one) for one in (world.labelled_answers(), successes)]
            for key in (ALONE, BESIDE):
                question = Question(labels[0], labels[1], config.ridge, key == BESIDE)
                for name, value in _aurocs(question, read).items():
                    measured.setdefault(name, {}).setdefault(key, []).append(None if math.isnan(value) else value)
    return {name: {key: mean_or_none(values) for key, values in one.items()} for name, one in measured.items()}


def _aurocs(question: Question, read: str) -> dict[str, float]:
    """By the likelihood alone, if it is read, by the best columns of the other source, and by all of them."""
    best = question.choose(max(COUNTS))
    likelihood = {LIKELIHOOD: question.auroc([])} if question.beside else {}
    few = {name_of(read, count): question.auroc(best[:count]) for count in COUNTS}
    return {**likelihood, **few, name_of(read, None): question.auroc(slice(None))}
