"""Loss recovered: how much of a policy's prediction survives when a dictionary's reconstruction replaces the residual.

The residual at the dictionary's layer is replaced at completion tokens, and the loss is measured on the tokens whose
prediction the replacement can reach: every completion token but the first. Two ablations give the scale. Replacing the
residual by its mean is the fairer one; replacing it by zero is what most papers report. With CE and KL in nats a token:

    ce_recovered = (CE_ablated - CE_spliced) / (CE_ablated - CE_clean)
    kl_recovered = 1 - KL(clean || spliced) / KL(clean || ablated)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch, same_fingerprint
from interp.checks import expect_type
from interp.device import eval_mode
from interp.display import HtmlSummary, bar_settings
from interp.policy.policy import Policy
from interp.policy.residual import output_activations, record_outputs, replace_residual, resume_from
from interp.policy.score import AlignedRows, align_rows, batches_by_length, completion_logits
from interp.rollouts.series import Series
from interp.tsae.dictionary import TSAE
from interp.tsae.metrics import LossRecovered, SpliceLosses
from interp.tsae.pools import Pools
from interp.tsae.provenance import expect_matching_store, resolve_layer

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

MICRO_TOKENS = 2048
POLICIES_HINT = "pass a Series, or a function such as lambda step: series.checkpoint(step).load()"


@dataclass(frozen=True, repr=False)
class LossRecovery(HtmlSummary):
    """Loss recovered by a dictionary, against each ablation."""

    from_mean: LossRecovered
    """The ablation replaces the residual by its mean."""
    from_zero: LossRecovered
    """The ablation replaces the residual by zero."""
    documents: int
    """Documents with a token measured."""

    def __repr__(self) -> str:
        ce, kl = self.from_mean.ce_recovered, self.from_mean.kl_recovered
        figures = ", ".join(f"{name} {value:.3f}" for name, value in (("CE", ce), ("KL", kl)) if value is not None)
        return f"LossRecovery({self.from_mean.n:,} tokens of {self.documents:,} documents, against the mean: {figures})"

    def headline(self) -> dict[str, Any]:
        """The main figures by name, as plain values."""
        figures: dict[str, Any] = {"recovered_documents": self.documents, "recovered_tokens": self.from_mean.n}
        for suffix, recovered in (("", self.from_mean), ("_from_zero", self.from_zero)):
            figures[f"ce_recovered{suffix}"] = recovered.ce_recovered
            figures[f"kl_recovered{suffix}"] = recovered.kl_recovered
        return figures

    def table(self) -> "pl.DataFrame":
        """A row per ablation: CE and KL in nats a token, clean, spliced and ablated, and the shares recovered."""
        import polars as pl

        rows = {"mean": self.from_mean, "zero": self.from_zero}
        return pl.DataFrame(
            [
                {
                    "ablation": name,
                    "ce_clean": recovered.ce_clean_nats_per_token,
                    "ce_spliced": recovered.ce_spliced_nats_per_token,
                    "ce_ablated": recovered.ce_ablated_nats_per_token,
                    "ce_recovered": recovered.ce_recovered,
                    "kl_spliced": recovered.kl_spliced_nats_per_token,
                    "kl_ablated": recovered.kl_ablated_nats_per_token,
                    "kl_recovered": recovered.kl_recovered,
                    "tokens": recovered.n,
                    "documents": self.documents,
                }
                for name, recovered in rows.items()
            ]
        )

    def summary(self) -> "pl.DataFrame":
        """A row per ablation: the shares recovered, on how many tokens and documents."""
        return self.table().select("ablation", "ce_recovered", "kl_recovered", "tokens", "documents")

    def figure(self) -> "go.Figure":
        """Cross-entropy a token: clean, spliced, and under each ablation."""
        import plotly.graph_objects as go

        mean, zero = self.from_mean, self.from_zero
        bars = {
            "clean": mean.ce_clean_nats_per_token,
            "reconstruction": mean.ce_spliced_nats_per_token,
            "mean": mean.ce_ablated_nats_per_token,
            "zero": zero.ce_ablated_nats_per_token,
        }
        figure = go.Figure(go.Bar(x=list(bars), y=list(bars.values())))
        figure.update_xaxes(title_text="in place of the residual")
        figure.update_yaxes(title_text="cross-entropy (nats a token)")
        return figure.update_layout(template="simple_white", height=400, font={"size": 13})


def loss_recovered(
    tsae: TSAE,
    store: Store,
    policies: Series | Callable[[int], Policy],
    *,
    layer: int | None = None,
    documents: int = 512,
    skip_first: int | None = None,
    allow_unrelated_policies: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = True,
) -> LossRecovery:
    """Loss recovered on a sample of at most `documents` documents of a store, each read by the policy that read it.

    `policies` is the series the store was collected from (loaded onto `device`, in `dtype`), or a function from a step
    to its policy. `layer` is needed only for a dictionary that does not say its layer. The first `skip_first` tokens of
    each document are not replaced; by default those on which the dictionary was not fitted. A store with none of the
    policies that it was fitted on is refused, unless `allow_unrelated_policies`."""
    expect_type(tsae, TSAE, "load it with TSAE.load(path)")
    expect_type(store, Store, "open it with Store.open(path)")
    load_policy = _policy_loader(policies, device, dtype)
    if isinstance(policies, Series):
        _expect_every_reader(store, policies)
    if documents < 1:
        raise BadInput(f"documents must be at least 1; got {documents}: leave the policies out to measure none")
    stored = expect_matching_store(tsae, store, layer=layer, allow_unrelated_policies=allow_unrelated_policies)
    skip_first = tsae.skip_first if skip_first is None else skip_first
    pools = Pools(store, stored, prompts=tsae.trained_on_prompts, skip_first=skip_first)
    mean_D = _mean_residual(pools, len(store.shards))
    evaluator = SpliceEvaluator(tsae, resolve_layer(tsae, layer), mean_D, skip_first=skip_first)
    samples = sample_documents(store, documents)
    progress_bar = tqdm(samples, desc="splicing", unit="checkpoint", delay=1, leave=False, **bar_settings(progress))
    for step, prompts, completions in progress_bar:
        policy = load_policy(step)
        expect_type(policy, Policy, f"expected policies to give the policy of a step: {POLICIES_HINT}")
        _expect_reader(store, step, policy)
        evaluator.update(policy, prompts, completions)
    return evaluator.compute()


@dataclass
class SpliceEvaluator:
    """Runs policies clean, spliced and ablated, and sums their losses."""

    tsae: TSAE
    layer: int
    mean_D: Float[Tensor, " D"]
    measure_zero: bool = True
    """Whether the zero ablation is run too."""
    skip_first: int | None = None
    """First tokens of each document that are not replaced. Default: those on which the dictionary was not fitted."""
    against_mean: SpliceLosses = field(default_factory=SpliceLosses)
    against_zero: SpliceLosses = field(default_factory=SpliceLosses)
    n_documents: int = 0
    """Documents with a token measured."""

    @torch.no_grad()
    def update(self, policy: Policy, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> None:
        """Measure a policy on these token ids."""
        tsae = self.tsae.to(policy.device)
        for batch in batches_by_length(prompts, completions, MICRO_TOKENS):
            rows = align_rows(
                [prompts[i] for i in batch], [completions[i] for i in batch], policy.pad_id, policy.device
            )
            with eval_mode(policy.model):
                with record_outputs(policy.model, tsae.at(self.layer)) as outputs:
                    clean = completion_logits(policy.model, rows)
                resume = partial(self._logits, policy, rows, outputs[0])
                spliced = resume(lambda x: tsae.reconstruct(x).to(x.dtype))
                mean = resume(lambda x: self.mean_D.to(x).expand_as(x))
                zero = resume(torch.zeros_like) if self.measure_zero else None
            mask_BT, tokens_BT = rows.mask_BL[:, rows.start :].bool(), rows.ids_BL[:, rows.start :]
            mask_BT[:, 0] = False  # predicted from the prompt, before the first replaced residual
            self.n_documents += int(mask_BT.any(1).sum())
            for losses, ablated in ((self.against_mean, mean), (self.against_zero, zero)):
                if ablated is not None:
                    losses.update(
                        clean_BLV=clean, spliced_BLV=spliced, ablated_BLV=ablated, tokens_BL=tokens_BT, mask_BL=mask_BT
                    )

    def compute(self) -> LossRecovery:
        return LossRecovery(self.against_mean.compute(), self.against_zero.compute(), self.n_documents)

    def _logits(
        self, policy: Policy, rows: AlignedRows, output: Any, edit: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "B T V"]:
        """Logits with the residual of completion tokens edited, from a recorded output of the layer on."""
        mask_BL = rows.mask_BL.bool()
        mask_BL[:, : rows.start] = False
        skip_first = self.tsae.skip_first if self.skip_first is None else self.skip_first
        mask_BL &= rows.mask_BL.cumsum(1) > skip_first  # prompts shorter than that are rare
        x_BLD = output_activations(output)
        edited = replace_residual(output, torch.where(mask_BL[..., None], edit(x_BLD), x_BLD))
        with resume_from(policy.model, self.tsae.at(self.layer), edited):
            return completion_logits(policy.model, rows)


def sample_documents(store: Store, count: int) -> list[tuple[int, list[list[int]], list[list[int]]]]:
    """At most `count` documents, drawn from all over the store: for each step that read some, the step, and the token
    ids of their prompts and completions."""
    if "reader" not in store.documents.columns:
        raise BadInput(
            f"{store.path}: expected documents that say which checkpoint read them, got a store without: collect it "
            "from a series"
        )
    numbered = store.documents.with_row_index("document")
    sample = numbered.sample(min(count, numbered.height), seed=0)  # drawn: every n-th may be of one level
    samples = []
    for (step,), read_by_step in sample.sort("reader").group_by("reader", maintain_order=True):
        prompts, completions = [], []
        for (shard,), rows in read_by_step.sort("document").group_by("shard", maintain_order=True):
            ids = store.tokens(int(shard)).ids  # pyright: ignore[reportArgumentType]
            for row in rows.iter_rows(named=True):
                document = ids[row["first"] : row["first"] + row["length"]].tolist()
                prompts.append(document[: row["prompt"]])
                completions.append(document[row["prompt"] :])
        samples.append((int(step), prompts, completions))  # pyright: ignore[reportArgumentType]
    return samples


def _mean_residual(pools: Pools, n_shards: int) -> Float[Tensor, " D"]:
    """Mean over the tokens of the store that a dictionary is measured on, summed in float64."""
    total_D, n = torch.zeros(pools.store.d_model, dtype=torch.float64), 0
    for shard in range(n_shards):
        pool = pools.read_shards(shard)
        x_ND = pool.x_PD[torch.from_numpy(pool.trained_rows.row_N)]
        total_D, n = total_D + x_ND.double().sum(0), n + len(x_ND)
    if not n:
        raise BadInput(f"{pools.store.path}: expected tokens to measure on, got none: does it hold prompts alone?")
    return (total_D / n).float()


def _policy_loader(policies: Series | Callable[[int], Policy], device: str, dtype: str) -> Callable[[int], Policy]:
    if isinstance(policies, Series):
        series = policies
        return lambda step: series.checkpoint(step).load(device=device, dtype=dtype)
    if not callable(policies):
        raise BadInput(f"expected policies to give the policy of a step, got {policies!r:.60}: {POLICIES_HINT}")
    return policies


def _expect_every_reader(store: Store, series: Series) -> None:
    readers = sorted(set(store.documents["reader"].to_list())) if "reader" in store.documents.columns else []
    if missing := [step for step in readers if step not in series.steps]:
        raise BadInput(
            f"{store.path}: expected a series with the checkpoints that read it ({', '.join(map(str, readers))}), got "
            f"{', '.join(map(str, series.steps))} without {', '.join(map(str, missing))}: name the series it was "
            "collected from"
        )


def _expect_reader(store: Store, step: int, policy: Policy) -> None:
    expected, got = store.made_from.get(f"policy-{step}"), policy.fingerprint()
    if expected is not None and not same_fingerprint(expected, got):
        raise Mismatch(
            f"{store.path} was read by another checkpoint {step}: expected {expected}, got {got}: "
            "use the series it was collected from"
        )
