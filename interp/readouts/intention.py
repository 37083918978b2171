"""What a policy was about to write, read from latents, against what stands there.

A lens is a linear map from the codes of a dictionary at one token to the next token. It is fitted on the base's own
answers, without any label: there the next token is what was intended, but for slips. On another's text, a token that
the lens finds unlikely is a step that was not due.

    surprise of a token = - log p_lens(token | codes at the token before)

`Intention` gives the mean and the largest of them over the tokens of given roles; before the first token of a text
stands the last one of its prompt. The largest is what matters: one wrong step spoils a chain, however many are right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput, Mismatch, fingerprint, fingerprint_config, fingerprint_tensors, same_fingerprint
from interp.checks import Layer as LayerNumber
from interp.features.families import TokenSelector
from interp.policy.policy import Policy
from interp.policy.residual import Layer
from interp.readouts.columns import Origin
from interp.readouts.reading import ENTRIES, Place, Reading, read_rollouts
from interp.readouts.sources import COPIED, Latents
from interp.rollouts.record import Rollout
from interp.tsae import TSAE

MIN_TOKENS = 100
MAX_ITERATIONS = 60


@dataclass(frozen=True, eq=False)
class Lens:
    """Logits of the next token from codes, for the tokens that were met in fitting."""

    weight_FV: Float[Tensor, "F V"]
    bias_V: Float[Tensor, " V"]
    tokens: tuple[int, ...]
    made_from: Mapping[str, str] = field(default_factory=dict)
    """Policy, dictionary, layer, roles and rollouts that it was fitted on, where they are known."""

    def fingerprint(self) -> str:
        """Of what it was fitted on: a fit on another device may differ in its last bits. Where that is not known, of
        its numbers."""
        if self.made_from:
            return fingerprint_config(self.made_from)
        numbers = {"weight": self.weight_FV, "bias": self.bias_V, "tokens": torch.tensor(self.tokens)}
        return fingerprint_tensors(numbers, lambda name: numbers[name])

    def surprise(self, codes_NF: Float[Tensor, "N F"], next_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """-log p of the next tokens. One that was never met in fitting is as surprising as the least likely."""
        logp_NV = (codes_NF @ self.weight_FV + self.bias_V).log_softmax(-1)
        index = {token: at for at, token in enumerate(self.tokens)}
        at_N = torch.tensor([index.get(token, -1) for token in next_N.tolist()], dtype=torch.long)
        met_N = -logp_NV.gather(1, at_N.clamp(min=0)[:, None])[:, 0]
        return torch.where(at_N >= 0, met_N, -logp_NV.amin(1))


def fit_lens(codes_NF: Float[Tensor, "N F"], next_N: Int[Tensor, " N"], *, ridge: float = 1.0) -> Lens:
    """The multinomial regression of the next token on codes, of least `mean loss + ridge / (2 N) |weights|^2`."""
    if len(next_N) < MIN_TOKENS:
        raise BadInput(f"expected at least {MIN_TOKENS} tokens to fit a lens on, got {len(next_N)}")
    tokens, at_N = next_N.unique(return_inverse=True)
    weight_FV = torch.zeros(codes_NF.shape[1], len(tokens), requires_grad=True)
    bias_V = torch.zeros(len(tokens), requires_grad=True)
    scale = codes_NF.norm(dim=1).mean().clamp(min=1e-6)
    optimizer = torch.optim.LBFGS([weight_FV, bias_V], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits_NV = (codes_NF / scale) @ weight_FV + bias_V
        value = F.cross_entropy(logits_NV, at_N) + ridge / (2 * len(at_N)) * (weight_FV**2).sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return Lens(weight_FV.detach() / scale, bias_V.detach(), tuple(tokens.tolist()))


@dataclass(frozen=True, eq=False)
class Intention:
    """The mean and the largest surprise over the tokens of some roles, as a dictionary's latents have it."""

    tsae: TSAE
    layer: LayerNumber
    lens: Lens
    roles: tuple[str, ...] = COPIED
    name: str = "intention"
    needs_logprobs: bool = False

    def __post_init__(self) -> None:
        Latents(self.tsae, self.layer)  # refuses a layer that is not the dictionary's
        if (fitted := self.lens.made_from.get("layer")) not in (None, got := str(self.tsae.at(self.layer))):
            raise Mismatch(f"expected a lens of layer {got}, got one that was fitted at layer {fitted}: fit it there")

    @classmethod
    def fit(
        cls,
        tsae: TSAE,
        layer: int,
        base: Policy,
        rollouts: Sequence[Rollout],
        *,
        roles: tuple[str, ...] = COPIED,
        ridge: float = 1.0,
    ) -> "Intention":
        """The intention of a base, from some of its own answers."""
        place = Place(tsae.at(layer), TokenSelector(next_roles=tuple(roles)))
        reading = read_rollouts(base, rollouts, [place], logprobs=False)
        x_SD, token_S = _read_before(reading, place)
        texts = Origin.of([], base, rollouts).texts
        made_from = {
            "policy": base.fingerprint(), "dictionary": tsae.fingerprint(), "layer": str(place.layer),
            "roles": ", ".join(roles), "ridge": str(ridge), "rollouts": fingerprint(*texts),
        }  # fmt: skip
        return cls(
            tsae,
            layer,
            replace(fit_lens(_codes(tsae, x_SD), _ids(reading)[token_S], ridge=ridge), made_from=made_from),
            roles,
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.tsae.at(self.layer),)

    @property
    def places(self) -> tuple[Place, ...]:
        return (Place(self.tsae.at(self.layer), TokenSelector(next_roles=tuple(self.roles))),)

    def expect_reader(self, reader: Policy) -> None:
        Latents(self.tsae, self.layer).expect_reader(reader)
        fitted, got = self.lens.made_from.get("policy"), reader.fingerprint()
        if fitted is not None and not same_fingerprint(fitted, got):
            raise Mismatch(f"expected the policy that the lens was fitted on, {fitted}; got {got}: fit it again")
        if self.lens.made_from and self.lens.made_from.get("dictionary") != self.tsae.fingerprint():
            raise Mismatch("expected a lens on the codes of this dictionary, got one of another: fit it again")

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        surprise_S, token_S = self.surprises(reading)
        rollout_S = reading.rollout_N[token_S]
        mean_B1 = reading.mean_of(surprise_S[:, None], rollout_S)
        largest_B = torch.full((len(reading.rollouts),), -torch.inf).double()
        largest_B = largest_B.scatter_reduce(0, rollout_S, surprise_S.double(), "amax")
        return torch.cat([mean_B1, torch.where(largest_B.isinf(), torch.nan, largest_B)[:, None]], 1)

    def surprises(self, reading: Reading) -> tuple[Float[Tensor, " S"], Int[Tensor, " S"]]:
        """How surprising each token of the roles is, and its place among the tokens of the reading."""
        x_SD, token_S = _read_before(reading, self.places[0])
        n = max(1, ENTRIES // max(self.tsae.width, 1))  # a few tokens at a time, as in `Reading.mean_of`
        parts = zip(x_SD.split(n), _ids(reading)[token_S].split(n), strict=True)
        return torch.cat([self.lens.surprise(_codes(self.tsae, x), tokens) for x, tokens in parts]), token_S


def _codes(tsae: TSAE, x_SD: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
    """Codes where the lens is, wherever the dictionary is and in whatever precision."""
    return tsae.encode(x_SD).float().cpu()


def _read_before(reading: Reading, place: Place) -> tuple[Float[Tensor, "S D"], Int[Tensor, " S"]]:
    """The residuals before the tokens of some roles, and the place of each of these tokens in the reading."""
    x_SD, rollout_S = reading.residuals_at(place.layer, place.selector)
    within_S = reading.selected(place.selector).nonzero()[:, 0] + 1
    lengths_B = torch.tensor([len(row.tokens) for row in reading.rollouts], dtype=torch.long)
    starts_B = lengths_B.cumsum(0) - lengths_B
    return x_SD, torch.cat([within_S, starts_B[rollout_S[len(within_S) :]]])


def _ids(reading: Reading) -> Int[Tensor, " N"]:
    return torch.tensor([token for row in reading.rollouts for token in row.tokens], dtype=torch.long)
