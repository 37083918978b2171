"""A dictionary's reconstruction in place of the residual: what is left of what the policy says.

Spliced at completion tokens alone, and counted where the prediction can be reached by it. Two ablations stand beside
it: the mean of the residual in its place, which is the fairer, and zero, which is what most report (and which can be
left out).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp.device import eval_mode
from interp.policy.policy import Policy
from interp.policy.residual import splice_residual
from interp.policy.score import AlignedRows, align_rows, batches_by_length, completion_logits
from interp.tsae.dictionary import TSAE
from interp.tsae.metrics import SpliceLosses, LossRecovered

MICRO_TOKENS = 2048


@dataclass
class SpliceEvaluator:
    tsae: TSAE
    layer: int
    mean_D: Tensor
    measure_zero: bool = True
    against_mean: SpliceLosses = field(default_factory=SpliceLosses)
    against_zero: SpliceLosses = field(default_factory=SpliceLosses)
    n_documents: int = 0
    """Of which a token was counted."""

    @torch.no_grad()
    def update(self, policy: Policy, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> None:
        there = self.tsae.to(policy.device)
        edits = (lambda x: there.decode(there.encode(x)).to(x.dtype), lambda x: self.mean_D.to(x).expand_as(x))
        for batch in batches_by_length(prompts, completions, MICRO_TOKENS):
            rows = align_rows([prompts[at] for at in batch], [completions[at] for at in batch], policy.pad_id, policy.device)
            with eval_mode(policy.model):
                clean = completion_logits(policy.model, rows)
                spliced, mean = (self._spliced(policy, rows, edit) for edit in edits)
                zero = self._spliced(policy, rows, torch.zeros_like) if self.measure_zero else None
            reached = rows.mask_BL[:, rows.start :].bool()
            reached[:, 0] = False  # predicted before the first splice
            self.n_documents += int(reached.any(1).sum())
            told = {"tokens_BL": rows.ids_BL[:, rows.start :], "mask_BL": reached}
            self.against_mean.update(clean_BLV=clean, spliced_BLV=spliced, ablated_BLV=mean, **told)
            if zero is not None:
                self.against_zero.update(clean_BLV=clean, spliced_BLV=spliced, ablated_BLV=zero, **told)

    def compute(self) -> tuple[LossRecovered, LossRecovered]:
        """Against the mean, and against zero."""
        return self.against_mean.compute(), self.against_zero.compute()

    def _spliced(self, policy: Policy, rows: AlignedRows, edit: Callable[[Tensor], Tensor]) -> Tensor:
        mask_BL = rows.mask_BL.bool()
        mask_BL[:, : rows.start] = False
        with splice_residual(policy.model, self.layer, edit, mask_BL=mask_BL):
            return completion_logits(policy.model, rows)
