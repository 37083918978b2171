"""A terminal's view of tracks: how many latents each bucket strengthened, and whether the dictionary can be trusted."""

from collections.abc import Mapping
from itertools import product
from math import isnan
from typing import TYPE_CHECKING

from interp.report.terminal import grid
from interp.tracking.changes import CHANCE, MEASURES, FALSE_DISCOVERY_RATE, STRENGTHENED, VERDICTS, WEAKENED
from interp.tracking.plots import surest
from interp.tracking.tracks import in_order

if TYPE_CHECKING:
    import polars as pl

    from interp.tracking import Changes, Drift
    from interp.tracking.changes import Judged

SHOWN = 3


def tracked(changes: "Changes") -> str:
    """Of each bucket, beside what was found where nothing had changed, and where the tokens are the same."""
    rows = [
        [row["bucket"], row["between"], row["prompts"], f"{row['common']:.2f}", *(row[name] for name in VERDICTS)]
        for row in changes.counts().to_dicts()
    ]
    matched = f", at the base's mix of {' and '.join(changes.matched)}" if changes.matched else ""
    said = (
        f"Latents by what became of their {changes.measure} ({changes.corpus} text{matched}), at a false-discovery "
        f"rate of {FALSE_DISCOVERY_RATE:g}:"
    )
    lines = [said, "", grid(["bucket", "between", "prompts", "compared", *VERDICTS], rows), ""]
    if changes.control is None:
        lines += ["There is no base and base: the text is the same for all, and nothing can be drawn again.", ""]
    if changes.same_text is not None:
        lines += [*read_or_written(changes), ""]
    if changes.role_F is not None:
        lines += [*_by_role(changes), ""]
    return "\n".join([*lines, in_words(changes)])


def read_or_written(changes: "Changes") -> list[str]:
    """Of the latents that changed on what each checkpoint writes, what became of them where the tokens are the same."""
    rows = []
    for bucket in changes.buckets:
        crossed = changes.crossed(bucket)
        for own in (STRENGTHENED, WEAKENED):
            told = [crossed[own, same] for same in VERDICTS]
            rows += [[bucket, own, sum(told), *told]] if any(told) else []
    if not rows:
        return ["On its own text no latent has changed, so there is none to look for on the same text."]
    said = (
        "Read differently, or only written differently? What changed on its own text, by what became of it on the\n"
        "same text, which the base wrote (only unchanged is shown to be no change there; undecided is not yet that):"
    )
    return [said, "", grid(["bucket", "on its own text", "latents", *VERDICTS], rows)]


def _by_role(changes: "Changes") -> list[str]:
    """Without chance: most roles have few latents, and the table above has it."""
    rows = [
        [row["bucket"], row["between"], row["role"], *(row[name] for name in VERDICTS)]
        for row in changes.by_role().to_dicts()
        if row["between"] != CHANCE
    ]
    return ["By the roles that latents have earned:", "", grid(["bucket", "between", "role", *VERDICTS], rows)]


def in_words(changes: "Changes") -> str:
    """The latents that changed most surely, with their intervals."""
    rows = []
    for bucket, found in changes.buckets.items():
        same = None if changes.same_text is None else changes.same_text[bucket]
        for latent in surest(found, SHOWN):
            told = [f"{found.change.strength_TF[0][latent]:.3f}", _ranged(found, latent), f"{found.q_F[latent]:.1g}"]
            beside = [] if same is None else [_ranged(same, latent), same.verdict_F[latent]]
            rows.append([bucket, latent, *told, found.verdict_F[latent], *beside])
    if not rows:
        return "No latent was found to have been strengthened or weakened."
    head = ["bucket", "latent", f"{changes.measure} at first", "change", "q", ""]
    head += [] if changes.same_text is None else ["on the same text", ""]
    return "\n".join([f"The surest, {SHOWN} of each sign at most (all of them: --json):", "", grid(head, rows)])


def _ranged(found: "Judged", latent: int) -> str:
    change = found.change
    value, low, high = (float(held[latent]) for held in (change.value_F, change.low_F, change.high_F))
    return "-" if isnan(value) else f"{value:+.3f}" + ("" if isnan(low) else f" [{low:+.3f}, {high:+.3f}]")


def places(shown: "pl.DataFrame", by: str, corpus: str) -> str:
    """Where latents are on, by the base and by the last checkpoint."""
    if shown.is_empty():
        return f"Where latents are on cannot be told: nothing was written ({corpus} text)."
    first, *later = shown["step"].unique(maintain_order=True).to_list()
    ends, rows = [first, *later[-1:]], []
    held = {(row["latent"], row["bucket"], row[by], row["step"]): row for row in shown.to_dicts()}
    orders = [list(dict.fromkeys(shown[name])) for name in ("latent", "bucket")]
    for where in product(*orders, in_order(by, set(shown[by]))):
        if not any((*where, step) in held for step in ends):
            continue
        told = [held.get((*where, step), {}) for step in ends]
        tokens = [row.get("tokens", 0) for row in told]
        rows.append([*where, *tokens, *(_f(row.get(measure)) for measure in MEASURES for row in told)])
    head = ["latent", "bucket", by, *(f"{name} {step}" for name in ("tokens", *MEASURES) for step in ends)]
    at = " and ".join(f"step {step}" for step in ends)
    return "\n".join([f"Where latents are on, at {at} ({corpus} text; --json has every step):", "", grid(head, rows)])


def fits(drift: "Drift", names: Mapping[int, str] | None = None) -> str:
    """How well the dictionary fits each checkpoint, told by its step or by its name."""
    rows = [
        [
            fit.step if names is None else names[fit.step],
            fit.corpus,
            fit.bucket,
            *map(_f, (fit.fve, fit.l0, fit.silent, fit.kl_recovered)),
            drift.verdict(fit.step),
        ]
        for fit in drift.fits
    ]
    head = [
        "step" if names is None else "checkpoint",
        "corpus",
        "bucket",
        "explained",
        "L0",
        "fallen silent",
        "KL recovered",
        "verdict",
    ]
    trust = drift.trust
    rule = (
        f"Trusted: at least {trust.fve:g} of the variance explained, at most {trust.unexplained:g} times as much left "
        f"unexplained as of the base, and KL recovered {trust.kl_recovered:g} or more, in every bucket."
    )
    return "\n".join([grid(head, rows), "", rule, *_unseen(drift, names)])


def _unseen(drift: "Drift", names: Mapping[int, str] | None) -> list[str]:
    """Two runs of one base: a dictionary of the one knows the base, and nothing of what became of it in the other."""
    if not drift.unseen:
        return []
    told = ", ".join(str(step) if names is None else names[step] for step in drift.unseen)
    return [f"The dictionary was not fitted on checkpoint {told}: what only they do, it may have no latent for."]


def _f(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"
