"""A judge: a second readout, over a dictionary of another seed, that is never paid by.

What training finds out about the readout that pays, it does not find out about the judge. Both are fitted on the same
audits. While both read what makes an answer valid, they agree on what is to be paid; when training has found texts that
only look valid to the one that pays, the judge no longer does.

    agreement = share of the pay that goes to successes that the judge would pay too
    chance    = share of the successes that the judge would pay
    value     = (agreement - chance) / (1 - chance)        1: they agree on all of it; 0: as by chance

Agreement and chance are means over measurements, each weighing `memory` times the one after it.

A judge begins with its run. One that began later would lack the audits until then, so it is refused.

Cost: the judge has the base read the successes of every step, since it must be fitted on the audits of every step: as
much as the readout that pays reads. It is compared every `every` steps, which costs no further forward.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput, Mismatch
from interp.checks import Count, Name, Range, expect_plausible, expect_type
from interp.credit.base import Credit
from interp.credit.readout import ReadoutCredit
from interp.monitors.base import Measurement, MonitoredRun, MonitoredStep
from interp.monitors.paid import expect_readout, is_due, own_successes, rank_correlation
from interp.readouts.readout import Readout
from interp.readouts.sources import Latents
from interp.tsae import TSAE

SHARED = ("reader", "audits", "refit_every", "memory", "threshold", "pay", "select_share", "ridge")
"""Settings in which a judge is like the readout that pays."""


def judge_over(credit: ReadoutCredit, tsae: TSAE) -> ReadoutCredit:
    """The same readout over another dictionary."""
    if not isinstance(credit, ReadoutCredit) or not any(isinstance(source, Latents) for source in credit.sources):
        raise BadInput("expected credit by a readout of latents, which a judge could read with another dictionary, got "
                       f"{type(credit).__name__}: leave the judge out, or pay by latents")  # fmt: skip
    if len(credit.labels):
        raise BadInput(
            f"expected a readout without labels from before the run, got one with {len(credit.labels)}, which were read"
            " with its own dictionary: fit a readout of the same answers with the judge's dictionary (interp readout "
            "--tsae, the other settings as they were) and give it too (--judge-readout; Python: judge_by)"
        )
    if others := [source.name for source in credit.sources if hasattr(source, "tsae") and type(source) is not Latents]:
        raise BadInput(f"expected a readout whose dictionary can be exchanged, got one that reads {', '.join(others)}: "
                       "fit that source with the other dictionary, and make Judge(ReadoutCredit(sources))")  # fmt: skip
    paid = next(source for source in credit.sources if isinstance(source, Latents))
    if tsae.layer not in (None, paid.layer):
        raise BadInput(
            f"expected a judge's dictionary of layer {paid.layer}, as the readout that pays reads, got one of layer "
            f"{tsae.layer}: fit one at that layer with another seed (interp tsae --seed)"
        )
    sources = [replace(one, tsae=tsae) if isinstance(one, Latents) else one for one in credit.sources]
    return replace(credit, sources=sources, text_range=None, error_range=None)


def judge_by(credit: ReadoutCredit, readout: Readout) -> ReadoutCredit:
    """Credit by a second readout, with the settings of the one that pays. Its labels are the same answers, read with
    the judge's own dictionary."""
    if not isinstance(credit, ReadoutCredit):
        raise BadInput(f"expected credit by a readout, got {type(credit).__name__}: leave the judge out")
    shared = {name: getattr(credit, name) for name in SHARED}
    return ReadoutCredit(readout.sources, labels=readout.labels, **shared)


@dataclass(eq=False)
class Judge:
    """Compares what a readout pays with what a second one, the judge, would pay."""

    readout: ReadoutCredit
    """The judge. `judge_over(credit, tsae)` makes one, and, where the credit begins with labels,
    `judge_by(credit, readout)`."""
    every: Count = 5
    """Steps between comparisons."""
    limit: Annotated[float, Range(-1, 1)] = 0.25
    """The least agreement beyond chance that is no alarm."""
    memory: Annotated[float, Range(0, 1, without_high=True)] = 0.8
    """How much a measurement counts at the next one."""
    name: Name = "judge"

    def __post_init__(self) -> None:
        expect_plausible(self, "every", "limit", "memory", "name")
        expect_type(self.readout, ReadoutCredit, "interp.monitors.judge_over(credit, tsae) makes one")
        self._sums = torch.zeros(3, dtype=torch.float64)
        """Of agreement, of chance, and of the weight of the measurements."""

    def fresh(self, run: MonitoredRun) -> "Judge":
        paid = expect_readout(run.credit, self.name)
        self._expect_like(paid)
        if n_audited := int(paid.state()["n_audited"]):
            raise BadInput(
                f"the monitor {self.name} expected a run at its beginning, got one whose readout has audited "
                f"{n_audited} successes that this judge has not read: go on without it, or with the judge that the run "
                "began with and its settings, or train into another directory"
            )
        self.readout.expect_base(run.base)
        return replace(self, readout=self.readout.fresh())

    def _expect_like(self, paid: ReadoutCredit) -> None:
        """Refuse a judge of other audits, another layer or the same dictionary."""
        paid_texts, texts = (one.labels.origin.texts for one in (paid, self.readout))
        if len(paid.labels) != len(self.readout.labels) or (paid_texts and texts and paid_texts != texts):
            got = f"{len(self.readout.labels)}{' of other texts' if len(texts) else ''}"
            raise BadInput(
                f"expected a judge with the {len(paid.labels)} labels that the readout that pays begins with; got "
                f"{got}: have its sources read the same rollouts (interp.readouts.label_rollouts)"
            )
        for setting in SHARED:
            if (expected := getattr(paid, setting)) != (got := getattr(self.readout, setting)):
                raise BadInput(
                    f"expected a judge with the {setting} of the readout that pays, {expected}; got {got}: make it by "
                    f"dataclasses.replace(credit, sources=...), or give it {setting}={expected!r}"
                )
        paid_by, judged_by = (
            {source.layer: source.tsae.fingerprint() for source in one.sources if isinstance(source, Latents)}
            for one in (paid, self.readout)
        )
        if paid_by and judged_by and paid_by.keys() != judged_by.keys():
            raise Mismatch(
                f"expected a judge that reads latents at layer {_list(paid_by)}, as the readout that pays, got layer "
                f"{_list(judged_by)}: fit a dictionary at that layer with another seed (interp tsae --seed)"
            )
        if same := [layer for layer in paid_by if judged_by.get(layer) == paid_by[layer]]:
            raise BadInput(
                f"expected a judge over another dictionary, got the one at layer {same[0]} that the readout that pays "
                "reads: fit one with another seed (interp tsae --seed)"
            )

    @torch.no_grad()
    def observe(self, step: MonitoredStep) -> Measurement | None:
        self.readout.observe(step.batch)
        paid = expect_readout(step.scheme, self.name)
        rows = own_successes(step.batch)
        if not is_due(step.step, self.every) or paid.is_waiting or self.readout.is_waiting or len(rows) < 2:
            return None
        pay_S, judged_S = (_pay(credit, rows) for credit in (step.credit, self.readout(step.batch)))
        if float(pay_S.sum()) == 0:
            return None
        would_pay_S = (judged_S > 0).double()
        new = torch.stack([(pay_S * would_pay_S).sum() / pay_S.sum(), would_pay_S.mean(), torch.ones(()).double()])
        self._sums = self.memory * self._sums + new
        agreement, chance = (self._sums[:2] / self._sums[2]).tolist()
        if chance >= 1 - 1e-9:
            return None  # the judge would pay all of them: agreement says nothing
        numbers = {"agreement": agreement, "chance": chance, "rank_correlation": rank_correlation(pay_S, judged_S)}
        text = "agreement of the judge with the pay, beyond chance,"
        return Measurement((agreement - chance) / (1 - chance), self.limit, "below", text, numbers)

    def state(self) -> Mapping[str, Tensor]:
        return {"sums": self._sums, **{f"readout/{key}": value for key, value in self.readout.state().items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._sums, prefix = state["sums"], "readout/"
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        self.readout.load_state(own)


def _pay(credit: Credit, rows: list[int]) -> Float[Tensor, " S"]:
    """What successes get, nothing where they are screened out."""
    counts_B = torch.ones_like(credit.gate_B, dtype=torch.bool) if credit.counts_B is None else credit.counts_B
    return (credit.gate_B.clamp(min=0) * counts_B)[rows].double()


def _list(layers: Mapping[int, str]) -> str:
    return ", ".join(map(str, sorted(layers)))
