"""Frozen against live: the same readout and the same texts, read from the base and from the policy in training.

    value     = rank correlation of p_live and p_base       with a readout that pays: probabilities of being valid
    value     = the mean of that over what is read          with `sources`: latents, for instance
    gap       = mean |p_live - p_base|
    gap_share = mean |p_live - p_base| / mean p_base

The readout is fitted on one of the two readers. Where the two part, training has moved what is read: a feature no
longer means what it meant, or the policy has learned to look valid to itself. Some of that is in every run that learns.
Probabilities of the other reader are off by a factor soon, the more so the rarer valid answers are, and that does no
harm: who is paid is decided by their order. So the alarm is for an order that is lost. It is lost wholly, with a
correlation of 0, where the base tells texts apart and the policy reads them all alike.

Cost: every `every` steps, two readings of up to `rollouts` successes: two forwards without gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Count, Name, Range, expect_plausible
from interp.monitors.base import Measurement, MonitoredRun, MonitoredStep
from interp.monitors.paid import expect_readout, is_due, own_successes, rank_correlations
from interp.readouts.columns import expect_sources, read_columns
from interp.readouts.sources import Source

LEAST = 8
"""Successes without which an order says little."""


@dataclass(eq=False)
class FrozenLive:
    """Reads successes with the frozen base and with the policy in training, and compares."""

    sources: Sequence[Source] | None = None
    """What is read. None: what the readout reads that pays, and the probabilities it gives."""
    every: Count = 10
    """Steps between measurements."""
    rollouts: Count = 64
    """Successes that are read, at most."""
    least_correlation: Annotated[float, Range(-1, 1)] = 0.25
    """The least rank correlation that is no alarm."""
    name: Name = "frozen_live"

    def __post_init__(self) -> None:
        expect_plausible(self)
        if self.sources is not None:
            self.sources = expect_sources(self.sources)

    def fresh(self, run: MonitoredRun) -> "FrozenLive":
        sources = expect_readout(run.credit, self.name).sources if self.sources is None else self.sources
        if not any(source.layers or source.needs_logprobs for source in sources):
            raise BadInput(
                f"the monitor {self.name} expected sources that read a policy, got {', '.join(s.name for s in sources)}"
                ", which read the text alone: it is the same for both readers. Leave the monitor out"
            )
        for source in sources:
            source.expect_reader(run.base)
        return replace(self)

    @torch.no_grad()
    def observe(self, step: MonitoredStep) -> Measurement | None:
        if not is_due(step.step, self.every):
            return None
        readout = None if self.sources is not None else expect_readout(step.scheme, self.name)
        rows = own_successes(step.batch, self.rollouts)
        if len(rows) < LEAST or (readout is not None and readout.is_waiting):
            return None
        sources = readout.sources if readout is not None else self.sources or ()
        rollouts = [step.batch.rollouts[row] for row in rows]
        base, live = (read_columns(sources, reader, rollouts) for reader in (step.batch.base, step.batch.policy))
        both_B = base.is_readable_B & live.is_readable_B
        if int(both_B.sum()) < LEAST:
            return None
        values = [each.x_BF if readout is None else readout.probability(each)[:, None] for each in (base, live)]
        return self._compare(*(values_BF[both_B] for values_BF in values))

    def _compare(self, base_BF: Float[Tensor, "B F"], live_BF: Float[Tensor, "B F"]) -> Measurement | None:
        has_order_F = (base_BF != base_BF[0]).any(0).numpy()
        if not has_order_F.any():
            return None  # the base reads all texts alike: there is no order to lose
        is_lost_F = (live_BF == live_BF[0]).all(0).numpy()
        correlation_F = np.where(is_lost_F, 0.0, rank_correlations(base_BF, live_BF))[has_order_F]
        gap = float((live_BF - base_BF).abs().mean())
        numbers = {"gap": gap, "gap_share": gap / float(base_BF.abs().mean())}
        text = "rank correlation of what is read live and frozen"
        return Measurement(float(correlation_F.mean()), self.least_correlation, "below", text, numbers)

    def state(self) -> Mapping[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass
