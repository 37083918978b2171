"""Hints that count as written by the policy: samples that begin with them."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from interp.policy.policy import Policy
from interp.policy.sample import Samples


def prepend_hints(
    policy: Policy,
    prompt_ids: Sequence[list[int]],
    hints: Sequence[Sequence[int]],
    samples: Samples,
    temperature: float,
) -> Samples:
    """Samples that begin with the hint of their group, with the log-probabilities of its tokens under `policy`.

    `prompt_ids` are the prompts without hints. A group without a hint stays as it is."""
    group, longest = len(samples.lengths_B) // len(hints), max(map(len, hints))
    logprobs_PH, entropies_PH = policy.score(prompt_ids, [list(hint) for hint in hints], temperature=temperature)
    rows, width = samples.tokens_BL.shape
    tables = [torch.zeros(rows, longest + width, dtype=x.dtype) for x in (samples.tokens_BL, samples.logprobs_BL)]
    tokens_BL, logprobs_BL, entropies_BL = *tables, torch.zeros_like(tables[1])
    for row in range(rows):
        hint, end = hints[row // group], len(hints[row // group]) + width
        own = slice(len(hint), end)
        tokens_BL[row, : len(hint)] = torch.tensor(list(hint), dtype=tokens_BL.dtype)
        logprobs_BL[row, : len(hint)] = logprobs_PH[row // group, : len(hint)]
        entropies_BL[row, : len(hint)] = entropies_PH[row // group, : len(hint)]
        tokens_BL[row, own], logprobs_BL[row, own] = samples.tokens_BL[row], samples.logprobs_BL[row]
        entropies_BL[row, own] = samples.entropies_BL[row]
    lengths_B = samples.lengths_B + torch.tensor([len(hint) for hint in hints]).repeat_interleave(group)
    return replace(
        samples, tokens_BL=tokens_BL, logprobs_BL=logprobs_BL, entropies_BL=entropies_BL, lengths_B=lengths_B
    ).trim()
