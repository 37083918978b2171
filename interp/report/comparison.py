"""A terminal's view of a comparison: what two checkpoints do, what sets their latents apart, whether to believe it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interp.report.terminal import grid
from interp.report.tracking import fits
from interp.tracking.changes import FALSE_DISCOVERY_RATE, VERDICTS
from interp.tracking.comparison import RELATIONS
from interp.tracking.drift import TRUSTED
from interp.tracking.plots import surest

if TYPE_CHECKING:
    import polars as pl

    from interp.tracking import Compared, Comparison, Drift

SHOWN = 3


def compared(comparison: "Comparison", found: "Compared", unmatched: "Compared | None") -> str:
    """`unmatched` is the same as it stands, to be held against, where `found` is told at one mix."""
    where = [f"{name}: {comparison.tracks.paths.get(step, step)}" for step, name in comparison.names.items()]
    told = [one for one in (unmatched, found) if one is not None]
    parts = ["\n".join(where), "What they do (rates, and B's less A's, paired by prompt):", doing(comparison)]
    parts += [f"Latents by their {found.measure} in B as against A, {on_text(found)}:"]
    parts += [counted(told, "counts", VERDICTS)]
    if found.control is None:
        parts += ["There is no A and A: the text is the same for both, or A was not asked a second time."]
    if found.based:
        parts += ["Latents by what became of them since the base:", counted(told, "relations", RELATIONS), ALONE]
    parts += [in_words(found)]
    drift = comparison.drift()
    parts += [fits(drift, names=comparison.names), *doubts(drift, comparison.names)]
    return "\n\n".join(parts)


ALONE = (
    "Alone: found in the one, not found in the other, and found to lie apart. Not told apart: the last was not found,\n"
    "and a change that is sure in one and unsure in the other is not yet a difference."
)


def doubts(drift: "Drift", names: Mapping[int, str]) -> list[str]:
    """Of a dictionary that knows the one side and not the other, all that it says of the two is in doubt."""
    verdicts = {names[step]: verdict for step in drift.steps if (verdict := drift.verdict(step)) != TRUSTED}
    told = ", ".join(f"{name} ({verdict})" for name, verdict in verdicts.items())
    why = "a latent that seems to fade there may only have been turned away from. Fit one on checkpoints of both."
    return [f"The dictionary is not to be trusted on {told}: {why}"] if verdicts else []


def doing(comparison: "Comparison") -> str:
    behaviour = comparison.behaviour()
    sides = [(key, name) for key, name in (("base", "base"), ("a", "A"), ("b", "B")) if key in behaviour.columns]
    rows = []
    for row in behaviour.to_dicts():
        shares = [_ranged(row, key, f"{key}_low", f"{key}_high") for key, _ in sides]
        told = [_ranged(row, "difference", "low", "high", "+"), row["verdict"]]
        again = [_ranged(row, "again", "again_low", "again_high", "+")] if "again" in row else []
        rows.append([row["bucket"], row["measure"].replace("_", " "), row["prompts"], *shares, *told, *again])
    again = ["A's again less A's"] if "again" in behaviour.columns else []
    return grid(["bucket", "measure", "prompts", *(name for _, name in sides), "B less A", "in B", *again], rows)


def counted(told: "list[Compared]", what: str, names: tuple[str, ...]) -> str:
    """Beside what is found where A is asked again. What occurs nowhere has no column."""
    rows = [{**row, "mix": _mix(one)} for one in told for row in _frame(one, what).to_dicts()]
    keys = ["role"] if any("role" in row for row in rows) else []
    shown = [name for name in names if any(row[name] for row in rows)]
    order = sorted(rows, key=lambda row: list(dict.fromkeys(r["bucket"] for r in rows)).index(row["bucket"]))
    cells = [
        [row["bucket"], row["between"], row["mix"], row["prompts"], f"{row['common']:.2f}"]
        + [row[name] for name in (*keys, *shown)]
        for row in order
    ]
    return grid(["bucket", "between", "mix", "prompts", "compared", *keys, *shown], cells)


def _frame(found: "Compared", what: str) -> "pl.DataFrame":
    return found.counts() if what == "counts" else found.relations()


def _mix(found: "Compared") -> str:
    return "matched" if found.matched else "as it is"


def on_text(found: "Compared") -> str:
    whose = "the base's" if found.based else "A's"
    mix = f", at {whose} mix of {' and '.join(found.matched)}" if found.matched else ""
    return f"on {found.corpus} text{mix}, at a false-discovery rate of {FALSE_DISCOVERY_RATE:g}"


def in_words(found: "Compared") -> str:
    """The latents that set the two apart most surely, with their intervals."""
    rows, roles = [], [] if found.role_F is None else ["role"]
    for row in found.table().to_dicts():
        if row["latent"] in surest(found.buckets[row["bucket"]].between, SHOWN):
            told = [_since(row, side) if found.based else f"{row[side]:.3f}" for side in "ab"]
            told += [_ranged(row, "difference", "low", "high", "+"), f"{row['q']:.1g}", row.get("relation", "")]
            rows.append([row["bucket"], row["latent"], *(row[key] for key in roles), *told])
    if not rows:
        return "No latent was found to set the two apart."
    sides = ["A since the base", "B since the base"] if found.based else ["A", "B"]
    head = ["bucket", "latent", *roles, *sides, "B less A", "q", ""]
    return "\n".join([f"The surest, {SHOWN} of each sign at most (all of them: --json):", "", grid(head, rows)])


def _since(row: dict[str, Any], side: str) -> str:
    return _ranged(row, f"{side}_change", f"{side}_low", f"{side}_high", "+")


def _ranged(row: dict[str, Any], value: str, low: str, high: str, sign: str = "") -> str:
    if row[value] is None:
        return "-"
    if row[low] is None:
        return f"{row[value]:{sign}.3f}"
    return f"{row[value]:{sign}.3f} [{row[low]:{sign}.3f}, {row[high]:{sign}.3f}]"
