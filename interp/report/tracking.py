"""A terminal's view of tracks: how many latents each bucket strengthened, and whether the dictionary can be trusted."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interp.report.terminal import grid
from interp.tracking.changes import RATE, VERDICTS
from interp.tracking.measures import MEASURES
from interp.tracking.picture import surest

if TYPE_CHECKING:
    import polars as pl

    from interp.tracking import Changes, Drift

SHOWN = 3


def tracked(changes: "Changes") -> str:
    """Of each bucket, beside what was found where nothing had changed."""
    rows = [
        [row["bucket"], row["between"], row["prompts"], f"{row['common']:.2f}", *(row[name] for name in VERDICTS)]
        for row in changes.counts().to_dicts()
    ]
    matched = f", at the base's mix of {' and '.join(changes.matched)}" if changes.matched else ""
    said = (
        f"Latents by what became of their {changes.measure} ({changes.corpus} text{matched}), at a false-discovery "
        f"rate of {RATE:g}:"
    )
    lines = [said, "", grid(["bucket", "between", "prompts", "compared", *VERDICTS], rows), ""]
    if changes.control is None:
        lines += ["There is no base and base: the text is the same for all, and nothing can be drawn again.", ""]
    if changes.role_F is not None:
        lines += [*_by_role(changes), ""]
    return "\n".join([*lines, in_words(changes)])


def _by_role(changes: "Changes") -> list[str]:
    rows = [[row["bucket"], row["role"], *(row[name] for name in VERDICTS)] for row in _changed(changes)]
    return ["By the roles that latents have earned:", "", grid(["bucket", "role", *VERDICTS], rows)]


def _changed(changes: "Changes") -> list[dict[str, Any]]:
    """Without the control: most roles have few latents, and the table above has it."""
    return [row for row in changes.by_role().to_dicts() if row["between"] != "base and base"]


def in_words(changes: "Changes") -> str:
    """The latents that changed most surely, with their intervals."""
    rows = []
    for bucket, found in changes.buckets.items():
        change = found.change
        for latent in surest(changes, bucket, SHOWN):
            value, low, high = (float(held[latent]) for held in (change.value_F, change.low_F, change.high_F))
            told = [f"{value:+.3f} [{low:+.3f}, {high:+.3f}]", f"{found.q_F[latent]:.1g}", found.verdict_F[latent]]
            rows.append([bucket, latent, f"{change.strength_TF[0][latent]:.3f}", *told])
    if not rows:
        return "No latent was found to have been strengthened or weakened."
    head = ["bucket", "latent", f"{changes.measure} at first", "change", "q", ""]
    return "\n".join([f"The surest, {SHOWN} of each sign at most (all of them: --json):", "", grid(head, rows)])


def places(shown: "pl.DataFrame", by: str, corpus: str) -> str:
    """Where latents are on, by the base and by the last checkpoint."""
    first, *later = shown["step"].unique(maintain_order=True).to_list()
    ends, rows = [first, *later[-1:]], []
    held = {(row["latent"], row["bucket"], row[by], row["step"]): row for row in shown.to_dicts()}
    latents = list(dict.fromkeys(shown["latent"]))
    for where in sorted(dict.fromkeys(key[:3] for key in held), key=lambda where: latents.index(where[0])):
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
    return "\n".join([grid(head, rows), "", rule])


def _f(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"
