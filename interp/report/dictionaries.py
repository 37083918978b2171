"""A terminal's view of how good a dictionary is."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from interp.report.terminal import grid

if TYPE_CHECKING:
    from interp.tsae import Quality


HEAD = ["block", "L0", "dead", "autocorrelation", "total variation", "run", "the paper's"]
KEY = (
    "L0: latents active at a token, in the mean; dead: the share that never was. Slow is: autocorrelation, token to",
    "token, near 1 (0: none); total variation near 0 (2: none in common); long runs, in tokens; the paper's",
    "measure small.",
)


def measured(found: "Quality") -> str:
    """What it explains and keeps, and block by block how sparse and how smooth it is."""
    slow = [("by the slow block alone", found.fve_slow)] if len(found.l0.per_block) > 1 else []
    kept = [("variance explained", found.fve), *slow, ("cosine", found.cosine)]
    for name, recovered in ("the mean", found.recovered), ("zero", found.recovered_from_zero):
        if recovered is not None:
            kept.append((f"CE recovered, against {name}", recovered.ce_recovered))
            kept.append((f"KL recovered, against {name}", recovered.kl_recovered))
    blocks = ["all", "slow", *(f"block {at}" for at in range(2, 1 + len(found.l0.per_block)))]
    if len(found.l0.per_block) == 1:
        blocks = ["all"]
    smooth = [found.smoothness.total, *found.smoothness.per_block]
    active = [found.l0.total, *found.l0.per_block]
    dead = [found.firing.dead_share, *found.firing.dead_share_per_block]
    rows = [
        [name, _f(l0, 1), _f(gone, 2), _f(block.autocorrelation), _f(block.total_variation), _f(block.run_tokens, 1)]
        + [_f(block.paper)]
        for name, l0, gone, block in zip(blocks, active, dead, smooth, strict=False)
    ]
    of = "prompts and completions" if found.prompts else "completions"
    told = [f"measured on {found.tokens:,} tokens of {of}, {FITTED_ON[found.fitted_on]}", _on_how_much(found), ""]
    if found.membership is not None:
        told = [*told, f"firing rate tells the slow block with AUROC {_f(found.membership.auroc)}; 0.5: not at all", ""]
    kept_table = grid(["measure (1: all of it)", ""], [[name, _f(value)] for name, value in kept])
    return "\n".join([kept_table, "", *told, grid(HEAD, rows), "", *KEY])


FITTED_ON = {
    True: "the very ones it was fitted on: collect held-out ones to know more",
    False: "of another store than it was fitted on",
    None: "and the dictionary does not say which it was fitted on",
}


def _on_how_much(found: "Quality") -> str:
    if found.recovered is None:
        return "the loss recovered was not measured: name what reads (--series, --checkpoints or --policy)"
    some, tokens = found.recovered_documents, found.recovered.n
    return f"the loss recovered on {tokens:,} of them, in {some:,} document{'s' if some != 1 else ''} (--documents)"


def what_is_fitted(steps: int) -> str:
    """Before the dictionary of the demo."""
    return (
        f"Now a temporal dictionary is fitted, {steps} steps, on what the base and the ends of medium and of\n"
        "hard training write and read: a slow block for what stays over many tokens, another for what changes."
    )


def what_it_tells(told: Mapping[str, Mapping[str, float | None]], slow: Collection[str]) -> str:
    """Which facts a few latents of each block tell, those in `slow` hold for many tokens."""
    blocks = list(next(iter(told.values())))
    rows = [[fact, *(_f(of[block], 2) for block in blocks)] for fact, of in told.items()]
    head = "What five latents of a block tell of a token's answer (AUROC; 0.5 is nothing, 1 is all):"
    means = [(_mean(told, slow, block), _mean(told, told.keys() - set(slow), block)) for block in blocks]
    parts = [
        f"from the {name}: {_f(of, 2)}, and facts of one token {_f(rest, 2)}"
        for name, (of, rest) in zip(blocks, means, strict=True)
    ]
    told_in_words = [f"Facts of many tokens ({', '.join(slow)}), in the mean,", ";\n".join(parts) + "."]
    return "\n".join([head, "", grid(["fact", *blocks], rows), "", *told_in_words])


def _mean(told: Mapping[str, Mapping[str, float | None]], facts: Collection[str], block: str) -> float | None:
    found = [value for fact in facts if (value := told[fact][block]) is not None]
    return sum(found) / len(found) if found else None


def _f(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
