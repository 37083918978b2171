"""Explanations of runs whose credit has a name, such as `--credit likelihood` or `--credit process-likelihood`, or
began with a readout that is given too: their schemes can be made again. Those that find the first error read steps, and
no explanation says what they read there.

A scheme that was made in Python has labels and sources of its own. It is explained where it is known:
`interp.dashboard(run, interp.grpo.explain_run(run, scheme))`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from interp.artifacts import to_json
from interp.credit.explanation import readout_of
from interp.credit.process_advantage import ProcessAdvantage
from interp.credit.readout import ReadoutCredit
from interp.credit.registry import PROCESS_SCHEMES, READOUT_SCHEMES
from interp.dashboard.config import DashboardConfig
from interp.dashboard.inputs import Inputs, StoredReadout
from interp.dashboard.rollouts import select_steps
from interp.grpo.learned import explain_run, reads_for_credit
from interp.grpo.run import Run
from interp.grpo.specs import spec_of
from interp.readouts.readout import Readout
from interp.readouts.sources import Latents, Likelihood, Residual, Source

if TYPE_CHECKING:
    from interp.tsae import TSAE

Named = ReadoutCredit | ProcessAdvantage


def explain_named_credit(inputs: Inputs, config: DashboardConfig, device: str, dtype: str) -> None:
    """Add an explanation of each run whose credit has a name, at the checkpoints that are shown."""
    explained = {row.run for explanation in inputs.explanations for row in explanation.rollouts}
    tsae = None if inputs.tsae is None else inputs.tsae.result
    readouts = [one.load(tsae) if isinstance(one, StoredReadout) else one for one in inputs.readouts]
    for subject in inputs.subjects:
        run = subject.run
        if run is None or run.name in explained or not reads_for_credit(run):
            continue
        scheme = named_scheme(run, tsae) or _scheme_of_readout(run, readouts)
        selected = set(select_steps(subject.steps, config.checkpoints))
        steps = [step for step in run.checkpoint_steps() if step in selected]
        if scheme is not None and steps:
            control = _control(scheme)
            inputs.explanations.append(
                explain_run(run, scheme, control=control, steps=steps, device=device, dtype=dtype)
            )


def named_scheme(run: Run, tsae: "TSAE | None") -> Named | None:
    """The scheme with a name that a run was trained with; None if it had another."""
    spec = run.manifest.get("credit")
    return next((scheme for scheme in _named_schemes(tsae) if to_json(spec_of(scheme)) == spec), None)


def _scheme_of_readout(run: Run, readouts: Sequence[Readout]) -> ReadoutCredit | None:
    """The scheme that began with one of the readouts, with the run's audits and threshold. None if none did."""
    spec = run.manifest.get("credit") or {}
    if spec.get("kind") != ReadoutCredit.__name__:
        return None
    settings = {name: spec["settings"][name] for name in ("audits", "threshold")}
    schemes = (ReadoutCredit.of(readout, **settings) for readout in readouts)
    return next((scheme for scheme in schemes if to_json(spec_of(scheme)) == spec), None)


def _named_schemes(tsae: "TSAE | None") -> Iterator[Named]:
    """Every scheme with a name whose readings can be explained."""
    of_dictionary: list[Sequence[Source]] = []
    if tsae is not None and tsae.layer is not None:
        of_dictionary = [(Likelihood(), source) for source in (Latents(tsae, tsae.layer), Residual(tsae.layer))]
    yield from (ReadoutCredit(sources) for sources in (*READOUT_SCHEMES.values(), *of_dictionary))
    yield from (_process(sources) for sources in (*PROCESS_SCHEMES.values(), *of_dictionary))


def _process(sources: Sequence[Source]) -> ProcessAdvantage:
    return ProcessAdvantage(ReadoutCredit(sources, threshold=0.0))


def _control(scheme: Named) -> Named | None:
    """The same by the likelihood alone, where more is read."""
    readout = readout_of(scheme)
    if readout is None or Likelihood() not in readout.sources or len(readout.sources) == 1:
        return None
    if readout is not scheme:
        return _process([Likelihood()])
    labels = readout.labels.of_sources([list(readout.sources).index(Likelihood())])
    return replace(readout, sources=[Likelihood()], labels=labels, text_range=None, error_range=None)
