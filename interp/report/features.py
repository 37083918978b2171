"""A terminal's view of roles: how many latents passed each gate, beside chance, and which have earned what."""

from math import isnan
from typing import TYPE_CHECKING

from interp.report.terminal import grid

if TYPE_CHECKING:
    from interp.features import Roles

GATES = {"tells_apart": "tells apart", "withstands": "withstands", "acts": "acts", "passed": "all three"}
SHOWN = 5


def earned(roles: "Roles", shown: int = SHOWN) -> str:
    """Gate by gate, and the surest latents of each role."""
    rows = [
        [row["family"], row["of"], row["latents"], *(row[gate] for gate in GATES)] for row in roles.counts().to_dicts()
    ]
    head = ["family", "", "latents", *GATES.values()]
    lines = [f"{roles}", "", "How many latents passed each gate:", "", grid(head, rows), "", *_named(roles, shown)]
    if roles.played:
        lines += ["", *_played(roles)]
    unordered = sorted({trial.kind for trial in roles.trials if trial.falsified and isnan(trial.falsified.void)})
    if unordered:
        lines += ["", f"Not to be put in void order, being too short: {', '.join(unordered)}."]
    if roles.missing:
        lines += ["", f"Not to be held against anything, for want of tokens: {', '.join(roles.missing)}."]
    return "\n".join(lines)


def _named(roles: "Roles", shown: int) -> list[str]:
    rows = []
    passed = sorted((trial for trial in roles.trials if trial.passed), key=lambda trial: -trial.auroc)
    for family in dict.fromkeys(trial.family for trial in passed):
        for trial in [trial for trial in passed if trial.family == family][:shown]:
            effect = trial.ablated
            assert effect is not None, "what has passed has been ablated"
            told = [trial.latent, trial.contrast, f"{trial.auroc:.3f}", effect.target, effect.apart]
            rows.append([family, *told, f"{min(trial.matched):+.2f}"])
    if not rows:
        return ["No latent has earned a role."]
    head = ["role", "latent", "tells", "AUROC", "ablated, nats", "less others'", "most of its matches'"]
    return [f"The surest, {shown} of each role at most (all of them: --json):", "", grid(head, rows)]


def _played(roles: "Roles") -> list[str]:
    rows = []
    shown = [one for one in roles.played if one.match_of is None][: 2 * SHOWN]
    for one in shown:
        rows.append([one.latent, roles.of(one.latent), one.valid, one.correct, one.direct])
        rows += [
            [f"  its match, {other.latent}", "", other.valid, other.correct, other.direct]
            for other in roles.played
            if other.match_of == one.latent
        ]
    said = "Without it, the policy answers validly, is right, and answers at once so much more often:"
    return [said, "", grid(["latent", "role", "valid", "correct", "direct"], rows)]
