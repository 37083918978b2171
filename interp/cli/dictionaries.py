"""Activations collected, dictionaries fitted on them and measured."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from interp.activations import CollectConfig, collect
from interp.artifacts import BadInput
from interp.cli.app import Flat, FlatThroughout, app, say, say_json, warn_of_skipped
from interp.cli.args import Fitting, OpenedSeries, Preset, World, chosen_preset, open_store
from interp.tsae import TSAEConfig, preset

if TYPE_CHECKING:
    from interp.activations import Store
    from interp.rollouts import Series


@dataclass(frozen=True)
class Collect:
    collecting: Annotated[CollectConfig, Flat, FlatThroughout]
    opened: Annotated[OpenedSeries, Flat] = field(default_factory=OpenedSeries)
    world: Annotated[World, Flat] = field(default_factory=World)
    out: Path | None = None
    """The store's directory. Beside the checkpoints of a --series if not given. Asked for again, it goes on."""


@app.command(name="collect")
def collect_command(config: Annotated[Collect, Flat]) -> None:
    """Collect the residuals of a policy, or of every checkpoint of a series, on its own rollouts and on the base's."""
    from interp.report.activations import collected, shares

    series, opened = config.opened.open(), config.opened
    task = config.world.open(series.base.path)
    skipped = warn_of_skipped(task)
    store = collect(series, task, config=config.collecting, out=config.out, device=opened.device, dtype=opened.dtype)
    if opened.json:
        held = {"layers": store.layers, "tokens": len(store), "bytes": store.size, "shards": store.shards}
        say_json({"out": store.path, "skipped": skipped, **held, "read": shares(store)})
    else:
        say(collected(store))


@dataclass(frozen=True)
class FitTsae:
    store: Path
    """The activations to fit on, as `interp collect` keeps them."""
    out: Path
    """The dictionary's directory. Asked for again, a fit that was stopped goes on."""
    preset: Preset = "interp"
    """The variant that the flags below change."""
    dictionary: Annotated[TSAEConfig, Flat, FlatThroughout] = field(default_factory=lambda: preset(chosen_preset()))
    layer: int | None = None
    """Of a store of several."""
    start: Path | None = None
    """A dictionary to begin from, of the same width."""
    fitting: Annotated[Fitting, Flat] = field(default_factory=Fitting)


@app.command(name="tsae")
def tsae_command(config: Annotated[FitTsae, Flat]) -> None:
    """Fit a temporal dictionary on a store of activations, and keep it in SAELens' format."""
    from interp.tsae import TSAE, fit

    store, start = config.fitting.open(config.store), config.start and TSAE.load(config.start)
    settings = {"layer": config.layer, "out": config.out, "start": start, "device": config.fitting.device}
    tsae = fit(store, config.dictionary, **settings, bar=not config.fitting.json)
    if config.fitting.json:
        say_json({"out": config.out, "skipped": store.skipped, "last": tsae.facts, "fingerprint": tsae.fingerprint()})
    else:
        last = ", ".join(f"{name} {tsae.facts[key]:.3f}" for key, name in LAST.items())
        say(f"{tsae}", f"of its last batch: {last}", f"it is kept in {config.out}: measure it with interp tsae-eval")


LAST = {"fve": "variance explained", "l0": "active latents a token", "dead": "share of dead latents"}


@dataclass(frozen=True)
class EvalTsae:
    tsae: Path
    """A dictionary's directory: ours, or one that SAELens saved."""
    store: Path
    """The activations to measure on: better other ones than it was fitted on."""
    opened: Annotated[OpenedSeries, Flat] = field(default_factory=OpenedSeries)
    layer: int | None = None
    """Of a dictionary that does not say which one it is of."""
    documents: int = 512
    """To read again with the dictionary in place, where --series, --checkpoints or --policy says what reads them."""
    any_policy: bool = False
    """Measure on activations of other policies than it was fitted on too."""
    skip_bad: bool = False
    """Go on without shards that cannot be read. They are counted."""


@app.command(name="tsae-eval")
def tsae_eval_command(config: Annotated[EvalTsae, Flat]) -> None:
    """Measure a dictionary: what it explains, keeps of the loss, how sparse it is, how smooth its blocks are."""
    from interp.report.dictionaries import measured
    from interp.tsae import TSAE, evaluate

    opened, store = config.opened, open_store(config.store, skip_bad=config.skip_bad)
    series = opened.open() if opened.series or opened.checkpoints or opened.policy else None
    policies = None if series is None else lambda step: series.at(step).load(device=opened.device, dtype=opened.dtype)
    if series is not None:
        expect_readers(store, series)
    tsae = TSAE.load(config.tsae)
    found = evaluate(
        tsae,
        store,
        policies=policies,
        layer=config.layer,
        documents=config.documents,
        any_policy=config.any_policy,
        device=opened.device,
        bar=not opened.json,
    )
    if opened.json:
        say_json({"tsae": config.tsae, "store": config.store, "skipped": store.skipped, **found.row()})
    else:
        say(f"{tsae}", "", measured(found))


def expect_readers(store: "Store", series: "Series") -> None:
    readers = sorted(set(store.documents["reader"].to_list())) if "reader" in store.documents.columns else []
    if missing := [step for step in readers if step not in series.steps]:
        raise BadInput(
            f"{store.path} was read by checkpoints {', '.join(map(str, readers))}: expected them in the series, got "
            f"{', '.join(map(str, series.steps))} without {', '.join(map(str, missing))}: name the series it was "
            "collected from"
        )
