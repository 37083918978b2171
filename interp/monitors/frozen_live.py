"""Frozen against live: the same readout and the same texts, read from the base and from the policy in training.

    value = mean |p_live - p_base| / mean p_base                 with a readout that pays: probabilities of being valid
    value = sum |x_live - x_base| / sum |x_base|                 with `sources`: what they read, latents for instance

The readout is fitted on one of the two readers. Where the two part, training has moved what is read: a feature no
longer means what it meant, or the policy has learned to look valid to itself. Pay is what exceeds a multiple of the
mean probability, so the difference of probabilities is measured in that unit. Where nearly all successes are lucky, all
probabilities are small, and so are their plain differences.

Cost: every `every` steps, two readings of up to `rollouts` successes: two forwards without gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Count, Name, Positive, expect_plausible
from interp.monitors.base import Measurement, MonitoredRun, MonitoredStep
from interp.monitors.paid import expect_readout, is_due, own_successes, rank_correlation
from interp.readouts.columns import Columns, expect_sources, read_columns
from interp.readouts.sources import Source


@dataclass(eq=False)
class FrozenLive:
    """Reads successes with the frozen base and with the policy in training, and compares."""

    sources: Sequence[Source] | None = None
    """What is read. None: what the readout reads that pays, and the probabilities it gives."""
    every: Count = 10
    """Steps between measurements."""
    rollouts: Count = 64
    """Successes that are read, at most."""
    limit: Positive = 0.5
    """The greatest parting that is no alarm."""
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
        if len(rows) < 2 or (readout is not None and readout.is_waiting):
            return None
        sources = readout.sources if readout is not None else self.sources or ()
        rollouts = [step.batch.rollouts[row] for row in rows]
        base, live = (read_columns(sources, reader, rollouts) for reader in (step.batch.base, step.batch.policy))
        both = (base.is_readable_B & live.is_readable_B).nonzero()[:, 0].tolist()
        if len(both) < 2:
            return None
        base, live = base.at(both), live.at(both)
        if readout is None:
            return self._compare_columns(base, live)
        return self._compare_probabilities(readout.probability(base), readout.probability(live))

    def _compare_probabilities(self, base_B: Tensor, live_B: Tensor) -> Measurement:
        gap = float((live_B - base_B).abs().mean())
        numbers = {"gap": gap, "rank_correlation": rank_correlation(base_B, live_B)}
        text = "the difference of P(valid) read live and frozen, as a share of its mean,"
        return Measurement(gap / float(base_B.mean()), self.limit, "above", text, numbers)

    def _compare_columns(self, base: Columns, live: Columns) -> Measurement | None:
        total = float(base.x_BF.abs().sum())
        if total == 0:
            return None  # nothing was active
        gap = float((live.x_BF - base.x_BF).abs().sum())
        correlations = [rank_correlation(*columns) for columns in zip(base.x_BF.T, live.x_BF.T, strict=True)]
        present = [one for one in correlations if one is not None]
        numbers = {"rank_correlation": sum(present) / len(present) if present else None}
        text = "the difference of what is read live and frozen, as a share of it,"
        return Measurement(gap / total, self.limit, "above", text, numbers)

    def state(self) -> Mapping[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass
