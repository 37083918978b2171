"""Fit a readout: how likely a rewarded answer is to be valid, from what is read in it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from interp.checks import Layer
from interp.cli.app import Args, Flat, FlatThroughout, app, explain, report_skipped, say, say_json, say_saved
from interp.cli.args import Bucket, OutputArgs, PolicyArgs, TaskArgs, bucket_problems, expect_affordable
from interp.cli.tables import join_interval
from interp.display import text_table
from interp.readouts.config import ReadoutConfig
from interp.readouts.names import SourceName

if TYPE_CHECKING:
    from interp.readouts import Readout


@dataclass(frozen=True)
class FitReadout(Args):
    read: tuple[SourceName, ...] = ("likelihood",)
    """What is read, one or several. latents, pre-activations and intention need --tsae."""
    tsae: Path | None = None
    """The dictionary's directory: ours, or one that SAELens saved."""
    layer: Layer | None = None
    """Where the residual is read, and a dictionary that does not say its layer."""
    buckets: Path | None = None
    """A result of `interp bucket --out`: the readout is for its problems of one measured --bucket."""
    bucket: Bucket | None = None
    """The measured bucket of --buckets."""
    policy: Annotated[PolicyArgs, Flat] = field(default_factory=PolicyArgs)
    task: Annotated[TaskArgs, Flat] = field(default_factory=TaskArgs)
    fitting: Annotated[ReadoutConfig, Flat, FlatThroughout] = field(default_factory=ReadoutConfig)
    output: Annotated[OutputArgs, Flat] = field(default_factory=OutputArgs)


@app.command(name="readout")
def readout_command(config: Annotated[FitReadout, Flat]) -> None:
    """Fit what tells valid from lucky answers, and test it on held-out problems; `interp grpo --readout` pays by it."""
    from interp.readouts.fit import expect_readable, fit_readout
    from interp.readouts.readout import KIND
    from interp.tsae import TSAE

    output, fitting, is_json = config.output, config.fitting, config.policy.json
    with output.reserve(KIND):
        task = config.task.open(config.policy.path)
        skipped = report_skipped(task)
        expect_affordable(task, fitting.sampling(fitting.test_group), fitting.test_problems, task.levels)
        tsae = None if config.tsae is None else TSAE.load(config.tsae)
        layer = tsae.layer if tsae is not None and config.layer is None else config.layer
        problems = bucket_problems(config.buckets, config.bucket, fitting.levels)
        # before the policy is loaded
        expect_readable(config.read, tsae is not None, layer, is_error_read=fitting.error_range)
        readout = fit_readout(
            config.read, config.policy.load(), task, fitting, problems=problems, tsae=tsae, layer=layer,
            progress=not is_json,
        )  # fmt: skip
        output.save(readout)
    if is_json:
        return say_json({"out": output.out, "skipped": skipped, "tests": readout.summary().to_dicts()})
    _say_tests(readout)
    return say_saved(output.out)


def _say_tests(readout: "Readout") -> None:
    say(f"{readout}")
    rows = join_interval(readout.summary().fill_nan(None), "auroc", "auroc_low", "auroc_high", spec=".3f")
    explain(
        "Valid and lucky successes on held-out problems, told apart: AUROC with a 95% interval over problems, and the "
        "share of valid ones in the most likely tenth:",
        text_table(rows, digits=3),
    )
