"""Sentences about what a report lacks, and why."""

from typing import Any

from interp.dashboard.inputs import Inputs
from interp.dashboard.report import Report
from interp.grpo.learned import reads_for_credit


def say_missing(report: Report, inputs: Inputs, index: dict[str, Any]) -> None:
    """Say which parts are missing. Each view that needs one says so too."""
    for study in inputs.studies:
        if study.partial is not None:
            report.leave_out(study.partial)
    if inputs.tsae is None:
        report.leave_out(
            "No dictionary was given (tsae): activations of tokens, examples, the logit lens and neighbours are left "
            "out."
        )
    elif not inputs.subjects:
        report.leave_out("No run was given whose checkpoints could be read: activations of tokens are left out.")
    elif index["features"]["lens"] is None:
        report.leave_out("The base could not be read, or no lens was asked for: the logit lens is left out.")
    if not inputs.tracks:
        report.leave_out("No tracks were given: changes of latents through training are left out.")
    if inputs.roles is None:
        report.leave_out("No roles were given: what latents have been shown to do is left out.")
    if index["rollouts"] is None:
        report.leave_out("There are no rollouts to read: no run with rollouts was given, and no task is known.")
    elif not any(subject.run is not None for subject in inputs.subjects):
        report.leave_out("No run of ours was given: there are no rollouts of training, with advantages and credit.")
    explained = {row.run for explanation in inputs.explanations for row in explanation.rollouts}
    for subject in inputs.subjects:
        if subject.run is not None and (subject.run.manifest.get("credit") or {}).get("kind") == "FirstErrorReadout":
            report.leave_out(f"What the credit of {subject.name} read in steps is left out: no explanation says it.")
        if subject.run is not None and reads_for_credit(subject.run) and subject.run.name not in explained:
            report.leave_out(
                f"What the credit of {subject.name} read is left out: give interp.grpo.explain_run(run, scheme) with "
                "the run or, if the scheme has a name or its readout is given too, --explain-credit."
            )
    if not inputs.comparisons:
        report.leave_out("No comparison was given: two checkpoints are compared by their rates alone.")
    if not index["overview"]["learning"]:
        report.leave_out("No evaluation, tracks or rollouts of training were given: there are no rates to show.")
    if inputs.roles is not None and inputs.roles.result.missing_contrasts:
        names = ", ".join(inputs.roles.result.missing_contrasts)
        report.leave_out(f"Contrasts without enough tokens, in which no latent was tried: {names}.")
