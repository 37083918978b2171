"""What latents with roles say of a batch: of each rollout, how near it is to their positives; of each token, what it
receives for them. The formulae are in `features.py`.

Credit by what a dictionary sees in a rollout: latents that have earned roles say what it is worth, and which of its
tokens.

A stand-in for what the literature names and does not write down (arXiv 2605.28388): the formulae are ours. The
dictionary is frozen and reads the policy as it is; f_jt is what latent j is at token t of a completion, and of each
latent it is known where it stood when it earned its role (high_j at its contrast's positives, low_j at the negatives,
s_j their pooled deviation) and by how much less likely its family's tokens are without it (u_j, in nats).

Gate. Of a family that tells what a whole answer is worth (shortcut, reasoning): how near is a rollout to its positives?

    e = sum_j a_j (mean_t f_jt - low_j) / sum_j a_j (high_j - low_j)        a_j = (high_j - low_j) / s_j^2

0 where its negatives stand in the mean and 1 where its positives do; half way, a rollout is as likely the one as the
other (of normal latents, each for itself: the sum is the log of the odds). The mean is over the tokens at which the
contrast of j is told (`features/grounds.py`): marker and answer for a shortcut; for reasoning the whole chain, where it
ends, or from the answer's announcement on. Where there are none of them, j counts as at its negatives: who writes no
chain has shown no reasoning. What a success keeps of its reward is

    gate = ramp(e_reasoning) (1 - ramp(e_shortcut))        ramp(e) = (e - shut) / (1 - shut), held between 0 and 1

It reaches 0 rather than nearing it: divided by its group's deviation, a lone success that keeps a hundredth of its
reward is taught as hard as one that keeps all. It asks for reasoning as well as for no shortcut: of lucky answers many
are written out and sloppy, and closed to answers at once alone, it would go on paying them. A family in which no latent
has earned its role is not asked for, and failures keep what they have.

Weights. How far from its negatives a latent is where its contrast is told, in its own deviations, each counting for
what it does. Where that is everywhere, it counts by how it changes:

    m_t = sum_j +-u_j x_jt / sum_j u_j           + reasoning, computation        - shortcut
    x_jt = (f_jt - low_j) / s_j                  told at marker and answer
    x_jt = (f_j,t-1 - low_j) / s_j               told at the token before the one it helps to write, a result say
    x_jt = (f_jt - f_j,t-1) / s_j                told everywhere; before the first token all is 0
    w_t = 1 + gain (2k - 1) z(m_t)               held between least and most, then scaled to mean 1

z is over the rollout's own tokens, so that its credit hangs on nothing it is batched with. k is the share a success
keeps, and 0 of a failure: what speaks for a token when the rollout is paid spares it when it is not, as the oracle has
it (`oracle.py`).

What it cannot know: whether a latent still means, in the policy that is being trained, what it meant in the one it was
tried in. It reads the live policy alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from interp.artifacts import BadInput, Mismatch
from interp.checks import expect_at_least, expect_between
from interp.credit.base import Credit, RolloutBatch, of_mean_one
from interp.credit.role_latents import (
    JUDGING,
    SIGNS,
    Bearer,
    Party,
    bearers_of,
    expect_own,
    expect_some,
    parties_of,
    stand_ins,
    warn_of_the_missing,
)
from interp.encoding.encoder import look
from interp.features.roles import Roles
from interp.policy.policy import Policy
from interp.tsae import TSAE

STILL = 1e-3
"""A rollout in which m varies less than this, in deviations of a latent, is weighed evenly."""


@dataclass(frozen=True)
class Reading:
    """Of one party. Its sums are zero beyond the end."""

    party: Party
    pushing_BL: Float[Tensor, "B L"]
    telling_BL: Float[Tensor, "B L"]
    told_BL: Bool[Tensor, "B L"]
    """The tokens at which it is told."""

    def above(self) -> Float[Tensor, " B"]:
        """How much more than at its negatives it tells, in the mean over those tokens; 0 where there are none."""
        counts_B = self.told_BL.sum(1)
        mean_B = (self.telling_BL * self.told_BL).sum(1) / counts_B.clamp(min=1)
        return torch.where(counts_B > 0, mean_B - self.party.low, 0.0)

    def received(self) -> Float[Tensor, "B L"]:
        """By the tokens that it speaks for, or against: those it helps to write, where it is told before them."""
        if self.party.ground.everywhere:
            return self.pushing_BL - before(self.pushing_BL)
        there_BL = (self.pushing_BL - self.party.foot) * self.told_BL
        return before(there_BL) if self.party.ground.next_roles else there_BL


def before(x_BL: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """Of the token before each; nothing before the first."""
    return pad(x_BL, (1, 0))[:, :-1]


def ramp(near_B: Float[Tensor, " B"], shut: float) -> Float[Tensor, " B"]:
    """0 up to `shut`, 1 from 1 on."""
    return ((near_B - shut) / (1 - shut)).clamp(0, 1)


def standard(x_BL: Float[Tensor, "B L"], mask_BL: Bool[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """In each rollout's own deviations from its own mean; zero where nothing varies."""
    counts_B1 = mask_BL.sum(1, keepdim=True).clamp(min=1)
    above_BL = (x_BL - (x_BL * mask_BL).sum(1, keepdim=True) / counts_B1) * mask_BL
    deviation_B1 = (above_BL**2).sum(1, keepdim=True).div(counts_B1).sqrt()
    return torch.where(deviation_B1 > STILL, above_BL / deviation_B1.clamp(min=STILL), 0.0)


MICRO_TOKENS = 1024
"""In one forward. Few, so that rows that are read together are of like length and little of it is padding."""


@dataclass(frozen=True, eq=False)
class FeatureCredit:
    tsae: TSAE
    roles: Roles
    gate: bool = True
    """Successes keep only a share of their reward. If not, all of it."""
    weights: bool = True
    """Tokens receive by what is told of them. If not, all the same."""
    gain: float = 0.5
    """Weight for each deviation of m."""
    least: float = 0.1
    """A token's weight, before weights are scaled to mean 1."""
    most: float = 3.0
    """The same."""
    shut: float = 0.5
    """How far from its negatives to its positives a family has to come to count at all."""
    permuted: int | None = None
    """The control, and its seed: in the place of each latent with a role, one that is alive and has none."""

    def __post_init__(self) -> None:
        expect_between(self, 0, 1, "least")
        expect_at_least(self, 1, "most")
        expect_at_least(self, 0, "gain")
        if not 0 <= self.shut < 1:
            raise BadInput(f"shut must be at least 0 and below 1; got {self.shut}")
        if not isinstance(self.tsae, TSAE) or not isinstance(self.roles, Roles):
            raise BadInput(
                "expected a dictionary and its roles, FeatureCredit(TSAE.load(...), Roles.load(...)); got "
                f"{type(self.tsae).__name__} and {type(self.roles).__name__}"
            )
        expect_own(self.tsae, self.roles)
        earned = bearers_of(self.roles)
        expect_some(earned, tuple(SIGNS) if self.weights else JUDGING)
        if self.gate:
            warn_of_the_missing(earned)
        _ = self.bearers  # a control without enough to draw from is refused now, not in the first batch

    @cached_property
    def bearers(self) -> Sequence[Bearer]:
        """Whom it reads: latents with a role, or who stands in for them."""
        earned = bearers_of(self.roles)
        return earned if self.permuted is None else stand_ins(self.roles, earned, self.permuted)

    def expect_base(self, base: Policy) -> None:
        """What is trained has to begin as the policy the roles were earned in."""
        if (found := base.fingerprint()) != (wanted := self.roles.made_from.get("policy")):
            raise Mismatch(
                f"these roles were earned in another policy: expected {wanted}, got {found}. Train that one, or earn "
                "roles in this one (interp roles)"
            )

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch) -> Credit:
        readings, paid_B = self._read(batch), batch.rewards_B > 0
        gate_B = torch.ones(len(batch.rows))
        if self.gate:
            gate_B = torch.where(paid_B, self._kept(readings, gate_B), gate_B)
        if not self.weights:
            return Credit(gate_B, batch.mask_BL.float())
        m_BL = torch.stack([reading.received() for reading in readings]).sum(0) / sum(b.nats for b in self.bearers)
        toward_B = 2 * torch.where(paid_B, gate_B, 0.0) - 1
        tilted_BL = 1 + self.gain * toward_B[:, None] * standard(m_BL, batch.mask_BL)
        return Credit(gate_B, of_mean_one(tilted_BL.clamp(self.least, self.most), batch.mask_BL))

    def _kept(self, readings: Sequence[Reading], kept_B: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        for family in JUDGING:
            mine = [reading for reading in readings if reading.party.family == family]
            if (apart := sum(reading.party.apart for reading in mine)) > 0:
                shown_B = ramp(torch.stack([reading.above() for reading in mine]).sum(0) / apart, self.shut)
                kept_B = kept_B * (shown_B if SIGNS[family] > 0 else 1 - shown_B)
        return kept_B

    def _read(self, batch: RolloutBatch) -> list[Reading]:
        policy = _expect_policy(batch, self.tsae)
        written, parts = [row for row in batch.rows if row.tokens], []
        known = {"micro_tokens": MICRO_TOKENS}
        for seen in look(policy, self._borne, self.roles.layer, written, **known) if written else ():
            codes = seen.codes
            added_KS = self._slopes_RS[codes.latent_K] * codes.value_K.float()[:, None]
            parts.append(torch.zeros(codes.tokens, added_KS.shape[1]).index_add_(0, codes.token_K, added_KS))
        sums_BLS = torch.zeros(*batch.mask_BL.shape, self._slopes_RS.shape[1])
        if parts:
            sums_BLS[batch.mask_BL] = torch.cat(parts)
        pushing, telling = (half.unbind(-1) for half in sums_BLS.chunk(2, -1))
        told = [batch.marked(lambda row, at=party.ground: at.told(row.roles)).bool() for party in self._parties]
        return [Reading(*read) for read in zip(self._parties, pushing, telling, told, strict=True)]

    @cached_property
    def _parties(self) -> list[Party]:
        return parties_of(self.bearers)

    @cached_property
    def _borne(self) -> TSAE:
        return self.tsae.only([bearer.latent for bearer in self.bearers])

    @cached_property
    def _slopes_RS(self) -> Float[Tensor, "R S"]:
        """What each bearer adds to what each party pushes, and to what each tells."""
        mine = torch.tensor([[bearer in party.bearers for party in self._parties] for bearer in self.bearers])
        pushing, telling = zip(*((bearer.pushing, bearer.telling) for bearer in self.bearers), strict=True)
        return torch.cat([mine * torch.tensor(counts)[:, None] for counts in (pushing, telling)], 1)


def _expect_policy(batch: RolloutBatch, tsae: TSAE) -> Policy:
    if batch.policy is None:
        raise BadInput("expected a batch that says which policy wrote it, to look inside: RolloutBatch.of(policy=)")
    if batch.policy.d_model != tsae.d_model:
        raise Mismatch(f"expected a policy of d_model {tsae.d_model}, as the dictionary's; got {batch.policy.d_model}")
    return batch.policy
