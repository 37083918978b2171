"""Credit by the latents that are active in a rollout: which share of its reward it keeps, and which tokens receive it.

A stand-in for what the literature names and does not write down (arXiv 2605.28388): the formulae are ours. The
dictionary is frozen and reads the policy that is being trained. f_jt is latent j at token t of a completion. From the
trial that earned its role come its mean activation at the contrast's positives and negatives (positive_j, negative_j),
their standard deviation s_j, and its effect u_j in nats (`interp.credit.role_latents`).

Gate. For each family that says what a whole answer is worth (reasoning, shortcut): how near is a rollout to its
positives?

    e = sum_j a_j (mean_t f_jt - negative_j) / sum_j a_j (positive_j - negative_j)
    a_j = (positive_j - negative_j) / s_j^2

e is 0 at the mean of the negatives and 1 at that of the positives; half way, both are equally likely (the sum is their
log-odds if latents are normal and independent). The mean is over the tokens of the contrast's selector. Where a rollout
has none, j counts as at its negatives: a rollout without a chain shows no reasoning. A success keeps this share of its
reward:

    gate = prod over families with sign +: ramp(e)  *  prod over families with sign -: 1 - ramp(e)
    ramp(e) = (e - threshold) / (1 - threshold), clipped to [0, 1]

The gate reaches 0: after division by the group's standard deviation, a lone success that kept a hundredth of its reward
would be reinforced as strongly as one that kept all. The gate requires reasoning as well as no shortcut, since many
lucky answers are written out and sloppy. A family without a role latent is not required. Failures keep their reward.

Weights. The effect of each latent above its negatives, at its selector's tokens; a latent of every token counts by how
it changes:

    m_t = sum_j sign_j u_j x_jt / sum_j u_j
    x_jt = (f_jt - negative_j) / s_j        selected by the token's own role
    x_jt = (f_j,t-1 - negative_j) / s_j     selected by the next token's role, which it helps to write and credits
    x_jt = (f_jt - f_j,t-1) / s_j           selected everywhere; 0 before the first token
    w_t = 1 + gain (2k - 1) z(m_t)          clipped to [min_weight, max_weight], then scaled to mean 1

z standardizes over the rollout's own tokens, so that its credit does not depend on its batch. k is the gate of a
success and 0 for a failure: the tokens that a success credits, a failure spares (as in `interp.credit.oracles`).

What this cannot know: whether a latent still means in the trained policy what it meant where its role was earned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from interp.artifacts import BadInput, Mismatch, same_fingerprint
from interp.checks import Range, Seed, Share, expect_plausible
from interp.credit.base import Credit, RolloutBatch, normalize_weights
from interp.credit.role_latents import (
    LatentGroup,
    RoleLatent,
    control_latents,
    credit_families,
    expect_role_latents,
    expect_same_dictionary,
    gate_families,
    group_latents,
    role_latents,
    warn_missing_families,
)
from interp.encoding.encode import encode_rollouts
from interp.features.families import role_family
from interp.features.roles import Roles
from interp.policy.policy import Policy
from interp.tsae import TSAE

MIN_STD = 1e-3
"""A rollout whose m_t varies less than this is weighted evenly."""
MICRO_TOKENS = 1024
"""Tokens of one forward pass. Few, so that rollouts in it have similar lengths and little of it is padding."""


@dataclass(frozen=True, eq=False)
class FeatureCredit:
    """Credit by the latents with a role: a gate on each success, and a weight for each token."""

    tsae: TSAE
    roles: Roles
    gate: bool = True
    """Successes keep only a share of their reward. If False, all of it."""
    weights: bool = True
    """Tokens are weighted by their latents. If False, evenly."""
    gain: Annotated[float, Range(0, 1000)] = 0.5
    """Change in a token's weight per standard deviation of m_t."""
    min_weight: Share = 0.1
    """Smallest weight of a token, before weights are scaled to mean 1."""
    max_weight: Annotated[float, Range(1, 10**6)] = 3.0
    """Largest weight of a token, before weights are scaled to mean 1."""
    gate_threshold: Annotated[float, Range(0, 1, without_high=True)] = 0.5
    """Evidence e up to which a family counts as absent."""
    control_seed: Seed | None = None
    """The control, and its seed: each latent with a role is replaced by a random one without."""

    def __post_init__(self) -> None:
        if not isinstance(self.tsae, TSAE) or not isinstance(self.roles, Roles):
            raise BadInput(
                "expected a dictionary and its roles, FeatureCredit(TSAE.load(...), Roles.load(...)); got "
                f"{type(self.tsae).__name__} and {type(self.roles).__name__}"
            )
        expect_plausible(self)
        expect_same_dictionary(self.tsae, self.roles)
        latents = role_latents(self.roles)
        expect_role_latents(self.roles, latents, credit_families() if self.weights else gate_families())
        if self.gate:
            warn_missing_families(latents)
        _ = self.latents  # a control with too few latents is refused now, not in the first batch

    @cached_property
    def latents(self) -> Sequence[RoleLatent]:
        """The latents that are read: those with a role, or those of the control."""
        latents = role_latents(self.roles)
        return latents if self.control_seed is None else control_latents(self.roles, latents, self.control_seed)

    def expect_base(self, base: Policy) -> None:
        """Refuse to train a policy other than the one that the roles were earned in."""
        actual, expected = base.fingerprint(), self.roles.made_from.get("policy")
        if not same_fingerprint(expected, actual):
            raise Mismatch(
                f"these roles were earned in another policy: expected {expected}, got {actual}. Train that policy, or "
                "earn roles in this one (interp roles)"
            )

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch) -> Credit:
        readouts, is_success_B = self._read(batch), batch.rewards_B > 0
        gate_B = torch.ones(len(batch.rollouts))
        if self.gate:
            gate_B = torch.where(is_success_B, self._gate(readouts, gate_B), gate_B)
        if not self.weights:
            return Credit(gate_B, batch.mask_BL.float())
        effect_BL = torch.stack([readout.token_effects() for readout in readouts]).sum(0)
        m_BL = effect_BL / sum(latent.effect for latent in self.latents)
        direction_B = 2 * torch.where(is_success_B, gate_B, 0.0) - 1
        weights_BL = 1 + self.gain * direction_B[:, None] * standardize(m_BL, batch.mask_BL)
        return Credit(gate_B, normalize_weights(weights_BL.clamp(self.min_weight, self.max_weight), batch.mask_BL))

    def _gate(self, readouts: "Sequence[GroupReadout]", gate_B: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        for family in gate_families():
            of_family = [readout for readout in readouts if readout.group.family == family]
            if (evidence_range := sum(readout.group.evidence_range for readout in of_family)) > 0:
                evidence_B = torch.stack([readout.evidence_above_baseline() for readout in of_family]).sum(0)
                open_B = ramp(evidence_B / evidence_range, self.gate_threshold)
                gate_B = gate_B * (open_B if role_family(family).credit_sign > 0 else 1 - open_B)
        return gate_B

    def _read(self, batch: RolloutBatch) -> "list[GroupReadout]":
        """What each group of latents says at every token, from the live policy."""
        effects, evidences = (half_BLG.unbind(-1) for half_BLG in self._weighted_sums(batch).chunk(2, -1))
        selected = [
            batch.per_token(lambda rollout, selector=group.selector: selector.mask(rollout.roles)).bool()
            for group in self._groups
        ]
        return [GroupReadout(*fields) for fields in zip(self._groups, effects, evidences, selected, strict=True)]

    def _weighted_sums(self, batch: RolloutBatch) -> Float[Tensor, "B L S"]:
        """The effect of each group at every token, then the evidence of each group; zero beyond the end."""
        policy, weights_RS = _expect_policy(batch, self.tsae), self._weights_RS
        sums_BLS = torch.zeros(*batch.mask_BL.shape, weights_RS.shape[1])
        rollouts = [rollout for rollout in batch.rollouts if rollout.tokens]
        if not rollouts:
            return sums_BLS
        sums = []
        for chunk in encode_rollouts(
            self._sub_dictionary, policy, self.roles.layer, rollouts, micro_tokens=MICRO_TOKENS
        ):
            codes = chunk.codes
            terms_KS = weights_RS[codes.latent_K] * codes.value_K.float()[:, None]
            sums.append(torch.zeros(codes.tokens, terms_KS.shape[1]).index_add_(0, codes.token_K, terms_KS))
        sums_BLS[batch.mask_BL] = torch.cat(sums)
        return sums_BLS

    @cached_property
    def _groups(self) -> list[LatentGroup]:
        return group_latents(self.latents)

    @cached_property
    def _sub_dictionary(self) -> TSAE:
        """The latents that are read, and no others."""
        return self.tsae.select_latents([latent.latent for latent in self.latents])

    @cached_property
    def _weights_RS(self) -> Float[Tensor, "R S"]:
        """Weight of each latent in the effect of each group, then in the evidence of each group."""
        belongs_RG = torch.tensor([[latent in group.latents for group in self._groups] for latent in self.latents])
        weights = (
            [latent.effect_weight for latent in self.latents],
            [latent.evidence_weight for latent in self.latents],
        )
        return torch.cat([belongs_RG * torch.tensor(weights_R)[:, None] for weights_R in weights], 1)


@dataclass(frozen=True)
class GroupReadout:
    """The weighted sums of one group of latents at every token; zero beyond the end."""

    group: LatentGroup
    effect_BL: Float[Tensor, "B L"]
    evidence_BL: Float[Tensor, "B L"]
    selected_BL: Bool[Tensor, "B L"]

    def evidence_above_baseline(self) -> Float[Tensor, " B"]:
        """Mean evidence over the selected tokens, less that at the negatives; 0 where no token is selected."""
        counts_B = self.selected_BL.sum(1)
        mean_B = (self.evidence_BL * self.selected_BL).sum(1) / counts_B.clamp(min=1)
        return torch.where(counts_B > 0, mean_B - self.group.baseline_evidence, 0.0)

    def token_effects(self) -> Float[Tensor, "B L"]:
        """Effect above the negatives, at the tokens that receive it."""
        selector = self.group.selector
        if selector.matches_all:
            return self.effect_BL - previous_token(self.effect_BL)
        effect_BL = (self.effect_BL - self.group.baseline_effect) * self.selected_BL
        return previous_token(effect_BL) if selector.next_roles else effect_BL


def previous_token(x_BL: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """The value at the token before each; 0 before the first."""
    return pad(x_BL, (1, 0))[:, :-1]


def ramp(evidence_B: Float[Tensor, " B"], threshold: float) -> Float[Tensor, " B"]:
    """0 up to the threshold, 1 from 1 on, and linear between."""
    return ((evidence_B - threshold) / (1 - threshold)).clamp(0, 1)


def standardize(x_BL: Float[Tensor, "B L"], mask_BL: Bool[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """Each rollout's values in standard deviations from their mean; 0 where they hardly vary."""
    counts_B1 = mask_BL.sum(1, keepdim=True).clamp(min=1)
    centered_BL = (x_BL - (x_BL * mask_BL).sum(1, keepdim=True) / counts_B1) * mask_BL
    std_B1 = (centered_BL**2).sum(1, keepdim=True).div(counts_B1).sqrt()
    return torch.where(std_B1 > MIN_STD, centered_BL / std_B1.clamp(min=MIN_STD), 0.0)


def _expect_policy(batch: RolloutBatch, tsae: TSAE) -> Policy:
    if batch.policy is None:
        raise BadInput(
            "expected a batch with the policy that sampled it, got none: RolloutBatch.from_rollouts(..., policy=policy)"
        )
    if batch.policy.d_model != tsae.d_model:
        raise Mismatch(f"expected a policy of d_model {tsae.d_model}, as the dictionary's; got {batch.policy.d_model}")
    return batch.policy
