"""First-order effects of all latents at once: what ablating each would do, from one backward pass for each contrast.

    effect_i = - sum_t z_i(x_t) d_i . dL/dx_t        L: mean log-odds of the contrast's targets less that of its others

This is gradient times activation, at the dictionary's layer: the change in L that the ablation of `LatentEditor`
measures, to first order in the size of the edit. It says which latents are worth ablating. No gate is passed by it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from interp.features.ablation import Batch, LatentEditor
from interp.features.families import Contrast
from interp.features.suffixes import KeysValues, Places, keys_values_of

SHARE = 8
"""A forward that is differentiated has this many times fewer tokens than others: all that it computes is kept."""


def attribute(editor: LatentEditor, contrasts: Sequence[Contrast]) -> Float[ndarray, "C F"]:
    """The first-order effect of ablating each latent on each contrast: on its targets less on its others, in nats."""
    weights_CN = torch.from_numpy(np.stack([_weights(contrast) for contrast in contrasts])).to(editor.policy.device)
    effect_CF = torch.zeros(len(contrasts), editor.tsae.width, dtype=torch.float64)
    for batch in editor.batches:
        keys_values = keys_values_of(editor.policy, editor.site, batch.read)
        suffixes = batch.whole_suffixes()
        for part in suffixes.chunks(max(1, editor.micro_tokens // SHARE), max(1, editor.logit_tokens // SHARE)):
            places = part.places(editor.policy.device)
            for contrast, effect_F in _effects(editor, batch, keys_values, places, weights_CN):
                effect_CF[contrast] += effect_F.double().cpu()
    return effect_CF.numpy()


def _effects(
    editor: LatentEditor, batch: Batch, keys_values: KeysValues, places: Places, weights_CN: Float[torch.Tensor, "C N"]
) -> Iterator[tuple[int, Float[torch.Tensor, " F"]]]:
    """For each contrast with tokens in these suffixes, the part of each latent's effect that is due to them."""
    x_JSD = places.gather(batch.read.x_BLD).detach().requires_grad_()
    with torch.enable_grad():
        odds_W = editor.log_odds(batch, keys_values, places, x_JSD, places.real_JS)
    weights_CW = weights_CN[:, places.gather(batch.token_BL)[places.real_JS]].to(odds_W.dtype)
    x_WD = x_JSD.detach()[places.real_JS]
    z_WF = editor.tsae.encode(x_WD) * editor.tsae.unit(x_WD)
    for contrast in weights_CW.any(1).nonzero()[:, 0].tolist():
        (gradient_JSD,) = torch.autograd.grad(odds_W, x_JSD, weights_CW[contrast], retain_graph=True)
        toward_WF = gradient_JSD[places.real_JS].to(z_WF.dtype) @ editor.tsae.W_dec.T
        yield contrast, -(z_WF * toward_WF).sum(0)


def _weights(contrast: Contrast) -> Float[ndarray, " N"]:
    """The weight of each token's log-odds in the mean over targets less the mean over others."""
    kinds = (contrast.target_N, contrast.other_N)
    target_N, other_N = (kind_N / kind_N.sum() if kind_N.any() else np.full(len(kind_N), np.nan) for kind_N in kinds)
    return target_N - other_N
