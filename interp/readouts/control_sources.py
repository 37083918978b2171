"""What the controls of a readout of latents read, all of them by one call, so that no study can forget one.

    control              what stands in place of the latents        what it would show, if it did as well
    nothing              the other sources alone                    latents add nothing to them
    likelihood           how likely the reader finds the text       the same, where it was not read
    format               the format of the answer                   a parser would do
    completeness         whether the steps are as many as due       a parser that counts would do
    text                 counts of tokens                           anyone who reads the text would do
    text alone           the same, and nothing else is read         no network is needed
    residual             what the dictionary is made of             the dictionary adds nothing
    random dictionary <k> random directions, as often active there  any directions would do
    permuted <k>         the latents of any other text              latents need not be of this text

A control that would add a source which is read already is left out: `nothing` is that control.
"""

from collections.abc import Sequence
from dataclasses import replace

from interp.policy.policy import Policy
from interp.policy.site import RESID_POST
from interp.readouts.controls import (
    Permuted,
    random_intention,
    random_latents,
    residual_dictionary,
    residual_intention,
)
from interp.readouts.intention import Intention
from interp.readouts.sources import Completeness, Format, Latents, Likelihood, Residual, Source, TextCounts, WithRoles
from interp.rollouts.record import Rollout


def reads_latents(source: Source) -> bool:
    """Whether a source reads the latents of a dictionary."""
    return isinstance(source, Latents | Intention)


def control_sources(
    sources: Sequence[Source], base: Policy, rollouts: Sequence[Rollout], draws: int = 5
) -> dict[str, list[Source]]:
    """The sources of every control of some sources that read latents, by name. `rollouts` of the base, or their parts,
    say how often each latent is active."""
    latents = [source for source in sources if isinstance(source, Latents | Intention)]
    # a text that an intention cannot read is left out of its controls too
    screens = [WithRoles(source.roles) for source in latents if isinstance(source, Intention)]
    rest = [*(source for source in sources if source not in latents), *screens]
    added: dict[str, Source] = {
        "likelihood": Likelihood(),
        "format": Format(tuple(sorted({rollout.format for rollout in rollouts}))),
        "completeness": Completeness(),
        "text": TextCounts(),
    }
    names = {source.name for source in rest}
    return {
        **({"nothing": rest} if rest else {}),
        **{name: [*rest, source] for name, source in added.items() if source.name not in names},
        "text alone": [*screens, TextCounts()],
        "residual": list(dict.fromkeys([*rest, *(_residual(one, base, rollouts) for one in latents)])),
        **{
            f"random dictionary {draw}": [*rest, *(_randomized(one, base, rollouts, draw) for one in latents)]
            for draw in range(draws)
        },
        **{f"permuted {draw}": [*rest, *(Permuted(one, draw) for one in latents)] for draw in range(draws)},
    }


def _residual(source: Latents | Intention, base: Policy, rollouts: Sequence[Rollout]) -> Source:
    """The same source with what the latents are made of: the residual, or what a layer adds to it."""
    if isinstance(source, Intention):
        return residual_intention(source, base, rollouts)
    if source.tsae.site in (None, RESID_POST):
        return Residual(source.layer, source.selector)
    return replace(source, tsae=residual_dictionary(base.d_model, source.tsae.layer, source.tsae.site))


def _randomized(
    source: Latents | Intention, base: Policy, rollouts: Sequence[Rollout], seed: int
) -> Latents | Intention:
    """The same source with a dictionary of random directions."""
    if isinstance(source, Latents):
        return random_latents(source, base, rollouts, seed)
    return random_intention(source, base, rollouts, seed)
