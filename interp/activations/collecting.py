"""Collect residuals of a series: every chosen checkpoint reads its own rollouts, and those of the base.

The store is written shard by shard. A stopped collection continues after its last complete shard and ends in the same
bytes (`interp.activations.collector`). One process at a time collects into a place: a second is refused at once.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from interp.activations.collector import Collector, bytes_on_disk
from interp.activations.config import CORPORA, CollectConfig
from interp.activations.documents import STORED_ROLES
from interp.activations.store import Store
from interp.activations.stored_site import StoredSite
from interp.activations.writer import Writer, is_finished
from interp.artifacts import BadInput, fingerprint, locked, reading, to_json
from interp.costs import expect_disk
from interp.policy.prompts import same_prompts
from interp.policy.site import FAMILIES, Site
from interp.rollouts.problems import ProblemStream
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import Task


def collect(
    series: Series,
    task: Task | None = None,
    *,
    layer: int | Site | Sequence[int] | None = None,
    tokens: int | None = None,
    gb: float | None = None,
    corpora: Sequence[str] | None = None,
    config: CollectConfig | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = True,
) -> Store:
    """Collect residuals of one layer or several at every checkpoint: `collect(series, layer=2, tokens=1_000_000)`; or
    the activations of another site: `layer=Site(2, "mlp_out")`.

    `layer`, `tokens`, `gb` and `corpora` override the fields of `config`. Default task: that of the series. The store
    lies beside the checkpoints, or at `out`. A repeated call opens a finished store and continues a stopped one.
    Checkpoints are loaded on `device` in `dtype`. Wrong arguments are refused before any checkpoint is loaded."""
    config = _override(config, layer=layer, tokens=tokens, gb=gb, corpora=corpora)
    config = same_prompts(config, series.prompt_format, of="the run of these checkpoints")
    config.sampling.warn_if_other(series.sampling, of="the run of these checkpoints")
    task = series.task if task is None else task
    if task is None:
        raise BadInput("expected a task for these checkpoints, got none: collect(series, task, ...)")
    chosen = tuple(map(series.checkpoint, sorted(config.steps))) if config.steps else series.checkpoints
    if not chosen:
        raise BadInput("expected at least one checkpoint, got a series without any")
    d_model, site = _expect_layers(series.base, config)
    problems = {corpus: ProblemStream(task, CORPORA[corpus], config.levels) for corpus in config.corpora}
    spec = {**to_json(config), "steps": [checkpoint.step for checkpoint in chosen]}
    spec |= {"task": task.name, "run": series.run, "loaded_in": dtype}
    spec = {name: value for name, value in spec.items() if name not in ("site", "hook") or value is not None}
    name = f"activations-{fingerprint(str(spec), task.fingerprint())}"
    out = Path(out) if out else series.path_for(name, content="activations")
    involved = {checkpoint.step: checkpoint for checkpoint in (series.base, *chosen)}
    with ExitStack() as stack:
        if not is_finished(out):  # a finished store is only opened: several may do so at once
            stack.enter_context(locked(out))
        made_from = {f"policy-{step}": checkpoint.fingerprint() for step, checkpoint in sorted(involved.items())}
        writer = Writer(
            out,
            layers=config.layers,
            d_model=d_model,
            roles=STORED_ROLES,
            dtype=config.precision,
            config=spec,
            made_from={**made_from, "task": task.fingerprint()},
            site=site,
        )
        if not writer.finished:
            stack.enter_context(locked(out))
            _expect_disk_space(writer, config)
            try:
                Collector(series, chosen, config, writer, problems, device, dtype).run(progress=progress)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"stopped; repeat the call to go on from {out}") from None
        return writer.finish()


def _override(
    config: CollectConfig | None,
    *,
    layer: int | Site | Sequence[int] | None,
    tokens: int | None,
    gb: float | None,
    corpora: Sequence[str] | None,
) -> CollectConfig:
    if isinstance(corpora, str):
        raise BadInput(f"expected a list of corpora, got {corpora!r} alone: corpora=[{corpora!r}]")
    changes: dict[str, Any] = {}
    if isinstance(layer, Site):
        changes |= {"layers": (layer.layer,), "site": layer.kind}
    elif layer is not None:
        changes["layers"] = (layer,) if isinstance(layer, int) else tuple(layer)
    if tokens is not None:
        changes["tokens"] = tokens
    if gb is not None:
        changes["gb"] = gb
    if corpora is not None:
        changes["corpora"] = tuple(corpora)
    if config is not None:
        return replace(config, **changes)
    if "layers" not in changes:
        raise BadInput("expected a layer to collect, got none: collect(series, layer=2)")
    return CollectConfig(**changes)


def _expect_layers(base: Checkpoint, config: CollectConfig) -> tuple[int, StoredSite]:
    """The width of the residual stream, and what is stored; refused if a layer or its site does not exist."""
    from transformers import AutoConfig

    with reading(base.path, "the config of a model that transformers knows"):
        shape: Any = AutoConfig.from_pretrained(base.model_path, local_files_only=True).get_text_config()
    if missing := [layer for layer in config.layers if layer >= shape.num_hidden_layers]:
        raise BadInput(f"layers must lie between 0 and {shape.num_hidden_layers - 1}; got {missing}")
    if config.site is None:
        return shape.hidden_size, StoredSite()
    family = shape.model_type
    return shape.hidden_size, StoredSite(Site(0, config.site).in_family(family).kind, FAMILIES.get(family))


def _expect_disk_space(writer: Writer, config: CollectConfig) -> None:
    expect_disk(
        f"Residuals of up to {config.tokens:,} tokens",
        "ask for less (gb, --gb), or choose another place (out, --out)",
        place=writer.path,
        n_bytes=min(config.gb * 1e9, config.tokens * writer.bytes_per_token) - bytes_on_disk(writer.shards),
    )
