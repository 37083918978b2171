"""Credit by the statistics of tokens: which ones stand in the right rollouts of a group, and not in the wrong ones.

After KTAE (arXiv 2505.16826), with a formula of our own. For each token id v of a group with both kinds of rollouts:

               present  absent
    right         a      c - a       c right rollouts, w wrong ones; a rollout is right if its reward is above the
    wrong         b      w - b       mean of its group

    evidence_v    = (1 - p_v + I_v) / 2       p_v: Fisher's exact test, two-sided; I_v: information gain, as a share of
                                              the entropy of right and wrong
    association_v = evidence_v * (a / c - b / w)           in [-1, 1]; 1 if v alone tells right from wrong, in a group
                                                           so large that p_v vanishes
    weight_t      = 1 + gain * direction * association of its id       direction: +1 in a right rollout, -1 in a wrong

and weights are scaled to mean 1. So a right rollout credits the tokens that the wrong ones lack, and a wrong rollout is
blamed for the tokens that the right ones lack. Tokens count without their context: an id has one association in its
group, wherever it stands. No model is read, and neither are steps.

Three deviations from the paper: it adds its association to the advantage, here it divides the advantage of the rollout;
how often a token occurs in a rollout is not used; and no id is treated apart.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.checks import Share, expect_plausible
from interp.credit.base import Credit, RolloutBatch, normalize_weights

TIE = 1e-7
"""Tables whose probabilities differ by a smaller share are equally likely: they differ by rounding."""


@dataclass(frozen=True)
class KTAE:
    """Credit for the tokens that stand in the right rollouts of a group alone; blame for those of the wrong alone."""

    gain: Share = 0.9
    """Change in a token's weight if it alone tells right from wrong."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def __call__(self, batch: RolloutBatch) -> Credit:
        association_BL, right_B = token_associations(batch)
        direction_B1 = torch.where(right_B, 1.0, -1.0)[:, None]
        weights_BL = 1 + self.gain * direction_B1 * association_BL
        return Credit(torch.ones(len(batch.rollouts)), normalize_weights(weights_BL, batch.mask_BL))


def token_associations(batch: RolloutBatch) -> tuple[Float[Tensor, "B L"], Bool[Tensor, " B"]]:
    """The association of each token with the right rollouts of its group, 0 at padding and in groups of one kind; and
    which rollouts are right."""
    group, rewards_PG = batch.group, batch.rewards_B.double().view(-1, batch.group)
    right_PG = rewards_PG > rewards_PG.mean(1, keepdim=True)
    right_B = right_PG.flatten()
    ids_BL, present_BU = _presence(batch)
    present_PGU = present_BU.view(-1, group, present_BU.shape[1])
    n_right_P1 = right_PG.sum(1, keepdim=True)
    a_PU = (present_PGU & right_PG[..., None]).sum(1)
    b_PU = present_PGU.sum(1) - a_PU
    c_PU = n_right_P1.expand_as(a_PU)
    association_PU = associations(a_PU, b_PU, c_PU, group - c_PU).float()
    is_usable_P = rewards_PG.isfinite().all(1)
    association_PU = association_PU * is_usable_P[:, None]
    association_BL = association_PU.repeat_interleave(group, 0).gather(1, ids_BL)
    return association_BL * batch.mask_BL, right_B


def _presence(batch: RolloutBatch) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B U"]]:
    """Each token's id as an index among the ids of the batch, 0 at padding; and which ids a rollout holds."""
    if not bool(batch.mask_BL.any()):
        return batch.tokens_BL, torch.zeros(len(batch.tokens_BL), 1, dtype=torch.bool)
    distinct_U = batch.tokens_BL[batch.mask_BL].unique()
    ids_BL = torch.searchsorted(distinct_U, batch.tokens_BL).clamp(max=len(distinct_U) - 1) * batch.mask_BL
    present_BU = torch.zeros(len(ids_BL), len(distinct_U), dtype=torch.long)
    return ids_BL, present_BU.scatter_add_(1, ids_BL, batch.mask_BL.long()) > 0


def associations(
    a: Int[Tensor, "*N"], b: Int[Tensor, "*N"], c: Int[Tensor, "*N"], w: Int[Tensor, "*N"]
) -> Float[Tensor, "*N"]:
    """The association of a token that stands in `a` of `c` right rollouts and in `b` of `w` wrong ones. 0 where one
    kind is missing."""
    tables, index = torch.stack([a, b, c, w], -1).view(-1, 4).unique(dim=0, return_inverse=True)
    shape = a.shape
    a, b, c, w = tables.double().unbind(-1)
    evidence = (1 - fisher_p(a, b, c, w) + information_gain(a, b, c, w)) / 2
    difference = a / c.clamp(min=1) - b / w.clamp(min=1)
    association = torch.where((c > 0) & (w > 0), evidence * difference, 0.0)
    return association[index].view(shape)


def fisher_p(
    a: Float[Tensor, " N"], b: Float[Tensor, " N"], c: Float[Tensor, " N"], w: Float[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Two-sided p of Fisher's exact test: how likely a table is that is as unlikely as this one, or more."""
    present = a + b
    k_NK = torch.arange(int(c.max()) + 1, dtype=torch.float64).expand(len(c), -1)
    rest_NK = present[:, None] - k_NK
    is_possible_NK = (k_NK <= c[:, None]) & (rest_NK >= 0) & (rest_NK <= w[:, None])
    logp_NK = _log_choose(c[:, None], k_NK) + _log_choose(w[:, None], rest_NK) - _log_choose(c + w, present)[:, None]
    logp_NK = logp_NK.masked_fill(~is_possible_NK, -torch.inf)
    observed_N1 = logp_NK.gather(1, a.long()[:, None])
    return (logp_NK.exp() * (logp_NK <= observed_N1 + TIE)).sum(1).clamp(max=1)


def _log_choose(n: Float[Tensor, "*N"], k: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    k = k.clamp(min=0).minimum(n)
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def information_gain(
    a: Float[Tensor, " N"], b: Float[Tensor, " N"], c: Float[Tensor, " N"], w: Float[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """What presence says about right and wrong, as a share of their entropy; 0 where one kind is missing."""
    joint_N4 = torch.stack([a, b, c - a, w - b], -1)
    rows_N2, columns_N2 = torch.stack([a + b, c + w - a - b], -1), torch.stack([c, w], -1)
    n = (c + w)[:, None]
    entropy = _entropy(columns_N2 / n)
    gain = entropy + _entropy(rows_N2 / n) - _entropy(joint_N4 / n)
    return torch.where(entropy > 0, gain / entropy.clamp(min=1e-12), 0.0).clamp(0, 1)


def _entropy(p: Float[Tensor, "N K"]) -> Float[Tensor, " N"]:
    return -torch.special.xlogy(p, p).sum(-1)
