"""The controls of a split that is read from latents, all of them by one call.

    control               what stands in place of the latents        what it would show, if it did as well
    nothing               the scheme's other sources alone           latents add nothing to them
    likelihood            how likely the base finds each step        the same, for a scheme that does not read it
    text                  counts of tokens in each step              anyone who reads the text would do
    text alone            the same, and nothing else is read         no network is needed
    residual              what the dictionary is made of             the dictionary adds nothing
    random dictionary     random directions, as often active         any directions would do
    permuted <k>          the latents of any other step              latents need not be of this step
    position-matched <k>  the scheme's own splits, in other chains   any split at such places would do

Each is the scheme itself with other sources: it audits as many successes, begins with labels of the same weight, refits
at the same steps, splits at the same limit and has the same gate.
"""

from collections.abc import Sequence
from dataclasses import replace

from interp.artifacts import BadInput
from interp.credit.first_error import FirstErrorReadout, split_controls
from interp.policy.policy import Policy
from interp.readouts.columns import Labels, weighted_like
from interp.readouts.controls import Permuted, random_latents
from interp.readouts.parts import label_parts, split_parts
from interp.readouts.sources import Latents, Likelihood, Residual, Source, TextCounts
from interp.rollouts.record import Rollout


def first_error_controls(
    scheme: FirstErrorReadout,
    base: Policy,
    rollouts: Sequence[Rollout],
    *,
    audited: Sequence[Rollout] = (),
    draws: int = 5,
) -> dict[str, FirstErrorReadout]:
    """Every control of a scheme that reads latents, by name.

    `rollouts` of the base say how often each latent is active. `audited` are the rollouts behind the scheme's own
    labels: each control reads the same ones with its own sources."""
    if not isinstance(scheme, FirstErrorReadout):
        raise BadInput(f"expected a FirstErrorReadout, got {type(scheme).__name__}: see interp.credit.credit_controls")
    latents = [source for source in scheme.sources if isinstance(source, Latents)]
    if not latents:
        raise BadInput(
            "expected a scheme that reads latents, got one that reads "
            f"{', '.join(source.name for source in scheme.sources)}: split_controls(scheme) has the controls of any"
        )
    if bool(audited) != bool(len(scheme.labels)):
        raise BadInput(
            f"expected the rollouts behind the scheme's {len(scheme.labels)} labels, so that its controls begin with "
            f"the same, got {len(audited)}: first_error_controls(..., audited=rollouts)"
        )

    def with_sources(*sources: Source) -> FirstErrorReadout:
        labels = weighted_like(label_parts(sources, base, audited), scheme.labels) if audited else Labels()
        return replace(scheme, sources=sources, labels=labels)

    others = [source for source in scheme.sources if source not in latents]

    def beside(source: Source) -> FirstErrorReadout:
        return with_sources(*[other for other in others if other.name != source.name], source)

    parts = [part for rollout in rollouts for part in split_parts(rollout)]
    residuals = dict.fromkeys(Residual(source.layer, source.selector) for source in latents)
    controls = {"nothing": with_sources(*others)} if others else {}
    if not any(isinstance(source, Likelihood) for source in others):  # else the scheme reads it already
        controls["likelihood"] = beside(Likelihood())
    controls |= {
        "text": beside(TextCounts()),
        "text alone": with_sources(TextCounts()),
        "residual": with_sources(*others, *residuals),
        "random dictionary": with_sources(*others, *(random_latents(source, base, parts, 0) for source in latents)),
    }
    for draw in range(draws):
        controls[f"permuted {draw}"] = with_sources(*others, *(Permuted(source, draw) for source in latents))
    return controls | split_controls(scheme, draws=draws)
