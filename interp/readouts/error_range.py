"""Whether a dictionary explains what is read of a text as well as it explains the base's own texts.

    error of a text = mean over the tokens that are read of |x - xhat|^2 / |x|^2          xhat: the reconstruction of x

What a dictionary does not explain, its latents do not say. Training may find texts whose residuals leave the span of
the latents, and a readout of latents would go on as if nothing had happened. A text is inside if its error is at most
the 99th percentile of those of the base. Nothing but the limit is fitted here, so no texts are held out; give texts
that the dictionary was not fitted on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Layer as LayerNumber
from interp.features.families import TokenSelector
from interp.policy.policy import Policy
from interp.policy.residual import Layer
from interp.readouts.columns import Columns, Origin, read_columns
from interp.readouts.reading import ENTRIES, Place, Reading
from interp.readouts.sources import BEFORE_MARKER, Latents
from interp.readouts.text_range import MIN_TEXTS, QUANTILE
from interp.rollouts.record import Rollout
from interp.tsae import TSAE


@dataclass(frozen=True, eq=False)
class DictionaryError:
    """The share of a residual's square that a dictionary leaves unexplained, a mean over the selected tokens."""

    tsae: TSAE
    layer: LayerNumber
    selector: TokenSelector = BEFORE_MARKER
    name: str = "dictionary error"
    needs_logprobs: bool = False

    def __post_init__(self) -> None:
        Latents(self.tsae, self.layer)  # refuses a layer that is not the dictionary's

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.tsae.at(self.layer),)

    @property
    def places(self) -> tuple[Place, ...]:
        return (Place(self.tsae.at(self.layer), self.selector),)

    def expect_reader(self, reader: Policy) -> None:
        Latents(self.tsae, self.layer).expect_reader(reader)

    def columns(self, reading: Reading) -> Float[Tensor, "B 1"]:
        x_SD, rollout_S = reading.residuals_at(self.tsae.at(self.layer), self.selector)
        at_once = max(1, ENTRIES // self.tsae.width)
        error_S = torch.cat([self._errors(x_nD) for x_nD in x_SD.split(at_once)])
        return reading.mean_of(error_S[:, None], rollout_S)

    def _errors(self, x_SD: Float[Tensor, "S D"]) -> Float[Tensor, " S"]:
        x_SD = x_SD.to(self.tsae.W_enc)
        rest_SD = (x_SD - self.tsae.reconstruct(x_SD)).float()
        return (rest_SD.square().sum(1) / x_SD.float().square().sum(1).clamp(min=torch.finfo().tiny)).cpu()


@dataclass(frozen=True, eq=False)
class ErrorRange:
    """The texts that a dictionary explains as well as the base's own."""

    source: DictionaryError
    limit: float
    """Largest error of a text inside."""
    origin: Origin
    """The base and the texts that set the limit."""

    @classmethod
    def fit(
        cls,
        tsae: TSAE,
        layer: int,
        base: Policy,
        rollouts: Sequence[Rollout],
        *,
        selector: TokenSelector = BEFORE_MARKER,
    ) -> "ErrorRange":
        """The range of a dictionary on some rollouts of the base."""
        source = DictionaryError(tsae, layer, selector)
        source.expect_reader(base)
        columns = read_columns([source], base, rollouts)
        error_B = columns.x_BF[columns.is_readable_B, 0]
        if len(error_B) < MIN_TEXTS:
            raise BadInput(f"expected at least {MIN_TEXTS} texts of the base that can be read, got {len(error_B)}")
        return cls(source, float(error_B.quantile(QUANTILE)), Origin.of([source], base, rollouts))

    def fingerprint(self) -> str:
        """What decides it: the dictionary, the base and the texts."""
        return self.origin.fingerprint()

    def expect_reader(self, base: Policy) -> None:
        """Refuse another base, or one that the dictionary does not read."""
        self.origin.expect_reader(base.fingerprint(), of="a range of errors")
        self.source.expect_reader(base)

    def contains(self, columns: Columns) -> Bool[Tensor, " B"]:
        """Which texts lie inside, from what `source` reads in them. One that cannot be read does not."""
        return columns.x_BF[:, 0] <= self.limit
