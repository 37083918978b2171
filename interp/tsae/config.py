"""Config of a dictionary: its sizes, the contrast on its slow block, and its training.

A temporal sparse autoencoder (T-SAE, https://arxiv.org/abs/2511.05541) is a Matryoshka BatchTopK dictionary whose first
block is also trained to tell a token's neighbour from the tokens of other documents. The paper, its released code, and
ports of either differ in nearly every detail. So every detail is a field here, and the variants have names (`PRESETS`).
"""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated

from interp.artifacts import BadInput
from interp.checks import (
    Count,
    LearningRate,
    Positive,
    Range,
    Seed,
    Share,
    Tokens,
    Weight,
    expect_one_of,
    expect_plausible,
)
from interp.costs import expect_memory

SIMILARITIES, REDUCTIONS = ("cosine", "dot"), ("mean", "sum")
BYTES_PER_WEIGHT = 4
CODES = 8
"""Tables of the codes of a batch that a step holds at once, at most."""
Width = Annotated[int, Range(1, 10**7)]


@dataclass(frozen=True)
class ContrastConfig:
    """The contrastive term: symmetric InfoNCE over pairs of tokens, on the codes of the slow block."""

    alpha: Weight = 0.03
    """Weight of the term. 0 gives a plain Matryoshka dictionary."""
    alpha_in: str = "variance"
    """Unit of alpha: `variance` (of the activations, so that a value means the same on any layer and scale) or `loss`
    (added to the squared error as it is)."""
    alpha_warm_up: Share = 0.1
    """Share of the steps over which alpha rises from 0."""
    similarity: str = "cosine"
    """cosine or dot."""
    temperature: Positive = 0.1
    """Similarities are divided by it."""
    reduction: str = "mean"
    """How the two directions, partner from token and token from partner, are combined: mean or sum."""
    pairing: str = "prev"
    """A token's partner: `prev` (the token before), `window` (one of the `reach` before it) or `past` (any before)."""
    reach: Count = 24
    """Tokens that `window` goes back."""
    run: Annotated[int, Range(1, 10_000)] = 8
    """Consecutive tokens that enter a batch together, each encoded once and the partner of the next. 1: tokens enter
    alone, and each brings a partner that is encoded only for the contrast. Runs are better after equal time, and a
    little worse after equal steps."""
    same_sequence: bool = False
    """Whether other tokens of a token's own document are negatives."""
    together: Annotated[int, Range(2, 10**6)] | None = 256
    """Pairs in a group whose members are one another's negatives. None: all pairs of a batch, at quadratic cost."""
    partner_mask: str = "own"
    """Which tokens of a pair must be trained on: both (`own`), or only the anchor (`anchor`, as in the released
    code)."""
    shuffled: bool = False
    """Control: partners are permuted at random, so that the contrast has nothing temporal."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        expect_one_of(self, ("variance", "loss"), "alpha_in")
        expect_one_of(self, SIMILARITIES, "similarity")
        expect_one_of(self, REDUCTIONS, "reduction")
        expect_one_of(self, ("prev", "window", "past"), "pairing")
        expect_one_of(self, ("own", "anchor"), "partner_mask")
        if self.run > 1 and self.partner_mask == "anchor":
            raise BadInput(
                f"expected run=1 with partner_mask=anchor, got {self.run}: all tokens of a longer run are trained on"
            )
        if self.run > 1 and self.pairing != "prev":
            raise BadInput(
                f"expected run=1 with pairing={self.pairing}, got {self.run}: in a longer run the partner is the token "
                "before (pairing=prev)"
            )


@dataclass(frozen=True)
class TrainingConfig:
    """Optimization, data and checkpoints of a fit."""

    steps: Count | None = None
    """Steps of one batch each. Chosen by the width if None."""
    batch: Annotated[int, Range(1, 10**6)] = 1024
    """Tokens reconstructed in a step."""
    lr: LearningRate | None = None
    """Learning rate of Adam. Chosen by the width if None."""
    warm_up: Share = 0.05
    """Share of the steps over which the learning rate rises from 0."""
    decay: Share = 0.3
    """Share of the steps, at the end, over which it falls to 0."""
    clip: Positive = 1.0
    """Maximum norm of the gradient."""
    dead_after: Tokens = 256_000
    """Tokens without firing after which a latent is dead, and is revived."""
    seed: Seed = 0
    """Seed of the initial weights and of the order of tokens."""
    prompts: bool = False
    """Train on tokens of prompts too, not only of completions."""
    skip_first: Count | None = None
    """First tokens of each document that are neither trained nor measured on. Many pretrained models give the very
    first token a norm far above all others (1 leaves it out), which matters with `prompts`. Default: none."""
    pool_gb: Annotated[float, Range(0, 10_000, without_low=True)] = 0.5
    """Activations held in memory at once, to be shuffled: parts of every shard."""
    save_every: Count = 1000
    """Steps between two saves of the training state, to resume from."""

    def __post_init__(self) -> None:
        expect_plausible(self)


@dataclass(frozen=True)
class TSAEConfig:
    """Sizes, losses and training of a dictionary."""

    width: Width | None = None
    """Number of latents. 16 times d_model if None."""
    k: Annotated[int, Range(1, 100_000)] | None = None
    """Active latents a token, on average. Chosen by d_model if None."""
    blocks: tuple[Share, ...] = (0.2, 0.8)
    """Shares of the width, the slow block first. A single block gives a plain BatchTopK dictionary."""
    block_weights: tuple[Weight, ...] = (0.3, 1.0)
    """Weights of the squared errors of the first block alone, of the first two together, and so on."""
    slow_k: Annotated[int, Range(0, 100_000)] | None = None
    """Active latents reserved for the slow block. If None, all latents compete for the same `k`."""
    promote_every: Count | None = 25
    """Steps between two promotions of the most persistent latents into the slow block. None: no promotion."""
    scale: str = "rms"
    """`rms`: activations are scaled to a mean norm of sqrt(d_model) for training, and the scale is folded into the
    weights afterwards. `none`: no scaling."""
    revival: Weight = 1.0
    """Weight of the loss by which dead latents learn the residual error of the others."""
    revived: Width | None = None
    """Dead latents that take part in that loss at a token, those nearest to firing. If None, half of d_model as in
    SAELens, but at most max(2 k, 64): with a wide dictionary more would take half of the step's time."""
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        expect_plausible(self)
        expect_one_of(self, ("rms", "none"), "scale")
        shares = self.blocks
        if not shares or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise BadInput(f"blocks must be positive shares that sum to 1; got {shares}")
        if len(self.block_weights) != len(shares) or min(self.block_weights) < 0 or self.block_weights[-1] == 0:
            raise BadInput(
                f"block_weights must be one for each of {len(shares)} blocks, none negative and the last above 0; "
                f"got {self.block_weights}"
            )
        if self.promote_every and self.contrast.run == 1 and not self.contrast.alpha:
            raise BadInput(
                "promotion needs pairs of tokens: expected run above 1, alpha above 0, or promote_every=None"
            )
        if self.slow_k is not None and len(shares) == 1:
            raise BadInput(f"slow_k needs two blocks or more; got one block and slow_k {self.slow_k}: set slow_k=None")
        if self.contrast.alpha and len(shares) == 1:
            raise BadInput("a contrast needs a slow block: expected two blocks or more, or alpha=0; got one block")

    def resolved(self, d_model: int) -> "TSAEConfig":
        """The config for activations of this dimension, with every None chosen. What does not fit is refused."""
        width = 16 * d_model if self.width is None else self.width
        k = max(16, round(math.sqrt(2 * d_model))) if self.k is None else self.k
        steps = self.training.steps or round(4000 * max(1.0, width / 1024) ** 0.25)
        lr = self.training.lr or 2e-3 * (1024 / width) ** 0.5
        revived = self.revived or max(1, min(d_model // 2, max(64, 2 * k)))
        config = replace(self, width=width, k=k, revived=revived, training=replace(self.training, steps=steps, lr=lr))
        config._expect_fit(d_model)
        return config

    def _expect_fit(self, d_model: int) -> None:
        assert self.width is not None and self.k is not None
        if self.width < d_model:
            raise BadInput(
                f"a dictionary must be at least as wide as d_model ({d_model}); got width {self.width}: use a greater "
                "width, or leave it out for 16 times d_model"
            )
        if min(self.block_widths()) < 1:
            raise BadInput(f"each block must have at least one latent; got {self.block_widths()}: use a greater width")
        slow = self.block_widths()[0]
        if not 1 <= self.k <= slow:
            raise BadInput(
                f"k must lie between 1 and the {slow} latents of the slow block; got {self.k}: "
                "use a greater width, or a smaller k"
            )
        if self.slow_k is not None and not 1 <= self.slow_k < self.k:
            raise BadInput(f"slow_k must lie between 1 and {self.k - 1}, less than k; got {self.slow_k}")
        weights = 2 * self.width * d_model
        expect_memory(
            f"{self.width:,} latents of {d_model:,} dimensions",
            "use a smaller width",
            at_least=4 * BYTES_PER_WEIGHT * weights,
            up_to=4 * BYTES_PER_WEIGHT * weights + CODES * 4 * self.width * self.training.batch,
        )

    def block_widths(self) -> tuple[int, ...]:
        """Number of latents of each block, of a resolved config."""
        assert self.width is not None, "the config is resolved"
        ends = [round(self.width * sum(self.blocks[: n + 1])) for n in range(len(self.blocks))]
        return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))


EVEN = (1.0, 1.0)
PRESETS = {
    "interp": TSAEConfig(),
    "paper": TSAEConfig(
        block_weights=EVEN, promote_every=None, scale="none",
        contrast=ContrastConfig(
            alpha=1.0, alpha_in="loss", alpha_warm_up=0.0, temperature=1.0, reduction="sum", run=1,
            same_sequence=True, together=None,
        ),
    ),
    "released": TSAEConfig(
        block_weights=(0.1, 0.4), promote_every=None, scale="none",
        contrast=ContrastConfig(
            alpha=0.1, alpha_in="loss", alpha_warm_up=0.0, similarity="dot", temperature=1.0, pairing="past", run=1,
            same_sequence=True, together=None, partner_mask="anchor",
        ),
    ),
    "matryoshka": TSAEConfig(block_weights=EVEN, promote_every=None, contrast=ContrastConfig(alpha=0.0)),
    "matryoshka-weighted": TSAEConfig(promote_every=None, contrast=ContrastConfig(alpha=0.0)),
    "batchtopk": TSAEConfig(
        blocks=(1.0,), block_weights=(1.0,), promote_every=None, contrast=ContrastConfig(alpha=0.0)
    ),
    "shuffled": TSAEConfig(contrast=ContrastConfig(shuffled=True)),
    "contrast-only": TSAEConfig(promote_every=None),
    "promotion-only": TSAEConfig(contrast=ContrastConfig(alpha=0.0)),
}  # fmt: skip
"""`interp` is ours, `paper` follows the text of the paper, `released` its code. The others are controls: `matryoshka`
has no contrast; `batchtopk` has no blocks either; `matryoshka-weighted` is `interp` without contrast and promotion;
`shuffled` contrasts unrelated tokens; `contrast-only` and `promotion-only` are the two halves of `interp`."""


def preset(name: str) -> TSAEConfig:
    """The config of a named variant (`PRESETS`)."""
    if name not in PRESETS:
        raise BadInput(f"expected one of the presets {', '.join(PRESETS)}; got {name!r}")
    return PRESETS[name]
