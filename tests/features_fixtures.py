"""Labeled tokens, dictionaries, trials and roles made by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp.features import LabeledTokens, Roles, RolesConfig, Trial
from interp.features.ablation import Effect
from interp.features.falsification import Falsification
from interp.features.families import Contrast
from interp.features.labels import Decoys, token_facts
from interp.features.separation import ContrastMeans
from interp.rollouts import Rollout
from interp.stats import Estimate
from interp.tsae import TSAE
from interp.tsae.codes import Codes

CONTRASTS = {"reasoning": "valid chain", "computation": "result 7", "shortcut": "direct", "format": "arranging"}
"""A contrast of each role family."""
WITHSTOOD = Falsification(d=0.1, p=0.5, injection="a triple", reached_share=0.2, shuffled_share=0.0)


def axes_dictionary(d: int, layer: int, threshold: float = 0.5) -> TSAE:
    """Two latents for each axis of the residual, one for each sign."""
    eye = torch.eye(d)
    both = torch.cat([eye, -eye])
    bounds = torch.full((2 * d,), threshold)
    return TSAE(both.T, torch.zeros(2 * d), both, torch.zeros(d), bounds, block_widths=(d, d), layer=layer)


def constant_dictionary(*directions: Tensor, layer: int) -> TSAE:
    """One latent for each direction, with activation 1 at every token."""
    W_dec = torch.stack(directions)
    F, D = W_dec.shape
    return TSAE(torch.zeros(D, F), torch.ones(F), W_dec, torch.zeros(D), torch.zeros(F), block_widths=(F,), layer=layer)


def label(rollouts: Sequence[Rollout], z_NF: Tensor | None = None, decoys: Decoys | None = None) -> LabeledTokens:
    """Rollouts as labeled tokens, with the given activations; without any, one latent that is never active."""
    facts = token_facts(rollouts, decoys)
    return LabeledTokens(
        list(rollouts), Codes.from_dense(torch.zeros(len(facts["token"]), 1) if z_NF is None else z_NF), facts
    )


def label_activations(z_NF: Tensor, facts: Mapping[str, Any] | None = None) -> LabeledTokens:
    """Activations without rollouts, and some facts."""
    return LabeledTokens([], Codes.from_dense(z_NF), {name: np.array(fact) for name, fact in (facts or {}).items()})


def make_contrast(
    positive: Any, negative: Any, family: str = "format", stratum: Any = None, **changes: Any
) -> Contrast:
    """A contrast whose targets are its own tokens, in one stratum unless others are given."""
    positive_N, negative_N = np.array(positive), np.array(negative)
    stratum_N = np.zeros(len(positive_N), int) if stratum is None else np.array(stratum)
    values = {"name": "x", "surfaces": (), "target_N": positive_N, "other_N": negative_N} | changes
    return Contrast(family=family, positive_N=positive_N, negative_N=negative_N, stratum_N=stratum_N, **values)


def make_effect(nats: float, half_width: float = 0.05) -> Effect:
    """The same effect on the target tokens and on their difference from others."""
    estimate = Estimate(nats, nats - half_width, nats + half_width)
    return Effect(estimate, estimate)


def make_trial(
    latent: int,
    family: str = "format",
    contrast: str | None = None,
    *,
    positive: float = 1.0,
    negative: float = 0.0,
    std: float = 0.5,
    effect: float = 1.0,
    **changes: Any,
) -> Trial:
    """A trial that passes every gate: mean activations at both kinds of tokens, and `effect` nats lost by ablation."""
    values: dict[str, Any] = {
        "contrast": contrast or CONTRASTS[family],
        "auroc": 0.9,
        "d": 1.0,
        "q": 0.001,
        "other_surface_auroc": 0.9,
        "passes_contrast": True,
        "falsification": WITHSTOOD,
        "ablation": make_effect(-effect),
        "amplification": make_effect(effect),
        "matched_ablations": (0.0,),
        "means": ContrastMeans(positive, negative, std),
    }
    return Trial(latent, family, **values | changes)


def make_roles(
    *trials: Trial, tsae: TSAE, random_trials: Sequence[Trial] = (), policy: str = "p", **changes: Any
) -> Roles:
    """Roles that a dictionary's latents earned in these trials."""
    values: dict[str, Any] = {
        "width": tsae.width,
        "missing_contrasts": (),
        "made_from": {"tsae": tsae.fingerprint(), "policy": policy, "task": "t"},
        "config": RolesConfig(),
        "layer": tsae.layer or 0,
    }
    return Roles(trials, tuple(random_trials), **values | changes)
