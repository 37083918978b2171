"""What a dictionary is, what its slow block is taught, and how it is trained: every choice is a field.

A temporal sparse autoencoder (arXiv 2511.05541) is a Matryoshka BatchTopK dictionary whose first block also has to
tell a token's neighbour from the tokens of other documents. The paper, the code released with it, and ports of either
differ in nearly every detail, so the detail is what is configured here, and the variants have names (`PRESETS`).
"""

import math
from dataclasses import dataclass, field, replace

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_between, expect_one_of, expect_positive

SIMILARITIES, REDUCTIONS = ("cosine", "dot"), ("mean", "sum")


@dataclass(frozen=True)
class ContrastConfig:
    """The contrastive term: symmetric InfoNCE over pairs of tokens, on the codes of the slow block."""

    alpha: float = 0.03
    """Its weight. 0 leaves exactly a Matryoshka dictionary."""
    alpha_in: str = "variance"
    """What alpha is counted in: `variance` (of the activations, so that it means the same on any layer and scale) or
    `loss` (added to the squared error as it is)."""
    alpha_warm_up: float = 0.1
    """The share of all steps over which alpha grows from 0."""
    similarity: str = "cosine"
    """cosine or dot."""
    temperature: float = 0.1
    reduction: str = "mean"
    """Of the two directions, neighbour from token and token from neighbour: mean or sum."""
    pairing: str = "prev"
    """A token's partner: `prev` (the one before), `window` (any of the `reach` before) or `past` (any before)."""
    reach: int = 24
    """How far back `window` goes."""
    run: int = 8
    """How many consecutive tokens enter a batch together, each encoded once and partner of the next. 1: tokens enter
    alone, and each brings a partner that is encoded for the contrast only. A batch of runs says less than one of lone
    tokens, but takes less time: it is ahead after as long a time, and a little behind after as many steps."""
    same_sequence: bool = False
    """Whether other tokens of a token's own document are among its negatives."""
    together: int | None = 256
    """How many pairs are one another's negatives. None: all of a batch, at a cost that grows with their square."""
    partner_mask: str = "own"
    """Who must be of the tokens trained on for a pair to count: the partner too (`own`), or only the token whose
    partner it is (`anchor`, as in the released code)."""
    shuffled: bool = False
    """Control: partners are dealt out at random, so that there is a contrastive term but nothing temporal in it."""

    def __post_init__(self) -> None:
        expect_one_of(self, ("variance", "loss"), "alpha_in")
        expect_one_of(self, SIMILARITIES, "similarity")
        expect_one_of(self, REDUCTIONS, "reduction")
        expect_one_of(self, ("prev", "window", "past"), "pairing")
        expect_one_of(self, ("own", "anchor"), "partner_mask")
        expect_at_least(self, 0, "alpha")
        expect_between(self, 0, 1, "alpha_warm_up")
        expect_positive(self, "temperature")
        expect_at_least(self, 2, "together")
        expect_at_least(self, 1, "reach", "run")
        if self.run > 1 and self.partner_mask == "anchor":
            raise BadInput(
                f"all tokens of a run are trained on: expected run=1 with partner_mask=anchor, got {self.run}"
            )
        if self.run > 1 and self.pairing != "prev":
            raise BadInput(f"only the pairs of pairing=prev lie side by side: expected run=1, got {self.run}")


@dataclass(frozen=True)
class TrainingConfig:
    steps: int | None = None
    """How many, of one batch each. Chosen by the width if not given."""
    batch: int = 1024
    """Tokens that are reconstructed in a step."""
    lr: float | None = None
    """Chosen by the width if not given."""
    warm_up: float = 0.05
    """The share of all steps over which the learning rate grows from 0."""
    decay: float = 0.3
    """The share over which it falls to 0 at the end."""
    clip: float = 1.0
    """The largest norm of a gradient."""
    dead_after: int = 256_000
    """Tokens after which a latent that has not fired counts as dead and is revived."""
    seed: int = 0
    prompts: bool = False
    """Train on the tokens of prompts too, not only on what was written."""
    pool_gb: float = 0.5
    """Activations held in memory at once, to be shuffled: parts of every shard."""
    save_every: int = 1000
    """Steps after which the state is saved, to go on from."""

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "steps", "batch", "dead_after", "save_every")
        expect_positive(self, "lr", "clip", "pool_gb")
        expect_between(self, 0, 1, "warm_up", "decay")


@dataclass(frozen=True)
class TSAEConfig:
    width: int | None = None
    """Latents. 16 to a dimension if not given."""
    k: int | None = None
    """Active latents a token, in the mean. Chosen by the dimension if not given."""
    blocks: tuple[float, ...] = (0.2, 0.8)
    """Shares of the width, the slow block first. One block alone makes an ordinary BatchTopK dictionary."""
    block_weights: tuple[float, ...] = (0.3, 1.0)
    """Of the squared errors of the first block alone, of the first two together, and so on."""
    slow_k: int | None = None
    """Active latents reserved to the slow block. If not given, all latents compete for the same `k`."""
    promote_every: int | None = 25
    """Steps after which, again and again, the most persistent latents are moved into the slow block. None: never."""
    scale: str = "rms"
    """`rms`: activations are scaled to a mean norm of sqrt(d_model) for training, and the weights scaled back.
    `none`: they are taken as they are."""
    revival: float = 1.0
    """Weight of the loss that lets dead latents learn what the others leave unexplained."""
    revived: int | None = None
    """How many of the dead share in that at a token: those nearest to firing. If not given, half as many as dimensions,
    as in SAELens, but no more than 2 k or 64, whichever is more: of a wide dictionary they would take half a step."""
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        expect_one_of(self, ("rms", "none"), "scale")
        expect_at_least(self, 1, "width", "k", "revived", "promote_every")
        expect_at_least(self, 0, "revival", "slow_k")
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
                "promotion goes by pairs of tokens: expected run above 1, alpha above 0, or promote_every=None"
            )
        if self.slow_k is not None and len(shares) == 1:
            raise BadInput(
                f"slow_k is for a slow block among others: expected two blocks or more, got one and {self.slow_k}"
            )
        if self.contrast.alpha and len(shares) == 1:
            raise BadInput("a contrast needs a slow block: expected two blocks or more, or alpha=0; got one block")

    def resolved(self, d_model: int) -> "TSAEConfig":
        """With a number in every place, for activations of this dimension. Whatever does not fit is refused."""
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
                f"a dictionary must be at least as wide as d_model ({d_model}); got width {self.width}: ask for more, "
                "or leave it out for 16 to a dimension"
            )
        if min(self.block_widths()) < 1:
            raise BadInput(f"each block must have a latent at least; got {self.block_widths()}")
        slow = self.block_widths()[0]
        if not 1 <= self.k <= slow:
            raise BadInput(
                f"k must lie between 1 and the {slow} latents of the slow block; got {self.k}: "
                "ask for a greater width, or for a smaller k"
            )
        if self.slow_k is not None and not 1 <= self.slow_k < self.k:
            raise BadInput(f"slow_k must lie between 1 and {self.k - 1}, less than k; got {self.slow_k}")

    def block_widths(self) -> tuple[int, ...]:
        """How many latents each block has."""
        assert self.width is not None, "of a config that is resolved"
        ends = [round(self.width * sum(self.blocks[: at + 1])) for at in range(len(self.blocks))]
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
"""`interp`: ours. `paper`: as the text says. `released`: as the authors' code does. The others are controls:
`matryoshka` and `batchtopk` have no contrast, and the latter no blocks; `matryoshka-weighted` weighs its blocks as ours
does, and is all that ours is without contrast and promotion; `shuffled` has a contrast between tokens that
have nothing to do with one another; `contrast-only` and `promotion-only` have one half of ours each."""


def preset(name: str) -> TSAEConfig:
    if name not in PRESETS:
        raise BadInput(f"expected one of the presets {', '.join(PRESETS)}; got {name!r}")
    return PRESETS[name]
