"""Probes: AUROC with which a label can be read from a block of latents, or from the residual, on held-out documents.

Each class of a label is probed against the rest, and AUROC is averaged over classes. For each class, the k latents
whose mean differs most between the class and the rest, in standard deviations over all training rows and of either
sign, are standardized and go into a logistic regression (`logistic.py`). (This ranks latents by correlation with the
class; a constant latent has none.) k = None takes all columns. On the residual this is the baseline, which the
literature finds hard to beat.

`control_probe` probes labels permuted among documents: what it finds above 0.5 is chance. The paper's own "context"
probe is tested on tokens of the documents it was trained on; here whole documents, or problems, are held out.
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
    """Options of `probe`."""

    ks: tuple[int | None, ...] = (1, 5, 20, None)
    """Latents a probe uses: all of them if None, or if there are fewer than k."""
    test_share: float = 0.3
    """Share of the documents that is held out for testing."""
    l2: float = 1e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """Result for one k."""

    k: int | None
    auroc: float | None
    """Mean over the classes that have one."""
    by_class: dict[int, float | None]
    """None for a class without both positive and negative rows in training and in test documents."""
    latents: dict[int, tuple[int, ...]]
    """Columns used for each class, the largest difference first; empty if all were used."""


def probe(
    z_NF: Float[Tensor, "N F"],
    label_N: Int[Tensor, " N"],
    group_N: Int[Tensor, " N"],
    config: ProbeConfig | None = None,
) -> tuple[Probe, ...]:
    """A probe for each of `ks`. Rows labeled -1 are left out. `group_N` gives the unit that is held out whole: the
    document of each row, or its problem."""
    config = config or ProbeConfig()
    z_NF, label_N, group_N = _labeled_rows(z_NF, label_N, group_N)
    test_N = held_out_rows(group_N, config.test_share, config.seed)
    mean_F, std_F = _mean_and_std(z_NF[~test_N])
    x_NF = (z_NF - mean_F) / std_F
    classes = label_N.unique().tolist()
    classes = classes[1:] if len(classes) == 2 else classes  # two classes give one probe, twice
    on_NC = torch.stack([label_N == label for label in classes], dim=1)
    trainable_C = on_NC[~test_N].any(0) & ~on_NC[~test_N].all(0)
    scores = [_scores(x_NF, on_NC, ~test_N, k, config.l2) for k in config.ks]
    return tuple(
        _evaluate(k, classes, score_NC[test_N], on_NC[test_N], trainable_C, columns_KC)
        for k, (score_NC, columns_KC) in zip(config.ks, scores, strict=True)
    )


def control_probe(
    z_NF: Float[Tensor, "N F"],
    label_N: Int[Tensor, " N"],
    group_N: Int[Tensor, " N"],
    config: ProbeConfig | None = None,
    *,
    document_N: Int[Tensor, " N"] | None = None,
) -> tuple[Probe, ...]:
    """The same probes on labels permuted among documents. `document_N` gives the document of each row, if the groups
    of `group_N` are larger than documents."""
    config = config or ProbeConfig()
    document_N = group_N if document_N is None else document_N
    z_NF, label_N, group_N, document_N = _labeled_rows(z_NF, label_N, group_N, document_N)
    return probe(z_NF, permute_labels(label_N, document_N, config.seed), group_N, config)


def _labeled_rows(z_NF: Tensor, label_N: Tensor, *groups: Tensor) -> tuple[Tensor, ...]:
    for name, x_N in ("label_N", label_N), *(("group_N", group_N) for group_N in groups):
        expect_shape(name, x_N, (len(z_NF),))
    rows = (z_NF.float(), *(x_N.to(z_NF.device) for x_N in (label_N, *groups)))
    labeled_N = rows[1] != -1
    if len(rows[1][labeled_N].unique()) < 2:
        raise BadInput(f"expected labels of at least two classes, got {rows[1][labeled_N].unique().tolist()}")
    return rows if labeled_N.all() else tuple(x_N[labeled_N] for x_N in rows)


def _mean_and_std(z_NF: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column, with 1 as the deviation of a constant column."""
    mean_F, std_F = z_NF.mean(0), z_NF.std(0, correction=0)
    constant_F = (z_NF == z_NF[0]).all(0)  # rounding can leave equal values a deviation above 0
    return mean_F, std_F.masked_fill(constant_F, 1)


def _scores(x_NF: Tensor, on_NC: Tensor, train_N: Tensor, k: int | None, l2: float) -> tuple[Tensor, Tensor | None]:
    """The score of every row for every class, and the columns used for each class (None: all)."""
    if k is None:
        weight_FC, bias_C = fit_logistic(x_NF[train_N], on_NC[train_N], l2)
        return x_NF @ weight_FC + bias_C, None
    columns_KC = _most_different(x_NF[train_N], on_NC[train_N], k)
    scores = []
    for label, columns_K in enumerate(columns_KC.T):
        x_NK = to_float64(x_NF[:, columns_K])
        on_N1 = on_NC[train_N, label : label + 1].to(x_NK.device)
        weight_K1, bias_1 = fit_logistic(x_NK[train_N.to(x_NK.device)], on_N1, l2)
        scores.append(x_NK @ weight_K1 + bias_1)
    return torch.cat(scores, dim=1), columns_KC


def _most_different(x_NF: Tensor, on_NC: Bool[Tensor, "N C"], k: int) -> Tensor:
    """The k columns of standardized rows with the greatest difference in means between a class and the rest, the
    greatest first, for each class."""
    n_C, on_CN = on_NC.sum(0), on_NC.T.to(x_NF.dtype)
    class_CF = on_CN @ x_NF
    rest_CF = x_NF.sum(0) - class_CF
    difference_CF = class_CF / n_C.clamp(min=1)[:, None] - rest_CF / (len(x_NF) - n_C).clamp(min=1)[:, None]
    return difference_CF.abs().argsort(dim=1, descending=True, stable=True)[:, :k].T


def _evaluate(
    k: int | None, classes: list[int], score_NC: Tensor, on_NC: Tensor, trainable_C: Tensor, columns_KC: Tensor | None
) -> Probe:
    score_NC, on_NC = score_NC.cpu(), on_NC.cpu()
    by_class = {
        label: auroc(score_NC[:, i].numpy(), on_NC[:, i].numpy()) if trainable_C[i] else None
        for i, label in enumerate(classes)
    }
    latents = {label: () if columns_KC is None else tuple(columns_KC[:, i].tolist()) for i, label in enumerate(classes)}
    values = [value for value in by_class.values() if value is not None]
    return Probe(k, sum(values) / len(values) if values else None, by_class, latents)
