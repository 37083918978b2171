"""The controls of a credit by features, all of them by one call, so that no study can forget one.

    scheme                             its controls
    ReadoutCredit                      other sources (`interp.readouts.control_sources`); random gate <k>
    FirstErrorReadout                  other sources; position-matched <k>: its own splits, in other chains
    ProcessAdvantage                   itself with each control of its score
    FeatureCredit                      other latents <k>: random ones without a role; random gate <k>
    StepValidity, the oracle's gate    random gate <k>: its own gates, dealt out to other successes

Random gates are those of schemes that do not weigh tokens: weights that follow from a gate would be turned around.

A control is the scheme itself with one thing replaced. One with other sources audits as many successes, begins with
labels of the same weight, refits at the same steps, and pays by the same formula. A range of texts is fitted on what
the control reads; a range of a dictionary's error is left out, since it reads the dictionary.
"""

from collections.abc import Sequence
from dataclasses import replace

from interp.artifacts import BadInput
from interp.credit.base import CreditScheme
from interp.credit.features import FeatureCredit
from interp.credit.first_error import FirstErrorReadout
from interp.credit.oracles import StepValidity
from interp.credit.process_advantage import ProcessAdvantage
from interp.credit.random_gate import RandomGate
from interp.credit.readout import ReadoutCredit
from interp.policy.policy import Policy
from interp.readouts.columns import Labels, label_rollouts, weighted_like
from interp.readouts.control_sources import control_sources, reads_latents
from interp.readouts.parts import label_parts, split_parts
from interp.readouts.sources import Source
from interp.readouts.text_range import TextRange
from interp.rollouts.record import Rollout


def credit_controls(
    scheme: CreditScheme,
    base: Policy,
    rollouts: Sequence[Rollout] = (),
    *,
    audited: Sequence[Rollout] = (),
    draws: int = 5,
) -> dict[str, CreditScheme]:
    """Every control of a scheme, by name.

    `rollouts` of the base say how often each latent is active. `audited` are the rollouts behind the labels that the
    scheme begins with: each control reads the same ones with its own sources."""
    if isinstance(scheme, ProcessAdvantage):
        of_score = credit_controls(scheme.score, base, rollouts, audited=audited, draws=draws)
        return {name: replace(scheme, score=score) for name, score in of_score.items()}
    if isinstance(scheme, FirstErrorReadout):
        matched = {f"position-matched {draw}": replace(scheme, control_seed=draw) for draw in range(draws)}
        return {**_with_other_sources(scheme, base, rollouts, audited, draws), **matched}
    random_gates: dict[str, CreditScheme] = {f"random gate {draw}": RandomGate(scheme, draw) for draw in range(draws)}
    if isinstance(scheme, ReadoutCredit):
        return {**_with_other_sources(scheme, base, rollouts, audited, draws), **random_gates}
    if isinstance(scheme, FeatureCredit):
        others = {f"other latents {draw}": replace(scheme, control_seed=draw) for draw in range(draws)}
        return {**others, **(random_gates if scheme.gate and not scheme.weights else {})}
    if isinstance(scheme, StepValidity) and scheme.gate and not scheme.weights:
        return random_gates
    raise BadInput(
        "expected a scheme that reads features, or a gate by the verifier without token weights, got "
        f"{type(scheme).__name__}: what would its controls control?"
    )


def _with_other_sources(
    scheme: ReadoutCredit | FirstErrorReadout,
    base: Policy,
    rollouts: Sequence[Rollout],
    audited: Sequence[Rollout],
    draws: int,
) -> dict[str, CreditScheme]:
    """The scheme with the sources of each control. None if it reads no latents."""
    if not any(map(reads_latents, scheme.sources)):
        return {}
    if not rollouts:
        raise BadInput(
            "expected answers of the base, to say how often each latent is active where it is read; got none: "
            "credit_controls(scheme, base, rollouts)"
        )
    if bool(audited) != bool(len(scheme.labels)):
        raise BadInput(
            f"expected the rollouts behind the scheme's {len(scheme.labels)} labels, so that its controls begin with "
            f"the same, got {len(audited)}: credit_controls(..., audited=rollouts)"
        )
    reads_parts = isinstance(scheme, FirstErrorReadout)
    label = label_parts if reads_parts else label_rollouts

    def with_sources(sources: Sequence[Source]) -> CreditScheme:
        labels = weighted_like(label(sources, base, audited), scheme.labels) if audited else Labels()
        if isinstance(scheme, FirstErrorReadout):
            return replace(scheme, sources=sources, labels=labels)
        text_range = None if scheme.text_range is None else TextRange.fit(sources, base, rollouts)
        return replace(scheme, sources=sources, labels=labels, text_range=text_range, error_range=None)

    texts = [part for rollout in rollouts for part in split_parts(rollout)] if reads_parts else rollouts
    return {name: with_sources(own) for name, own in control_sources(scheme.sources, base, texts, draws).items()}
