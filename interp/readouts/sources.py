"""What a readout reads: numbers of each rollout, from a policy's reading of it or from its text alone.

likelihood        how likely each token is to the reader: mean and least
residual          the residual at selected tokens
latents           the latents of a dictionary there, or their pre-activations
format            the format of the answer, by the parser
completeness      as many steps as the problem has operations, fewer or more, by the parser
with roles        nothing, but texts without a token of some roles cannot be read
text              counts of tokens, and how they differ from those of the prompt: what anyone can read

Every source gives a row of numbers for each rollout; NaN where a rollout has nothing to read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput, Mismatch, same_fingerprint
from interp.checks import Layer as LayerNumber
from interp.checks import Range, expect_plausible
from interp.features.families import TokenSelector
from interp.policy.policy import Policy
from interp.policy.residual import Layer
from interp.readouts.reading import Place, Reading
from interp.tasks.base import TOKEN_ROLES
from interp.tsae import TSAE

COPIED = ("carry", "operator", "operand")
"""Roles of tokens that a step takes from the problem or from the step before."""
BEFORE_MARKER = TokenSelector(next_roles=("marker",))
"""The token after which the answer is announced: where it shows whether the work is done."""


@runtime_checkable
class Source(Protocol):
    """A row of numbers for each rollout."""

    @property
    def name(self) -> str: ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers at which the reader's residuals are needed."""
        ...

    @property
    def needs_logprobs(self) -> bool: ...

    def expect_reader(self, reader: Policy) -> None:
        """Refuse a policy that this source cannot read."""
        ...

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]: ...


@runtime_checkable
class PlacedSource(Source, Protocol):
    """A source that says at which tokens of its layers it reads. Of another's layers all tokens are kept, which takes
    the memory of them all."""

    @property
    def places(self) -> tuple[Place, ...]: ...


def places_of(source: Source) -> tuple[Place, ...]:
    """The tokens of each layer whose residuals a source reads."""
    return source.places if isinstance(source, PlacedSource) else tuple(Place(layer) for layer in source.layers)


@dataclass(frozen=True)
class _TextSource:
    """A source that reads no policy."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        return ()

    @property
    def needs_logprobs(self) -> bool:
        return False

    def expect_reader(self, reader: Policy) -> None:
        pass


def expect_layer(layer: int, reader: Policy) -> None:
    """Refuse a layer that the reader does not have."""
    if layer >= reader.n_layers:
        raise Mismatch(f"expected a layer below {reader.n_layers}, as the policy has; got {layer}")


# --- from a policy -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Likelihood:
    """The mean and the least log-probability of a rollout's tokens under the reader."""

    name: str = "likelihood"
    layers: tuple[Layer, ...] = ()
    needs_logprobs: bool = True

    def expect_reader(self, reader: Policy) -> None:
        pass

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        logprob_N = reading.logprob_N
        mean_B1 = reading.mean_by_rollout(logprob_N[:, None], torch.ones_like(logprob_N).bool())
        return torch.cat([mean_B1, reading.min_by_rollout(logprob_N)[:, None]], 1)


@dataclass(frozen=True)
class Residual:
    """The mean residual of a layer at the selected tokens."""

    layer: LayerNumber
    selector: TokenSelector = BEFORE_MARKER
    name: str = "residual"
    needs_logprobs: bool = False

    def __post_init__(self) -> None:
        expect_plausible(self, "layer")

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.layer,)

    @property
    def places(self) -> tuple[Place, ...]:
        return (Place(self.layer, self.selector),)

    def expect_reader(self, reader: Policy) -> None:
        expect_layer(self.layer, reader)

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        return reading.mean_of(*reading.residuals_at(self.layer, self.selector))


@dataclass(frozen=True, eq=False)
class Latents:
    """The mean activation of a dictionary's latents at the selected tokens."""

    tsae: TSAE
    layer: LayerNumber
    selector: TokenSelector = BEFORE_MARKER
    before_threshold: bool = False
    """Pre-activations instead of codes: they also say how far a silent latent was from its threshold."""
    name: str = "latents"
    needs_logprobs: bool = False

    def __post_init__(self) -> None:
        expect_plausible(self, "layer")
        if self.tsae.layer not in (None, self.layer):
            raise BadInput(f"expected a dictionary of layer {self.layer}, got one of layer {self.tsae.layer}")

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (self.tsae.at(self.layer),)

    @property
    def places(self) -> tuple[Place, ...]:
        return (Place(self.tsae.at(self.layer), self.selector),)

    def expect_reader(self, reader: Policy) -> None:
        """Refuse a policy of another size, or, where the dictionary says what it was fitted on, another policy."""
        if self.tsae.d_model != reader.d_model:
            raise Mismatch(
                f"expected a policy of d_model {self.tsae.d_model}, as the dictionary's; got {reader.d_model}"
            )
        expect_layer(self.layer, reader)
        policies = [value for name, value in self.tsae.made_from.items() if name.startswith("policy")]
        if policies and not any(same_fingerprint(each, reader.fingerprint()) for each in policies):
            raise Mismatch(
                f"this dictionary was fitted on other policies: expected one of {', '.join(policies)}, got "
                f"{reader.fingerprint()}. Fit one on this policy (interp collect, interp tsae)"
            )

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        x_SD, rollout_S = reading.residuals_at(self.tsae.at(self.layer), self.selector)
        return reading.mean_of(
            x_SD, rollout_S, self.tsae.pre_activations if self.before_threshold else self.tsae.encode
        )


# --- from the text alone -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format(_TextSource):
    """Which of the given formats the answer has: a column each."""

    formats: tuple[str, ...] = ("steps",)
    name: str = "format"

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        rows = [[float(rollout.format == format) for format in self.formats] for rollout in reading.rollouts]
        return torch.tensor(rows, dtype=torch.float64).view(len(rows), len(self.formats))


@dataclass(frozen=True)
class Completeness(_TextSource):
    """Whether a rollout has exactly, less or more than as many steps as its problem has operations. NaN where the depth
    of the problem is not known."""

    name: str = "completeness"

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        surplus_B = torch.tensor(
            [
                torch.nan if row.depth is None else len(row.steps) + (row.hint_steps or 0) - row.depth
                for row in reading.rollouts
            ],
            dtype=torch.float64,
        )
        columns_B3 = torch.stack([surplus_B == 0, surplus_B < 0, surplus_B > 0], 1).double()
        return torch.where(surplus_B.isnan()[:, None], torch.nan, columns_B3)


@dataclass(frozen=True)
class WithRoles(_TextSource):
    """Says nothing, and cannot read a text without a token of these roles: a control for an `Intention`, which cannot
    either."""

    roles: tuple[str, ...] = COPIED
    name: str = "with roles"

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        has_B = [bool({*self.roles} & {*rollout.roles}) for rollout in reading.rollouts]
        return torch.where(torch.tensor(has_B, dtype=torch.bool), 0.0, torch.nan).double()[:, None]


@dataclass(frozen=True)
class TextCounts(_TextSource):
    """Counts of tokens in prompt and completion, the size of their difference, counts of roles, and length.

    Token ids are folded into `buckets` counts. The differences say whether the completion uses what the prompt states,
    no more and no less."""

    buckets: Annotated[int, Range(2, 65_536)] = 64
    name: str = "text"

    def __post_init__(self) -> None:
        expect_plausible(self)

    def columns(self, reading: Reading) -> Float[Tensor, "B F"]:
        rows = reading.rollouts
        prompt_BV = self._counts([rollout.prompt_ids for rollout in rows])
        written_BV = self._counts([rollout.tokens for rollout in rows])
        counts = [[*(rollout.roles.count(role) for role in TOKEN_ROLES), len(rollout.tokens)] for rollout in rows]
        roles_BR = torch.tensor(counts, dtype=torch.float64).view(len(rows), len(TOKEN_ROLES) + 1)
        return torch.cat([prompt_BV, written_BV, (written_BV - prompt_BV).abs(), roles_BR], 1)

    def _counts(self, ids: Sequence[Sequence[int]]) -> Float[Tensor, "B V"]:
        counts_BV = torch.zeros(len(ids), self.buckets, dtype=torch.float64)
        for row, tokens in enumerate(ids):
            buckets = torch.tensor(tokens, dtype=torch.long) % self.buckets
            counts_BV[row] = torch.bincount(buckets, minlength=self.buckets)
        return counts_BV
