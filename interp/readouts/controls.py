"""Sources with what they claim to read taken away, and nothing else.

random_latents      random directions in place of the latents, each as often active where it is read
random_intention    the same for an intention, with a lens of its own
residual_intention  the same of the residual itself, of which a dictionary keeps a part
Permuted            the numbers of another rollout, drawn at random among those that are read with it
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Seed
from interp.policy.policy import Policy
from interp.policy.residual import Layer
from interp.policy.site import RESID_POST
from interp.readouts.intention import Intention
from interp.readouts.reading import Place, Reading, read_rollouts
from interp.readouts.sources import Latents, Source, places_of
from interp.rollouts.record import Rollout
from interp.tasks.base import hash_of
from interp.tsae import TSAE

MIN_TOKENS = 30
ENTRIES = 2**26
"""Codes computed at once: those of all tokens of long texts would fill the memory."""


def random_dictionary(tsae: TSAE, x_ND: Float[Tensor, "N D"], seed: int) -> TSAE:
    """A dictionary of random directions. Its latents have the norms of the given ones, and are active as often on the
    residuals `x_ND`."""
    if len(x_ND) < MIN_TOKENS:
        raise BadInput(
            f"expected residuals of at least {MIN_TOKENS} tokens, to match how often latents are active, got "
            f"{len(x_ND)}: use more rollouts"
        )
    generator = torch.Generator().manual_seed(seed)
    directions_DF = torch.randn(tsae.W_enc.shape, generator=generator).to(tsae.W_enc)
    directions_DF /= directions_DF.norm(dim=0, keepdim=True)
    decoder_FD = directions_DF.T * tsae.W_dec.norm(dim=1, keepdim=True)
    other = replace(tsae, W_enc=directions_DF * tsae.W_enc.norm(dim=0, keepdim=True), W_dec=decoder_FD)
    if tsae.form.top_k is not None:
        return other
    latents_at_once = max(1, ENTRIES // len(x_ND))
    pairs = [(tsae, other)]
    if latents_at_once < tsae.width:
        parts = torch.arange(tsae.width).split(latents_at_once)
        pairs = [(tsae.select_latents(part.tolist()), other.select_latents(part.tolist())) for part in parts]
    threshold_F = torch.cat([_threshold_as_often_active(of, as_often_as, x_ND) for as_often_as, of in pairs])
    # a code is positive: shift what is active above zero
    return replace(other, b_enc=other.b_enc - threshold_F, threshold=torch.zeros_like(threshold_F))


def random_latents(source: Latents, base: Policy, rollouts: Sequence[Rollout], seed: int) -> Latents:
    """The source with random directions in place of its latents, each as often active at the tokens that it reads."""
    reading = read_rollouts(base, rollouts, places_of(source), logprobs=False)
    x_SD, _ = reading.residuals_at(source.tsae.at(source.layer), source.selector)
    return replace(source, tsae=random_dictionary(source.tsae, x_SD, seed))


def random_intention(source: Intention, base: Policy, rollouts: Sequence[Rollout], seed: int) -> Intention:
    """The intention that random directions have, with a lens of their own, fitted on these rollouts."""
    place = source.places[0]
    x_SD, _ = read_rollouts(base, rollouts, [place], logprobs=False).residuals_at(*place)
    other = random_dictionary(source.tsae, x_SD, seed)
    return Intention.fit(other, source.layer, base, rollouts, roles=source.roles)


def residual_dictionary(d_model: int, layer: int | None = None, site: str | None = RESID_POST) -> TSAE:
    """A dictionary that loses nothing: its codes are the positive and the negative part of each coordinate."""
    both_DF, zeros_F = torch.cat([torch.eye(d_model), -torch.eye(d_model)], 1), torch.zeros(2 * d_model)
    return TSAE(
        both_DF, zeros_F, both_DF.T.contiguous(), torch.zeros(d_model), zeros_F, (2 * d_model,), layer=layer, site=site
    )


def residual_intention(source: Intention, base: Policy, rollouts: Sequence[Rollout]) -> Intention:
    """The intention that the residual has, with a lens of its own, fitted on these rollouts."""
    whole = residual_dictionary(base.d_model, source.tsae.layer, source.tsae.site)
    return Intention.fit(whole, source.layer, base, rollouts, roles=source.roles)


def _threshold_as_often_active(tsae: TSAE, as_often_as: TSAE, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, " F"]:
    """The thresholds with which latents are active on as many tokens as those of another dictionary: the largest value
    that is not to be active; with none to be left out, a threshold below all."""
    share_F = (as_often_as.encode(x_ND) > 0).double().mean(0)
    ordered_NF = tsae.pre_activations(x_ND).sort(0, descending=True).values
    rank_F = (share_F * len(x_ND)).round().long()
    below_F = ordered_NF[-1] - 1
    return torch.where(rank_F < len(x_ND), ordered_NF.gather(0, rank_F.clamp(max=len(x_ND) - 1)[None])[0], below_F)


@dataclass(frozen=True, eq=False)
class Permuted:
    """Each rollout has the numbers of another one of the same reading. One that is read alone has none."""

    source: Source
    seed: Seed = 0

    @property
    def name(self) -> str:
        return f"permuted {self.source.name}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.source.layers

    @property
    def places(self) -> tuple[Place, ...]:
        return places_of(self.source)

    @property
    def needs_logprobs(self) -> bool:
        return self.source.needs_logprobs

    def expect_reader(self, reader: Policy) -> None:
        self.source.expect_reader(reader)

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        x_BF = self.source.columns(reading)
        if len(x_BF) < 2:
            return torch.full_like(x_BF, torch.nan)
        first = reading.rollouts[0]
        return x_BF[others(len(x_BF), "permuted", self.seed, first.run, first.step, first.problem)]


def others(n: int, *key: object) -> Int[Tensor, " n"]:
    """For each of `n` things another one, drawn at random: along one circle, so that none stands for itself, and each
    stands for one. A thing that is alone stands for itself."""
    generator = torch.Generator().manual_seed(hash_of(*key, n) % 2**63)
    circle_n = torch.randperm(n, generator=generator)
    return torch.empty_like(circle_n).index_copy(0, circle_n, circle_n.roll(1))
