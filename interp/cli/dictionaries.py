"""Collect activations, fit dictionaries on them, and measure dictionaries."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from interp.activations import CollectConfig
from interp.checks import Count, CountOrZero, Layer
from interp.cli.app import Args, Flat, FlatThroughout, app, explain, report_skipped, say, say_json, say_saved
from interp.cli.args import FitArgs, Preset, SeriesArgs, TaskArgs, open_store, preset_on_command_line
from interp.display import text_table
from interp.tsae import TSAEConfig, preset

if TYPE_CHECKING:
    from interp.encoding import LossRecovery
    from interp.tsae import TSAE, Quality

LAST_METRICS = {"fve": "variance explained", "l0": "active latents per token", "dead": "share of dead latents"}
MEASURED_ON = {
    True: "the very activations it was fitted on: collect held-out ones for an honest measure",
    False: "other activations than it was fitted on",
    None: "activations that may be those it was fitted on: the dictionary does not say",
}


@dataclass(frozen=True)
class Collect(Args):
    collecting: Annotated[CollectConfig, Flat, FlatThroughout]
    series: Annotated[SeriesArgs, Flat] = field(default_factory=SeriesArgs)
    task: Annotated[TaskArgs, Flat] = field(default_factory=TaskArgs)
    out: Path | None = None
    """Directory for the store. Default: beside the checkpoints of a --series. A repeated command continues there."""


@app.command(name="collect")
def collect_command(config: Annotated[Collect, Flat]) -> None:
    """Collect residuals of every checkpoint of a series, on its own rollouts and on those of the base."""
    from interp.activations import collect

    policy = config.series
    series = policy.open()
    task = config.task.open(series.base.path)
    skipped = report_skipped(task)
    store = collect(
        series,
        task,
        config=config.collecting,
        out=config.out,
        device=policy.device,
        dtype=policy.dtype,
        progress=not policy.json,
    )
    if policy.json:
        size = {"layers": store.layers, "site": store.stored_site.kind, "tokens": len(store)}
        size |= {"completion_tokens": store.completion_tokens, "bytes": store.n_bytes, "shards": store.shards}
        return say_json({"out": store.path, "skipped": skipped, **size, "summary": store.summary().to_dicts()})
    say(f"{store}")
    explain("What each checkpoint read (reader: its step), by corpus:", text_table(store.summary()))
    prompts = len(store) - store.completion_tokens
    explain(
        f"A dictionary is fitted on the {store.completion_tokens:,} tokens of completions; the {prompts:,} of prompts "
        "are left out unless --prompts is given."
    )
    return say_saved(store.path)


@dataclass(frozen=True)
class FitTsae(Args):
    store: Path
    """The store of activations to fit on, from `interp collect`."""
    out: Path
    """Directory for the dictionary. A repeated command continues a fit that was stopped."""
    preset: Preset = "interp"
    """The variant whose values are the defaults of the flags below."""
    dictionary: Annotated[TSAEConfig, Flat, FlatThroughout] = field(
        default_factory=lambda: preset(preset_on_command_line())
    )
    layer: Layer | None = None
    """The layer to fit, if the store has several."""
    start: Path | None = None
    """A dictionary to start from, of the same width."""
    fit: Annotated[FitArgs, Flat] = field(default_factory=FitArgs)


@app.command(name="tsae")
def tsae_command(config: Annotated[FitTsae, Flat]) -> None:
    """Fit a temporal sparse autoencoder on a store of activations, and save it in the SAELens format."""
    from interp.tsae import TSAE, fit

    store, start = config.fit.open(config.store), config.start and TSAE.load(config.start)
    is_json, device = config.fit.json, config.fit.device
    tsae = fit(
        store, config.dictionary, layer=config.layer, out=config.out, start=start, device=device, progress=not is_json
    )
    if is_json:
        metrics = {"last": tsae.fit_metrics, "fingerprint": tsae.fingerprint()}
        return say_json({"out": config.out, "skipped": store.skipped, **metrics})
    last = ", ".join(f"{label} {tsae.fit_metrics[name]:.3f}" for name, label in LAST_METRICS.items())
    say(f"{tsae}", "", f"On the last batch: {last}. Measure it with interp tsae-eval.")
    return say_saved(config.out)


@dataclass(frozen=True)
class EvalTsae(Args):
    tsae: Path
    """The dictionary's directory: ours, or one that SAELens saved."""
    store: Path
    """The store of activations to measure on. Use held-out ones, not those it was fitted on."""
    series: Annotated[SeriesArgs, Flat] = field(default_factory=SeriesArgs)
    layer: Layer | None = None
    """The dictionary's layer, if the dictionary does not say."""
    skip_first: CountOrZero | None = None
    """First tokens of each document that are not measured. Default: those on which the dictionary was not fitted."""
    documents: Count = 512
    """Documents on which to measure the loss recovered, if --series, --checkpoints or --policy gives the policies."""
    allow_unrelated_policies: bool = False
    """Allow activations of policies that the dictionary was not fitted on."""
    skip_bad: bool = False
    """Leave out shards of the store that cannot be read. They are counted."""


@app.command(name="tsae-eval")
def tsae_eval_command(config: Annotated[EvalTsae, Flat]) -> None:
    """Measure a dictionary: variance explained, loss recovered, sparsity, and smoothness of its blocks."""
    from interp.encoding import loss_recovered
    from interp.tsae import TSAE, evaluate

    policy, store = config.series, open_store(config.store, skip_bad=config.skip_bad)
    series = policy.open() if policy.series or policy.checkpoints or policy.policy else None
    tsae = TSAE.load(config.tsae)
    recovery = None
    if series is not None:  # first: it refuses what does not belong together
        recovery = loss_recovered(
            tsae,
            store,
            series,
            layer=config.layer,
            skip_first=config.skip_first,
            documents=config.documents,
            allow_unrelated_policies=config.allow_unrelated_policies,
            device=policy.device,
            dtype=policy.dtype,
            progress=not policy.json,
        )
    quality = evaluate(
        tsae,
        store,
        layer=config.layer,
        skip_first=config.skip_first,
        allow_unrelated_policies=config.allow_unrelated_policies,
        device=policy.device,
        progress=not policy.json,
    )
    if policy.json:
        result = {"tsae": config.tsae, "store": config.store, "skipped": store.skipped, **quality.headline()}
        result |= {} if recovery is None else recovery.headline()
        return say_json({**result, "summary": quality.summary().to_dicts(), "table": quality.table().to_dicts()})
    return _say_quality(tsae, quality, recovery)


def _say_quality(tsae: "TSAE", quality: "Quality", recovery: "LossRecovery | None") -> None:
    tokens = "prompts and completions" if quality.includes_prompts else "completions"
    say(f"{tsae}", f"{quality}")
    tokens += f" without the first {quality.skip_first} of each document" if quality.skip_first else ""
    measured_on = f"Measured on {quality.tokens:,} tokens of {tokens}, {MEASURED_ON[quality.is_training_store]}."
    explain(measured_on, text_table(quality.summary()))
    meaning = (
        "fve: variance explained. l0: active latents per token. A slow block has autocorrelation near 1, total "
        "variation near 0, long runs, and a small smoothness by the measure of the T-SAE paper."
    )
    if quality.membership is not None:
        meaning += f" Firing rate alone separates the slow block's latents with AUROC {quality.membership.auroc:.3f}."
    explain(meaning)
    if recovery is None:
        return explain("Loss recovered: not measured. Give the policies by --series, --checkpoints or --policy.")
    text = "Loss recovered by reconstructions, against replacing the residual by its mean or by zero:"
    return explain(text, text_table(recovery.summary()))
