"""A terminal's view of roles: how many latents passed each gate, beside chance, and which have earned what."""

from math import isnan
from typing import TYPE_CHECKING

from interp.features.contrasts import FAMILIES
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
    if told := _consequences(roles):
        lines += ["", *told]
    if roles.played:
        lines += ["", *_played(roles)]
    unordered = sorted({trial.kind for trial in roles.trials if trial.falsified and isnan(trial.falsified.void)})
    if unordered:
        lines += ["", f"Too short to have an order, so that none could be taken from them: {', '.join(unordered)}."]
    if roles.missing:
        lines += ["", f"Contrasts that could not be made, for want of tokens: {', '.join(roles.missing)}."]
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
    for one in [one for one in roles.played if one.match_of is None][: 4 * SHOWN]:
        edit = "without" if one.scale < 1 else "doubled"
        rows.append([one.latent, roles.of(one.latent), edit, one.valid, one.correct, one.direct])
        rows += [
            [f"  its match, {other.latent}", "", edit, other.valid, other.correct, other.direct]
            for other in roles.played
            if (other.match_of, other.scale) == (one.latent, one.scale)
        ]
    said = "Without it, and with it doubled, the policy is valid, is right, and answers at once so much more often:"
    return [said, "", grid(["latent", "role", "", "valid", "correct", "direct"], rows)]


def _consequences(roles: "Roles") -> list[str]:
    """Of the surest of each family, beside those of their matches."""
    rows = []
    for family in FAMILIES:
        passed = [trial for trial in roles.trials if trial.passed and trial.family == family and trial.without]
        for trial in sorted(passed, key=lambda trial: -trial.auroc)[:SHOWN]:
            assert trial.without is not None
            told = trial.without.valid, trial.without.answer, trial.without.at_once
            pairs = zip(told, trial.without_matches, strict=True)
            rows.append([trial.latent, family, *(f"{mean} ({match:+.2f})" for mean, match in pairs)])
    said = "Ablating it makes so much likelier, in nats a token (in brackets: ablating its matches, in the mean):"
    head = ["latent", "role", "valid chains", "right answers", "answers at once"]
    return [said, "", grid(head, rows)] if rows else []
