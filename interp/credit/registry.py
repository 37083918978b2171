"""Credit schemes by name, for the command line and for studies.

A name also stands in `interp.credit.names`, which help reads without importing torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput
from interp.credit.base import CreditScheme
from interp.credit.entropy import TopEntropy
from interp.credit.first_error import FirstErrorReadout
from interp.credit.input_gradient import InputGradient
from interp.credit.ktae import KTAE
from interp.credit.monte_carlo import MonteCarloValues
from interp.credit.names import (
    FEATURE_SCHEME_NAMES,
    LATENT_SCHEME_NAMES,
    READOUT_SCHEME_NAMES,
    SCHEME_NAMES,
    TASK_SCHEME_NAMES,
)
from interp.credit.oracles import FirstError, StepValidity
from interp.credit.process_advantage import ProcessAdvantage
from interp.credit.random import PositionMatched, RandomTokens
from interp.credit.readout import ReadoutCredit
from interp.credit.uniform import Uniform
from interp.policy.config import SampleConfig
from interp.policy.prompts import PromptFormat
from interp.readouts.parts import STEP_END
from interp.readouts.sources import BEFORE_MARKER, Completeness, Latents, Likelihood, Residual, Source, TextCounts
from interp.tasks.base import Task

SCHEMES: dict[str, CreditScheme] = {
    "uniform": Uniform(),
    "entropy": TopEntropy(),
    "random": RandomTokens(),
    "position-matched": PositionMatched(),
    "first-error": FirstError(),
    "step-validity": StepValidity(),
    "step-validity-gate": StepValidity(weights=False),
    "step-validity-weights": StepValidity(gate=False),
    "process-step-validity": ProcessAdvantage(StepValidity(weights=False)),
    "ktae": KTAE(),
    "input-gradient": InputGradient(),
}
READOUT_SCHEMES: dict[str, tuple[Source, ...]] = {
    "likelihood": (Likelihood(),),
    "text": (TextCounts(),),
    "likelihood-text": (Likelihood(), TextCounts()),
    "likelihood-completeness": (Likelihood(), Completeness()),
}
"""What `ReadoutCredit` reads, without a dictionary."""
FIRST_ERROR_SCHEMES: dict[str, tuple[Source, ...]] = {
    "first-error-likelihood": (Likelihood(),),
    "first-error-likelihood-text": (Likelihood(), TextCounts()),
}
"""What `FirstErrorReadout` reads in each step, without a dictionary."""
PROCESS_SCHEMES: dict[str, tuple[Source, ...]] = {
    "process-likelihood": (Likelihood(),),
    "process-likelihood-text": (Likelihood(), TextCounts()),
}
"""What `ProcessAdvantage` compares successes by, without a dictionary."""
TASK_SCHEMES: dict[str, dict[str, Any]] = {"monte-carlo": {"n": 9}}
"""Settings of `MonteCarloValues`. These schemes need the task that is trained on."""
FEATURE_SCHEMES: dict[str, dict[str, Any]] = {
    "features": {},
    "features-gate": {"weights": False},
    "features-weights": {"gate": False},
    "features-control": {"control_seed": 0},
}
"""Settings of `FeatureCredit`. These schemes need a dictionary and the roles of its latents."""


def make_scheme(
    name: str,
    *,
    tsae: Path | None = None,
    roles: Path | None = None,
    task: Task | None = None,
    sampling: SampleConfig | None = None,
    prompt_format: PromptFormat | None = None,
) -> CreditScheme:
    """The scheme of this name.

    `tsae` and `roles` are directories, for schemes that read latents only. `task`, and how its problems are sampled
    and put, are for schemes that sample; the others do not read them."""
    names = SCHEME_NAMES + READOUT_SCHEME_NAMES + TASK_SCHEME_NAMES + LATENT_SCHEME_NAMES + FEATURE_SCHEME_NAMES
    if name not in names:
        raise BadInput(f"credit must be one of {', '.join(names)}; got {name!r}")
    if roles and name not in FEATURE_SCHEMES:
        raise BadInput(f"--roles are for credit by {', '.join(FEATURE_SCHEME_NAMES)}; got them with {name!r}")
    if name in LATENT_SCHEME_NAMES:
        return _latent_scheme(name, tsae)
    if name not in FEATURE_SCHEMES:
        if tsae:
            readers = ", ".join(LATENT_SCHEME_NAMES + FEATURE_SCHEME_NAMES)
            raise BadInput(f"--tsae is for credit by {readers}; got it with {name!r}")
        if name in READOUT_SCHEME_NAMES:
            return _readout_scheme(name, (READOUT_SCHEMES | FIRST_ERROR_SCHEMES | PROCESS_SCHEMES)[name])
        return SCHEMES[name] if name in SCHEMES else _sampling_scheme(name, task, sampling, prompt_format)
    if tsae is None or roles is None:
        raise BadInput(
            f"expected --tsae and --roles for credit by {name}, got {_path_or_none(tsae)} and {_path_or_none(roles)}: "
            "interp tsae fits a dictionary, interp roles earns the roles of its latents"
        )
    from interp.credit.features import FeatureCredit
    from interp.features import Roles
    from interp.tsae import TSAE

    return FeatureCredit(TSAE.load(tsae), Roles.load(roles), **FEATURE_SCHEMES[name])


def _latent_scheme(name: str, tsae: Path | None) -> CreditScheme:
    if tsae is None:
        raise BadInput(f"expected --tsae for credit by {name}, got none: interp tsae fits a dictionary")
    from interp.tsae import TSAE

    dictionary = TSAE.load(tsae)
    if dictionary.layer is None:
        raise BadInput(f"{tsae}: expected a dictionary that says which layer it reads, got one that does not")
    layer, selector = dictionary.layer, STEP_END if name.startswith("first-error") else BEFORE_MARKER
    source = Latents(dictionary, layer, selector) if name.endswith("latents") else Residual(layer, selector)
    return _readout_scheme(name, (Likelihood(), source))


def _readout_scheme(name: str, sources: Sequence[Source]) -> CreditScheme:
    if name.startswith("first-error"):
        return FirstErrorReadout(sources)
    return (
        ProcessAdvantage(ReadoutCredit(sources, threshold=0.0))
        if name.startswith("process")
        else ReadoutCredit(sources)
    )


def _sampling_scheme(
    name: str, task: Task | None, sampling: SampleConfig | None, prompt_format: PromptFormat | None
) -> CreditScheme:
    if task is None:
        raise BadInput(f"expected the task that is trained on for credit by {name}, got none: make_scheme(..., task=)")
    options = None if prompt_format is None else prompt_format.prompt_format  # of a config, the options alone
    return MonteCarloValues(task, sampling=sampling, prompt_format=options, **TASK_SCHEMES[name])


def _path_or_none(path: Path | None) -> str:
    return "none" if path is None else str(path)
