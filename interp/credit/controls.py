"""The controls of a credit by features, all of them by one call, so that no study can forget one.

    control              what stands in place of the latents         what it would show, if it did as well
    nothing              the scheme's other sources alone            latents add nothing to them
    likelihood           how likely the base finds the text          the same, for a scheme that does not read it
    format               the format of the answer                    a parser would do
    completeness         whether the steps are as many as due        a parser that counts would do
    text                 counts of tokens                            anyone who reads the text would do
    text alone           the same, and nothing else is read          no network is needed
    residual             what the dictionary is made of              the dictionary adds nothing
    random dictionary    random directions, as often active          any directions would do
    permuted <k>         the latents of any other success            latents need not be of this text
    random gate <k>      the scheme's own gates, dealt out anew      any gate that pays as much would do

Each control is the scheme itself with other sources: it audits the same successes, refits at the same steps, and pays
by the same formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Seed
from interp.credit.base import BaseSpecific, Credit, CreditScheme, Learning, RolloutBatch
from interp.credit.readout import ReadoutCredit
from interp.policy.policy import Policy
from interp.readouts.columns import Labels, label_rollouts
from interp.readouts.controls import Permuted, random_dictionary
from interp.readouts.sources import Completeness, Format, Latents, Likelihood, Residual, Source, TextCounts
from interp.rollouts.record import Rollout
from interp.tasks.base import hash_of
from interp.tsae import TSAE


@dataclass(eq=False)
class RandomGate:
    """The gates of another scheme, dealt out at random among the successes of each batch. It pays exactly as much."""

    scheme: CreditScheme
    seed: Seed = 0

    def __call__(self, batch: RolloutBatch) -> Credit:
        credit = self.scheme(batch)
        rows = (batch.rewards_B > 0).nonzero()[:, 0]
        first = batch.rollouts[0]
        key = hash_of("random gate", self.seed, batch.seed, first.step, first.problem, len(rows)) % 2**63
        dealt = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(key))]
        counts_B = credit.counts_B
        if counts_B is not None:
            counts_B = counts_B.index_copy(0, rows, counts_B[dealt])
        return replace(credit, gate_B=credit.gate_B.index_copy(0, rows, credit.gate_B[dealt]), counts_B=counts_B)

    def expect_base(self, base: Policy) -> None:
        if isinstance(self.scheme, BaseSpecific):
            self.scheme.expect_base(base)

    def fresh(self) -> "RandomGate":
        scheme = self.scheme.fresh() if isinstance(self.scheme, Learning) else self.scheme
        return replace(self, scheme=scheme)  # pyright: ignore[reportArgumentType]

    def observe(self, batch: RolloutBatch) -> None:
        if isinstance(self.scheme, Learning):
            self.scheme.observe(batch)

    def state(self) -> Mapping[str, Tensor]:
        return self.scheme.state() if isinstance(self.scheme, Learning) else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if isinstance(self.scheme, Learning):
            self.scheme.load_state(state)


def credit_controls(
    scheme: ReadoutCredit,
    base: Policy,
    rollouts: Sequence[Rollout],
    *,
    audited: Sequence[Rollout] = (),
    draws: int = 5,
) -> dict[str, CreditScheme]:
    """Every control of a scheme that reads latents, by name.

    `rollouts` of the base say how often each latent is active. `audited` are the rollouts behind the scheme's own
    labels: each control reads the same ones with its own sources."""
    latents = [source for source in scheme.sources if isinstance(source, Latents)]
    if not latents:
        raise BadInput(
            "expected a scheme that reads latents, got one that reads "
            f"{', '.join(source.name for source in scheme.sources)}: what would its controls control?"
        )

    def with_sources(*sources: Source) -> ReadoutCredit:
        labels = label_rollouts(sources, base, audited) if audited else Labels()
        return replace(scheme, sources=sources, labels=labels, text_range=None)

    others = [source for source in scheme.sources if not isinstance(source, Latents)]

    def beside(*sources: Source) -> ReadoutCredit:
        return with_sources(*others, *(source for source in sources if source.name not in {one.name for one in others}))

    formats = Format(tuple(sorted({rollout.format for rollout in rollouts})))
    controls: dict[str, CreditScheme] = {"nothing": with_sources(*others)} if others else {}
    controls |= {
        "likelihood": beside(Likelihood()),
        "format": beside(formats),
        "completeness": beside(Completeness()),
        "text": beside(TextCounts()),
        "text alone": with_sources(TextCounts()),
        "residual": with_sources(*others, *(Residual(one.layer, one.selector) for one in latents)),
        "random dictionary": with_sources(
            *others, *(replace(one, tsae=_randomized(one, base, rollouts)) for one in latents)
        ),
    }
    if isinstance(controls.get("nothing"), ReadoutCredit) and any(isinstance(one, Likelihood) for one in others):
        del controls["likelihood"]  # the scheme reads it already
    for draw in range(draws):
        controls[f"permuted {draw}"] = with_sources(*others, *(Permuted(one, draw) for one in latents))
        controls[f"random gate {draw}"] = RandomGate(scheme, draw)
    return controls


def _randomized(source: Latents, base: Policy, rollouts: Sequence[Rollout], seed: int = 0) -> TSAE:
    x_ND: Float[Tensor, "N D"] = base.completion_residuals(
        [row.prompt_ids for row in rollouts], [row.tokens for row in rollouts], source.tsae.at(source.layer)
    )
    return random_dictionary(source.tsae, x_ND, seed)
