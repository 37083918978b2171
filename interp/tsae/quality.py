"""How good a dictionary is on a store, and, where the policies are at hand, how much of the loss it recovers.

One pass over the store's tokens (those the dictionary was trained on: completions, and prompts if they were among
them). For the loss, the residual at the dictionary's layer is replaced by its reconstruction at completion tokens, and
only tokens whose prediction that can reach are counted. Two ablations stand beside it: the mean of the residual in
its place, which is the fairer, and zero, which is what most report.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.checks import expect_type
from interp.device import resolve_device
from interp.encoding.recovery import SpliceEvaluator
from interp.policy.policy import Policy
from interp.tsae.batches import Pool, Pools
from interp.tsae.codes import ENTRIES
from interp.tsae.dictionary import TSAE
from interp.tsae.metrics import (
    FVE,
    L0,
    ActiveLatents,
    Cosine,
    Firing,
    FiringRates,
    Membership,
    LossRecovered,
    Smoothness,
    SmoothnessTable,
    block_membership,
)
from interp.tsae.provenance import expect_shared_policy, resolve_layer, reader_fingerprints

if TYPE_CHECKING:
    import polars as pl

POLICIES = "as lambda step: series.at(step).load()"


@dataclass(frozen=True)
class Quality:
    tokens: int
    includes_prompts: bool
    """Whether those of prompts are among them."""
    is_training_store: bool | None
    """Whether these are the very activations that the dictionary was fitted on. None where it does not say."""
    fve: float | None
    fve_slow: float | None
    """By the slow block alone."""
    cosine: float | None
    l0: ActiveLatents
    firing: FiringRates
    smoothness: SmoothnessTable
    membership: Membership | None
    """None for a dictionary of one block."""
    membership_alive: Membership | None
    """Without the latents that never fired, which have no place in the order of firing rates."""
    recovered: LossRecovered | None = None
    """Against the mean in the residual's place. None where no policies were given."""
    recovered_from_zero: LossRecovered | None = None
    recovered_documents: int = 0
    """On how many documents the loss recovered was measured: on none where no policies were given."""

    def headline(self) -> dict[str, Any]:
        """The figures most asked for."""
        smooth, slow = self.smoothness, self.smoothness.per_block[0]
        found: dict[str, Any] = {
            "tokens": self.tokens, "prompts": self.includes_prompts, "fitted_on": self.is_training_store,
            "fve": self.fve, "fve_slow": self.fve_slow, "cosine": self.cosine,
            "l0": self.l0.total, "l0_slow": self.l0.per_block[0], "dead_share": self.firing.dead_share,
            "autocorrelation": smooth.total.autocorrelation, "autocorrelation_slow": slow.autocorrelation,
            "autocorrelation_fast": smooth.per_block[-1].autocorrelation if len(smooth.per_block) > 1 else None,
            "total_variation": smooth.total.total_variation, "total_variation_slow": slow.total_variation,
            "run_tokens_slow": slow.run_tokens, "paper_smoothness": smooth.total.paper,
            "paper_smoothness_slow": slow.paper,
            "rate_auroc": self.membership.auroc if self.membership else None,
            "rate_auroc_living": self.membership_alive.auroc if self.membership_alive else None,
        }  # fmt: skip
        found["recovered_documents"] = self.recovered_documents
        found["recovered_tokens"] = 0 if self.recovered is None else self.recovered.n
        for name, recovered in ("", self.recovered), ("_from_zero", self.recovered_from_zero):
            if recovered is not None:
                found[f"ce_recovered{name}"] = recovered.ce_recovered
                found[f"kl_recovered{name}"] = recovered.kl_recovered
        return found

    def table(self) -> "pl.DataFrame":
        import polars as pl

        return pl.DataFrame([self.headline()])


def evaluate(
    tsae: TSAE,
    store: Store,
    *,
    policies: Callable[[int], Policy] | None = None,
    layer: int | None = None,
    documents: int = 512,
    allow_unrelated_policies: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Quality:
    """`policies` gives the policy of a step, e.g. `lambda step: series.at(step).load()`: of the checkpoints that read
    the store, at most `documents` documents in all are read again, with and without the splice. `layer` is asked for
    where the dictionary does not say. A store that none of the policies read which the dictionary was fitted on is
    refused, unless `allow_unrelated_policies` is wanted."""
    expect_type(tsae, TSAE, "load it with TSAE.load(path)")
    expect_type(store, Store, "open it with Store.open(path)")
    if policies is not None and not callable(policies):
        raise BadInput(f"policies must give the policy of a step, {POLICIES}; got {policies!r:.60}")
    if documents < 1:
        raise BadInput(f"documents must be at least 1; got {documents}: leave the policies out to measure none")
    layer = resolve_layer(tsae, layer)
    _expect_held(tsae, store, layer)
    if not allow_unrelated_policies:
        expect_shared_policy(tsae, reader_fingerprints(store), "store")
    tsae = tsae.to(resolve_device(device)[0])
    found, pools = _Sums(tsae), Pools(store, layer, prompts=_prompts(tsae))
    shards = tqdm(range(len(store.shards)), desc="measuring", unit="shard", delay=1, leave=False, disable=not progress)
    for shard in shards:
        found.add(pools.read_shards(shard))
    if not found.tokens:
        raise BadInput(f"{store.path}: expected tokens to measure on, got none: does it hold prompts alone?")
    splices = None
    if policies is not None:
        mean_D = found.fve.mean_D
        assert mean_D is not None, "tokens were measured"
        splices = SpliceEvaluator(tsae, layer, mean_D.float())
        for step, prompts, completions in _documents(store, documents):
            policy = policies(step)
            expect_type(policy, Policy, f"policies must give the policy of a step, {POLICIES}")
            _expect_same_policy(store, step, policy)
            splices.update(policy, prompts, completions)
    known = tsae.made_from.get("store")
    return found.quality(splices, fitted_on=None if known is None else known == store.fingerprint())


class _Sums:
    def __init__(self, tsae: TSAE) -> None:
        self.tsae, self.tokens = tsae, 0
        self.fve, self.fve_slow, self.cosine = FVE(), FVE(), Cosine()
        self.l0, self.firing, self.smoothness = L0(tsae.block_widths), Firing(tsae.block_widths), Smoothness(tsae.block_widths)

    def add(self, pool: Pool) -> None:
        for x_ND, joined_N in _whole_documents(pool, max(1, ENTRIES // self.tsae.width)):
            z_NF = self.tsae.encode(x_ND.to(self.tsae.W_enc.device))
            xhat_ND = self.tsae.decode(z_NF).cpu()
            self.fve.update(x_ND=x_ND, xhat_ND=xhat_ND)
            self.fve_slow.update(x_ND=x_ND, xhat_ND=self.tsae.decode_slow(z_NF).cpu())
            self.cosine.update(x_ND=x_ND, xhat_ND=xhat_ND)
            self.l0.update(z_NF=z_NF)
            self.firing.update(z_NF=z_NF)
            self.smoothness.update(z_NF=z_NF.cpu(), x_ND=x_ND, joined_N=joined_N)
            self.tokens += len(x_ND)

    def quality(self, splices: SpliceEvaluator | None, *, fitted_on: bool | None) -> Quality:
        firing, blocks = self.firing.compute(), self.tsae.block_widths
        slow_F, rate_F = np.arange(self.tsae.width) < self.tsae.n_slow, firing.firing_rate_F.cpu().numpy()
        alive_F = rate_F > 0
        recovered, from_zero = (None, None) if splices is None else splices.compute()
        return Quality(
            tokens=self.tokens,
            includes_prompts=_prompts(self.tsae),
            is_training_store=fitted_on,
            fve=self.fve.compute(),
            fve_slow=self.fve_slow.compute(),
            cosine=self.cosine.compute().value,
            l0=self.l0.compute(),
            firing=firing,
            smoothness=self.smoothness.compute(),
            membership=block_membership(rate_F, slow_F) if len(blocks) > 1 else None,
            membership_alive=(
                block_membership(rate_F[alive_F], slow_F[alive_F]) if len(blocks) > 1 and alive_F.any() else None
            ),
            recovered=recovered,
            recovered_from_zero=from_zero,
            recovered_documents=0 if splices is None else splices.n_documents,
        )


def _whole_documents(pool: Pool, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The tokens trained on, about `rows` at a time and never half a document; and which of them go on."""
    held = pool.trained_rows
    begins = np.append((held.position_N == 0).nonzero()[0], len(held))
    start = 0
    while start < len(held):
        at = max(np.searchsorted(begins, start + rows, side="right") - 1, np.searchsorted(begins, start) + 1)
        end = int(begins[at])
        place, joined = held.row_N[start:end], held.position_N[start:end] > 0
        yield pool.x_PD[torch.from_numpy(place)], torch.from_numpy(joined)
        start = end


def _documents(store: Store, count: int) -> Iterator[tuple[int, list[list[int]], list[list[int]]]]:
    """`count` documents, or all there are, drawn from all over the store: by the step that reads them, prompts and
    completions."""
    if "reader" not in store.documents.columns:
        raise BadInput(f"{store.path}: expected documents that say which checkpoint read them, got a store without")
    numbered = store.documents.with_row_index("document")
    numbered = numbered.sample(min(count, numbered.height), seed=0)  # every n-th may be of one level
    for (step,), part in numbered.sort("reader").group_by("reader", maintain_order=True):
        prompts, completions = [], []
        for (shard,), held in part.sort("document").group_by("shard", maintain_order=True):
            ids = store.tokens(int(shard)).ids  # pyright: ignore[reportArgumentType]
            for row in held.iter_rows(named=True):
                mine = ids[row["first"] : row["first"] + row["length"]].tolist()
                prompts.append(mine[: row["prompt"]])
                completions.append(mine[row["prompt"] :])
        yield int(step), prompts, completions  # pyright: ignore[reportArgumentType]


def _prompts(tsae: TSAE) -> bool:
    return tsae.config is not None and tsae.config.training.prompts


def _expect_held(tsae: TSAE, store: Store, layer: int) -> None:
    if layer not in store.layers or tsae.d_model != store.d_model:
        raise Mismatch(
            f"{store.path}: expected activations of layer {layer} and dimension {tsae.d_model}, as the dictionary's; "
            f"got layers {', '.join(map(str, store.layers))} and dimension {store.d_model}: collect that layer"
        )


def _expect_same_policy(store: Store, step: int, policy: Policy) -> None:
    wanted, got = store.made_from.get(f"policy-{step}"), policy.fingerprint()
    if wanted is not None and wanted != got:
        raise Mismatch(
            f"{store.path} was read by another checkpoint {step}: expected weights {wanted}, got {got}: "
            "use the series it was collected from"
        )
