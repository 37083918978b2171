"""What labels can be read from a block of latents, or from the residual itself: AUROC on documents, or problems, not
trained on.

A label of several classes is asked one against the rest, and AUROC is averaged over the classes. For each class, the k
latents whose mean differs most, in standard deviations of the training rows, between the class and the rest (of either
sign; the deviation is that of all rows, so that it is a correlation but for a factor, and a latent that never varies
has none) go into a logistic regression (`logistic.py`), standardised. k of None takes all columns: with the residual in
place of the code that is the baseline, which the literature finds hard to beat.

`control` asks the same of labels dealt anew among documents: what it finds above 0.5 is chance. The paper's own
"context" probe tests on tokens of the documents it was trained on; here documents are held out whole.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.metrics.checks import expect_shape, to_float64
from interp.tsae.metrics.documents import held_out_rows, permute_labels
from interp.tsae.metrics.logistic import fit_logistic
from interp.tsae.metrics.ranks import auroc


@dataclass(frozen=True)
class ProbeConfig:
    ks: tuple[int | None, ...] = (1, 5, 20, None)
    """How many latents a probe may look at; None for all. Where there are fewer than k, it is all."""
    test_share: float = 0.3
    """The share of documents to test on."""
    l2: float = 1e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    k: int | None
    auroc: float | None
    """The mean over the classes that have one."""
    by_class: dict[int, float | None]
    """None for a class that is missing, or alone, among the documents trained on or those held out."""
    latents: dict[int, tuple[int, ...]]
    """The columns each class was read from, the most telling first; empty for all."""


def probe(
    z_NF: Float[Tensor, "N F"],
    label_N: Int[Tensor, " N"],
    group_N: Int[Tensor, " N"],
    config: ProbeConfig | None = None,
) -> tuple[Probe, ...]:
    """One for each of `ks`. Rows labelled -1 have no label. `group_N` says what a row is of that is held out whole: a
    document, or all documents of a problem."""
    config = config or ProbeConfig()
    z_NF, label_N, group_N = _labelled(z_NF, label_N, group_N)
    test_N = held_out_rows(group_N, config.test_share, config.seed)
    mean_F, deviation_F = _standard(z_NF[~test_N])
    x_NF = (z_NF - mean_F) / deviation_F
    classes = label_N.unique().tolist()
    asked = classes[1:] if len(classes) == 2 else classes  # of two, one is not the other: the same question
    on_NC = torch.stack([label_N == this for this in asked], dim=1)
    told_C = on_NC[~test_N].any(0) & ~on_NC[~test_N].all(0)
    scores = [_scores(x_NF, on_NC, ~test_N, k, config.l2) for k in config.ks]
    return tuple(
        _judged(k, asked, score_NC[test_N], on_NC[test_N], told_C, picked_KC)
        for k, (score_NC, picked_KC) in zip(config.ks, scores, strict=True)
    )


def control_probe(
    z_NF: Float[Tensor, "N F"],
    label_N: Int[Tensor, " N"],
    group_N: Int[Tensor, " N"],
    config: ProbeConfig | None = None,
    *,
    document_N: Int[Tensor, " N"] | None = None,
) -> tuple[Probe, ...]:
    """The same probes on labels that documents have from one another. `document_N` says which those are, where what is
    held out (`group_N`) is larger than a document."""
    config = config or ProbeConfig()
    document_N = group_N if document_N is None else document_N
    z_NF, label_N, group_N, document_N = _labelled(z_NF, label_N, group_N, document_N)
    return probe(z_NF, permute_labels(label_N, document_N, config.seed), group_N, config)


def _labelled(z_NF: Tensor, label_N: Tensor, *groups: Tensor) -> tuple[Tensor, ...]:
    for name, x_N in ("label_N", label_N), *(("group_N", group_N) for group_N in groups):
        expect_shape(name, x_N, (len(z_NF),))
    rows = (z_NF.float(), *(x_N.to(z_NF.device) for x_N in (label_N, *groups)))
    has_N = rows[1] != -1
    if len(rows[1][has_N].unique()) < 2:
        raise BadInput(f"expected labels of two classes at least, got {rows[1][has_N].unique().tolist()}")
    return rows if has_N.all() else tuple(x_N[has_N] for x_N in rows)


def _standard(z_NF: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column; one that does not vary is left as it is."""
    mean_F, deviation_F = z_NF.mean(0), z_NF.std(0, correction=0)
    constant_F = (z_NF == z_NF[0]).all(0)  # asked of the values: a deviation of equal ones may be left by rounding
    return mean_F, deviation_F.masked_fill(constant_F, 1)


def _scores(x_NF: Tensor, on_NC: Tensor, train_N: Tensor, k: int | None, l2: float) -> tuple[Tensor, Tensor | None]:
    """Of every row and class, and the columns each class was given."""
    if k is None:
        weight_FC, bias_C = fit_logistic(x_NF[train_N], on_NC[train_N], l2)
        return x_NF @ weight_FC + bias_C, None
    picked_KC = _most_telling(x_NF[train_N], on_NC[train_N], k)
    columns = []
    for this, picked_K in enumerate(picked_KC.T):
        x_NK = to_float64(x_NF[:, picked_K])
        weight_K1, bias_1 = fit_logistic(x_NK[train_N.to(x_NK.device)], on_NC[train_N, this : this + 1].to(x_NK.device), l2)
        columns.append(x_NK @ weight_K1 + bias_1)
    return torch.cat(columns, dim=1), picked_KC


def _most_telling(x_NF: Tensor, on_NC: Bool[Tensor, "N C"], k: int) -> Tensor:
    """By class, the columns of standardised rows with the greatest difference in means, the greatest first."""
    n_C, on_CN = on_NC.sum(0), on_NC.T.to(x_NF.dtype)
    inside_CF = on_CN @ x_NF
    outside_CF = x_NF.sum(0) - inside_CF
    apart_CF = inside_CF / n_C.clamp(min=1)[:, None] - outside_CF / (len(x_NF) - n_C).clamp(min=1)[:, None]
    return apart_CF.abs().argsort(dim=1, descending=True, stable=True)[:, :k].T


def _judged(
    k: int | None, classes: list[int], score_NC: Tensor, on_NC: Tensor, told_C: Tensor, picked_KC: Tensor | None
) -> Probe:
    score_NC, on_NC = score_NC.cpu(), on_NC.cpu()
    by_class = {
        this: auroc(score_NC[:, at].numpy(), on_NC[:, at].numpy()) if told_C[at] else None
        for at, this in enumerate(classes)
    }
    found = [value for value in by_class.values() if value is not None]
    latents = {this: () if picked_KC is None else tuple(picked_KC[:, at].tolist()) for at, this in enumerate(classes)}
    return Probe(k, sum(found) / len(found) if found else None, by_class, latents)
