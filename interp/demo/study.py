"""What the study of credit has found, in a sentence, from the file that it wrote."""

import math
from pathlib import Path
from typing import Any

from interp.artifacts import parse_json
from interp.demo.numbers import estimate_of, points

CREDIT_RESULT = Path("data/results/credit/result.json")
"""Where `interp study credit` puts what it found, and where a clone of the repository has it."""
LIKELIHOOD_CLAIM, CONTROLS_CLAIM = "features-beat-likelihood", "features-beat-controls"


def study_sentence(result: Path = CREDIT_RESULT) -> str:
    """Whether features beat the likelihood and every control, with the difference to the likelihood and to the control
    that recovers most. Differences are points of the way from plain GRPO to the oracle, over all depths."""
    if not result.is_file():
        return "The study of it, with many bases (interp study credit), has not been run here."
    from interp.studies.credit_measures import VALID
    from interp.studies.credit_runs import FEATURES, LIKELIHOOD

    study = parse_json(result, "the result of the study of credit")
    to_likelihood = _differences(study, LIKELIHOOD_CLAIM, FEATURES, VALID.name).get(LIKELIHOOD, "")
    to_controls = _differences(study, CONTROLS_CLAIM, FEATURES, VALID.name)
    strongest = next(iter(to_controls), None)
    beside = f" (to {strongest}: {to_controls[strongest]})" if strongest else ""
    of_points = f" ({to_likelihood} points of the way from plain to the oracle)" if to_likelihood else ""
    return (
        f"The study, over bases: features beat the likelihood: {_verdict(study, LIKELIHOOD_CLAIM)}{of_points}; and "
        f"every control: {_verdict(study, CONTROLS_CLAIM)}{beside}."
    )


def _differences(study: Any, claim: str, scheme: str, measure: str) -> dict[str, str]:
    """The difference of a scheme to each arm that it was compared with, in points; what recovers most comes first."""
    start, end = f"{claim}: {scheme} minus ", f": {measure}"
    estimates = {
        name.removeprefix(start).removesuffix(end): estimate_of(one.get("exact shares", {}), "value", "low", "high")
        for name, one in study["measures"].items()
        if name.startswith(start) and name.endswith(end)
    }
    measured = {arm: one for arm, one in estimates.items() if not math.isnan(one.value)}
    return {arm: points(one) for arm, one in sorted(measured.items(), key=lambda pair: pair[1].value)}


def _verdict(study: Any, claim: str) -> str:
    return study["verdicts"].get(claim, {}).get("verdict", "not judged")
