"""The controls of a credit by features, all of them by one call, so that no study can forget one.

    control              what stands in place of the latents         what it would show, if it did as well
    nothing              the scheme's other sources alone            latents add nothing to them
    likelihood           how likely the base finds the text          the same, for a scheme that does not read it
    format               the format of the answer                    a parser would do
    completeness         whether the steps are as many as due        a parser that counts would do
    text                 counts of tokens                            anyone who reads the text would do
    text alone           the same, and nothing else is read          no network is needed
    residual             what the dictionary is made of              the dictionary adds nothing
    random dictionary    random directions, as often active there    any directions would do
    permuted <k>         the latents of any other success            latents need not be of this text
    random gate <k>      the scheme's own gates, dealt out anew      any gate that pays as much would do

Each control is the scheme itself with other sources: it audits as many successes, begins with labels of the same
weight, refits at the same steps, and pays by the same formula. A range of texts is fitted on what the control reads; a
range of a dictionary's error is left out, since it reads the dictionary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Seed
from interp.credit.base import BaseSpecific, Credit, CreditScheme, Learning, RolloutBatch
from interp.credit.readout import ReadoutCredit, in_failed_groups
from interp.policy.policy import Policy
from interp.readouts.columns import Labels, label_rollouts, weighted_like
from interp.readouts.controls import Permuted, others, random_intention, random_latents, residual_intention
from interp.readouts.intention import Intention
from interp.readouts.sources import Completeness, Format, Latents, Likelihood, Residual, Source, TextCounts, WithRoles
from interp.readouts.text_range import TextRange
from interp.rollouts.record import Rollout


@dataclass(eq=False)
class RandomGate:
    """The gates of another scheme, and what it adds to advantages, dealt out at random among the successes of each
    batch; and its bonuses, among the answers of groups that failed. It pays exactly as much, to others."""

    scheme: CreditScheme
    seed: Seed = 0

    @property
    def needs_no_scale(self) -> bool:
        return getattr(self.scheme, "needs_no_scale", False)

    @property
    def is_waiting(self) -> bool:
        return getattr(self.scheme, "is_waiting", False)

    def __call__(self, batch: RolloutBatch) -> Credit:
        credit, first = self.scheme(batch), batch.rollouts[0]

        def deal(x_B: Tensor, is_dealt_B: Tensor) -> Tensor:
            """The numbers, with those of others where they are dealt."""
            rows_R = is_dealt_B.nonzero()[:, 0]
            other_R = others(len(rows_R), "random gate", self.seed, batch.seed, first.step, first.problem)
            return x_B.index_copy(0, rows_R, x_B[rows_R[other_R]])

        is_success_B = batch.rewards_B > 0
        counts_B, added_B, bonus_B = credit.counts_B, credit.added_B, credit.bonus_B
        return replace(
            credit,
            gate_B=deal(credit.gate_B, is_success_B),
            counts_B=None if counts_B is None else deal(counts_B, is_success_B),
            added_B=None if added_B is None else deal(added_B, is_success_B),
            bonus_B=None if bonus_B is None else deal(bonus_B, in_failed_groups(batch)),
        )

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
    if not isinstance(scheme, ReadoutCredit):
        raise BadInput(
            f"expected a ReadoutCredit, got {type(scheme).__name__}: a FirstErrorReadout has first_error_controls, a "
            "ProcessAdvantage has process_controls, and its score has the others"
        )
    latents = [source for source in scheme.sources if isinstance(source, Latents | Intention)]
    if not latents:
        raise BadInput(
            "expected a scheme that reads latents, got one that reads "
            f"{', '.join(source.name for source in scheme.sources)}: what would its controls control?"
        )

    if bool(audited) != bool(len(scheme.labels)):
        raise BadInput(
            f"expected the rollouts behind the scheme's {len(scheme.labels)} labels, so that its controls begin with "
            f"the same, got {len(audited)}: credit_controls(..., audited=rollouts)"
        )

    def with_sources(*sources: Source) -> ReadoutCredit:
        labels = weighted_like(label_rollouts(sources, base, audited), scheme.labels) if audited else Labels()
        text_range = None if scheme.text_range is None else TextRange.fit(sources, base, rollouts)
        return replace(scheme, sources=sources, labels=labels, text_range=text_range, error_range=None)

    # a text that an intention cannot read is left out of its controls too
    screens = [WithRoles(source.roles) for source in latents if isinstance(source, Intention)]
    rest = [*(source for source in scheme.sources if source not in latents), *screens]

    def beside(*sources: Source) -> ReadoutCredit:
        return with_sources(*rest, *(source for source in sources if source.name not in {one.name for one in rest}))

    formats = Format(tuple(sorted({rollout.format for rollout in rollouts})))
    controls: dict[str, CreditScheme] = {"nothing": with_sources(*rest)} if rest else {}
    controls |= {
        "likelihood": beside(Likelihood()),
        "format": beside(formats),
        "completeness": beside(Completeness()),
        "text": beside(TextCounts()),
        "text alone": with_sources(*screens, TextCounts()),
        "residual": with_sources(*rest, *dict.fromkeys(_residual(one, base, rollouts) for one in latents)),
        "random dictionary": with_sources(*rest, *(_randomized(one, base, rollouts) for one in latents)),
    }
    if isinstance(controls.get("nothing"), ReadoutCredit) and any(isinstance(one, Likelihood) for one in rest):
        del controls["likelihood"]  # the scheme reads it already
    for draw in range(draws):
        controls[f"permuted {draw}"] = with_sources(*rest, *(Permuted(one, draw) for one in latents))
        controls[f"random gate {draw}"] = RandomGate(scheme, draw)
    return controls


def _residual(source: Latents | Intention, base: Policy, rollouts: Sequence[Rollout]) -> Residual | Intention:
    """The same source with the residual that the latents are made of."""
    if isinstance(source, Latents):
        return Residual(source.layer, source.selector)
    return residual_intention(source, base, rollouts)


def _randomized(source: Latents | Intention, base: Policy, rollouts: Sequence[Rollout]) -> Latents | Intention:
    """The same source with a dictionary of random directions."""
    if isinstance(source, Latents):
        return random_latents(source, base, rollouts, 0)
    return random_intention(source, base, rollouts, 0)
