"""Matching by cell: each prompt x stratum cell is compared with itself, at all checkpoints that are compared.

Comparing within an outcome selects problems. The problems that are solved after training and were not before are
harder ones, so a latent that is stronger on harder problems looks strengthened among valid rollouts. Matching by cell
holds the problem fixed as well. A cell is one prompt and one stratum (an outcome, a length); r_tc is a latent's amount
per token (or per active token) in it; and

    r_t = sum_c w_c r_tc / sum_c w_c        w_c = 1 / sum_t (1 / n_tc)

with n_tc the tokens (or active tokens) of the cell at checkpoint t, and t over the checkpoints that are compared; w_c
is zero where one of them lacks the cell. Between two checkpoints this is the Mantel-Haenszel rate difference (Greenland
and Robins, 1985):

    sum_c (a_1c n_0c - a_0c n_1c) / (n_0c + n_1c)  /  sum_c n_0c n_1c / (n_0c + n_1c)

Why not weight by the base's tokens n_0c? A cell holds a few rollouts of different lengths. If the rollouts of a cell
differ between the checkpoints by chance alone, the numerator above is exactly zero in expectation, however few they
are: shuffle them, and a_1 n_0 - a_0 n_1 = a_1 n - a n_1 has mean zero, with a and n the cell's totals. With weights
n_0c the mean is not zero, since E(1/n) > 1/E(n): a latent that is active once in each rollout seems strengthened, by a
third in the test. As n_1c grows, w_c -> n_0c, the base's own mix.

Only the overlap is compared, so its share of the base's tokens is reported too. A cell belongs to one prompt, so the
matched sums are sums over prompts again, and prompts are drawn in the same way as without matching.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def match_cells(
    amount_TSPF: Float[Tensor, "T S P F"], tokens_TSP: Float[Tensor, "T S P"], compared: list[int]
) -> tuple[Float[Tensor, "T 1 P F"], Float[Tensor, "T 1 P"], float, int]:
    """Matched amounts and tokens, the share of the base's tokens that is compared, and the number of prompts compared.

    Amounts and tokens have a single stratum, in which every checkpoint has the same tokens at each prompt: the summed
    weights of the prompt's cells. The amounts are meaningful at the `compared` checkpoints only."""
    weight_SP = overlap_weights(tokens_TSP[compared])
    amount_TPF = matched_amounts(amount_TSPF, tokens_TSP[..., None], weight_SP[..., None])
    weight_P = weight_SP.sum(0)
    base_SP = tokens_TSP[0]
    common = float(base_SP[weight_SP > 0].sum() / base_SP.sum().clamp(min=1e-9))
    return amount_TPF[:, None], weight_P.expand(len(tokens_TSP), 1, -1), common, int((weight_P > 0).sum())


def overlap_weights(count_TX: Float[Tensor, "T *X"]) -> Float[Tensor, "*X"]:
    """Weight of each cell, 1 / sum_t (1 / n_t); zero where a checkpoint has no tokens in it."""
    return 1 / (1 / count_TX).sum(0)  # 1 / 0 is infinite, and 1 / infinity zero


def matched_amounts(
    amount_TSPF: Float[Tensor, "T S P F"], count_TSPX: Float[Tensor, "T S P X"], weight_SPX: Float[Tensor, "S P X"]
) -> Float[Tensor, "T P F"]:
    """Weighted amount at each prompt, sum_s w_s amount_ts / count_ts. A cell that a checkpoint lacks adds zero."""
    scale_TSPX = torch.where(count_TSPX > 0, weight_SPX / count_TSPX.clamp(min=1e-9), 0.0)
    return (amount_TSPF * scale_TSPX).sum(1)
