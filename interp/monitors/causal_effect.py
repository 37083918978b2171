"""What the features that are paid do: the latents that a readout weighs most are ablated in the policy's own answers.

    value = mean drop of the log-odds of answer tokens, in nats, when the latents are ablated at every token
    limit = `least_share` of the value at the first measured step

A latent that is rewarded may come to be active without doing anything: the policy then looks valid to the readout, and
what made an answer valid is done elsewhere or not at all. Then the value falls. Beside it stands the same drop for a
control: as many other latents, each the nearest in mean activation to one of those that are paid.

The latents are those of the readout's fit at that step. `overlap` is the share of them that were among the first ones,
and `of_first` what ablating those does now: where the fit chooses other latents, the value may change for that alone.
The effect is that of `LatentEditor`, the third gate of roles: the residual at the layer loses the latents' share of it,
and the policy reads on from there.

Cost: every `every` steps, one reading of up to `rollouts` successes and three of the part of each from the first
token at which one of the latents is active, from the dictionary's layer on: at most four forwards without gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Count, Name, Range, expect_plausible
from interp.credit.readout import ReadoutCredit
from interp.device import eval_mode
from interp.features.ablation import ABLATE, Edit, LatentEditor
from interp.monitors.base import Measurement, MonitoredRun, MonitoredStep
from interp.monitors.paid import expect_readout, is_due, own_successes
from interp.readouts.sources import Latents
from interp.rollouts.record import Rollout

ENTRIES = 2**22
"""Codes that are made at once."""


@dataclass(eq=False)
class CausalEffect:
    """Ablates the latents that are paid, and compares what that does with what it did at first."""

    source: Latents | None = None
    """The dictionary, and the layer it reads. None: the first that the readout reads that pays."""
    latents: tuple[int, ...] = ()
    """Which latents are ablated. Empty: the `count` latents that the readout weighs most."""
    count: Count = 8
    """Latents that are ablated together, at most."""
    every: Count = 10
    """Steps between measurements."""
    rollouts: Count = 32
    """Successes whose text is read, at most."""
    least_share: Annotated[float, Range(0, 1)] = 0.25
    """The least share of the first effect that is no alarm."""
    name: Name = "causal_effect"

    def __post_init__(self) -> None:
        expect_plausible(self)
        if bool(self.latents) != (self.source is not None):
            raise BadInput("source and latents go together: expected both or neither, got one of them")
        if self.source is not None and not all(0 <= latent < self.source.tsae.width for latent in self.latents):
            raise BadInput(
                f"expected latents of the dictionary, from 0 to {self.source.tsae.width - 1}; got {self.latents}"
            )
        self._first: float | None = None
        self._first_latents: tuple[int, ...] = ()

    def fresh(self, run: MonitoredRun) -> "CausalEffect":
        (self.source or latents_of(expect_readout(run.credit, self.name), self.name)).expect_reader(run.base)
        return replace(self)

    def observe(self, step: MonitoredStep) -> Measurement | None:
        policy, rows = step.batch.policy, own_successes(step.batch, self.rollouts)
        if not is_due(step.step, self.every) or policy is None or not rows:
            return None
        source = self.source or latents_of(expect_readout(step.scheme, self.name), self.name)
        latents = self.latents or weighed_most(expect_readout(step.scheme, self.name), source, self.count)
        if not latents:
            return None
        rollouts = [step.batch.rollouts[row] for row in rows]
        with eval_mode(policy.model):
            editor = LatentEditor(source.tsae, policy, source.layer, rollouts)
            others = nearest_latents(mean_activations(editor), latents)
            sets = (latents, self._first_latents or latents, others)
            drop_EN = -editor.log_odds_shifts([Edit(which, ABLATE) for which in dict.fromkeys(sets) if which])
        drops = dict(zip(filter(None, dict.fromkeys(sets)), drop_EN, strict=True))
        return self._compare(latents, others, drops, rollouts)

    def _compare(
        self,
        latents: tuple[int, ...],
        others: tuple[int, ...],
        drops: Mapping[tuple[int, ...], Float[ndarray, " N"]],
        rollouts: Sequence[Rollout],
    ) -> Measurement | None:
        """`drops`: how far the log-odds of each token fall, for each set of latents that was ablated."""
        is_answer_N = np.array([role == "answer" for rollout in rollouts for role in rollout.roles])
        if not is_answer_N.any():
            return None
        on_answers = {which: float(drop_N[is_answer_N].mean()) for which, drop_N in drops.items()}
        in_steps_N, value = _in_right_steps(rollouts), on_answers[latents]
        first = value if self._first is None else self._first
        self._first, self._first_latents = first, self._first_latents or latents
        numbers = {
            "control": on_answers.get(others),
            "right_steps": float(drops[latents][in_steps_N].mean()) if in_steps_N.any() else None,
            "first": first,
            "of_first": on_answers[self._first_latents],
            "overlap": len({*latents} & {*self._first_latents}) / len(latents),
        }
        limit = self.least_share * first if first > 0 else None  # what did nothing can lose nothing
        text = f"the drop of the answer's log-odds when {len(latents)} latents are ablated that are paid"
        return Measurement(value, limit, "below", text, numbers)

    def state(self) -> Mapping[str, Tensor]:
        if self._first is None:
            return {}
        first = torch.tensor(self._first, dtype=torch.float64)
        return {"first": first, "first_latents": torch.tensor(self._first_latents, dtype=torch.long)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if "first" in state:
            self._first, self._first_latents = float(state["first"]), tuple(state["first_latents"].tolist())


def latents_of(readout: ReadoutCredit, monitor: str) -> Latents:
    """The first dictionary that a readout reads. One that reads none is refused."""
    for source in readout.sources:
        if isinstance(source, Latents):
            return source
    raise BadInput(
        f"the monitor {monitor} expected a readout that reads latents, got one that reads "
        f"{', '.join(source.name for source in readout.sources)}: leave the monitor out, or name source and latents"
    )


def weighed_most(readout: ReadoutCredit, source: Latents, count: int) -> tuple[int, ...]:
    """The latents whose activation makes a success most likely to be valid, by a standard deviation of each. None while
    the readout waits for its first fit."""
    state = readout.state()
    if readout.is_waiting:
        return ()
    before = readout.sources[: list(readout.sources).index(source)]
    widths = tuple(state["widths"].tolist()) or readout.labels.columns.widths
    start = sum(widths[: len(before)])
    weight_F = state["fit.weight_F"][start : start + source.tsae.width]
    order = weight_F.sort(descending=True, stable=True).indices[:count].tolist()
    return tuple(latent for latent in order if weight_F[latent] > 0)


@torch.no_grad()
def mean_activations(editor: LatentEditor) -> Float[Tensor, " F"]:
    """The mean activation of each latent over the tokens that an editor has read."""
    sum_F, n = torch.zeros(editor.tsae.width, dtype=torch.float64), 0
    for batch in editor.batches:
        x_ND = batch.read.x_BLD[:, batch.first :][batch.read.rows.mask_BL[:, batch.first :].bool()]
        n += len(x_ND)
        for x_nD in x_ND.split(max(1, ENTRIES // editor.tsae.width)):
            sum_F += editor.tsae.encode(x_nD).double().sum(0).cpu()
    return sum_F / max(n, 1)


def nearest_latents(mean_F: Float[Tensor, " F"], latents: Sequence[int]) -> tuple[int, ...]:
    """For each latent another one, nearest in mean activation, none of them twice; fewer if there are no more."""
    free = torch.ones_like(mean_F, dtype=torch.bool)
    free[list(latents)] = False
    chosen: list[int] = []
    for latent in latents:
        if not bool(free.any()):
            break
        distance_F = (mean_F - mean_F[latent]).abs().masked_fill(~free, torch.inf)
        chosen.append(int(distance_F.argmin()))
        free[chosen[-1]] = False
    return tuple(chosen)


def _in_right_steps(rollouts: Sequence[Rollout]) -> ndarray:
    """Which tokens stand in a step that is right."""
    flags: list[bool] = []
    for rollout in rollouts:
        own = [False] * len(rollout.tokens)
        for step in rollout.steps:
            if step.holds and step.follows:
                own[step.start : step.end] = [True] * (min(step.end, len(own)) - step.start)
        flags += own
    return np.array(flags, dtype=bool)
