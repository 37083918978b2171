"""Config of the SAELens training class `contrastive_temporal`: flat, as SAELens keeps its configs."""

from dataclasses import dataclass
from typing import Annotated

from sae_lens.saes.matryoshka_batchtopk_sae import MatryoshkaBatchTopKTrainingSAEConfig
from typing_extensions import override

from interp.artifacts import BadInput
from interp.checks import CountOrZero, Positive, Range, Weight, expect_one_of, expect_plausible
from interp.tsae.config import REDUCTIONS, SIMILARITIES, Width
from interp.tsae.dictionary_files import ARCHITECTURE


@dataclass
class ContrastiveTemporalTrainingSAEConfig(MatryoshkaBatchTopKTrainingSAEConfig):
    """`matryoshka_widths` are the ends of the blocks, the slow block first. `TSAEConfig` explains the other fields."""

    block_weights: tuple[float, ...] = (1.0, 1.0)
    slow_k: Annotated[int, Range(1, 100_000)] | None = None
    revived: Width | None = None
    """Half of d_in if None, as in SAELens."""
    alpha: Weight = 1.0
    """Weight of the contrast in units of the loss: `TSAEConfig`'s alpha, times the variance if `alpha_in` says so."""
    alpha_warm_up_steps: CountOrZero = 0
    similarity: str = "cosine"
    temperature: Positive = 0.1
    reduction: str = "mean"
    same_sequence: bool = False
    together: Annotated[int, Range(2, 10**6)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_one_of(self, SIMILARITIES, "similarity")
        expect_one_of(self, REDUCTIONS, "reduction")
        expect_plausible(self, "slow_k", "revived", "alpha", "alpha_warm_up_steps", "temperature", "together")
        if self.slow_k is not None and self.slow_k >= self.k:
            raise BadInput(f"slow_k must be less than k ({self.k}); got {self.slow_k}")

    @property
    def n_slow(self) -> int:
        """Latents of the slow block."""
        return self.matryoshka_widths[0]

    @override
    @classmethod
    def architecture(cls) -> str:
        return ARCHITECTURE
