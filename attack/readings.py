"""What a user reads of each kind of directory, and does with it next, as a digest of everything that came out.

A reading is a function of a folder (a copy of an instance, perhaps damaged) and of the undamaged inputs. Two readings
with one digest have had the same result.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attack.artifacts import KINDS, Kind
from attack.stages import STAGES, Place

Reading = Callable[[Path, Place], Any]


def reading_of(kind: Kind, folder: Path, inputs: Place, seed: int) -> Callable[[], str]:
    """The reading of a kind as a function without arguments. An unfinished directory is finished first, by the same
    command."""

    def read() -> str:
        directory = kind.directory(folder)
        if not kind.finished or kind.stage in ("grpo", "track", "compare", "tsae") and kind.has_manifest:
            STAGES[kind.stage].run(inputs, seed, directory)()
        return digest(READINGS[kind.stage](directory, Place(inputs.root, seed)))

    return read


def digest(value: Any) -> str:
    """Fingerprint of a nest of plain values, tables and tensors."""
    sys.setrecursionlimit(20_000)  # a deep nest that was accepted is a result too
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    import polars as pl
    import torch

    if isinstance(value, pl.DataFrame):
        return _plain(value.to_dicts())
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous()
        return [
            str(data.dtype),
            list(data.shape),
            hashlib.sha256(data.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest(),
        ]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


# --- policies and runs -----------------------------------------------------------------------------------------------


def read_policy(path: Path, inputs: Place) -> Any:
    """Its weights, its tokenizer, its task, and what it answers."""
    from interp.organism import load_task_or_default
    from interp.policy import Policy, SampleConfig
    from interp.rollouts import Series, roll_out

    task, policy = load_task_or_default(path), Policy.load(path, device="cpu")
    known = load_task_or_default(inputs.organism)
    rollouts = roll_out(policy, known, known.problems("eval", None, 3), SampleConfig(2, 6), progress=False)
    return [
        *(
            task.fingerprint(),
            dict(policy.model.named_parameters()),
            Series.from_dirs([path]).base.fingerprint() == policy.fingerprint(),
        ),
        *([row.tokens, row.completion, row.logprobs] for row in rollouts),
    ]


def read_run(path: Path, inputs: Place) -> Any:
    """Its metrics, its config, its rollouts, and every checkpoint."""
    from interp.grpo import Run
    from interp.policy import Policy

    run = Run.open(path)
    metrics = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in run.table().to_dicts()]
    policies = {one.step: dict(Policy.load(one.path, device="cpu").model.named_parameters()) for one in run.series}
    rollouts = {step: run.rollouts(step).table() for step in run.checkpoint_steps()}
    last = run.policy(device="cpu")
    encoded = last.encode(["1 + 2 ?"])
    return [metrics, repr(run.config), policies, rollouts, run.summary(), encoded, len(run.figure().to_dict()["data"])]


# --- tables ----------------------------------------------------------------------------------------------------------


def read_rollouts(path: Path, inputs: Place) -> Any:
    from interp.rollouts import Rollouts

    rollouts = Rollouts.load(path)
    return [rollouts.table(), rollouts.summary(), rollouts.config, rollouts.made_from]


def read_buckets(path: Path, inputs: Place) -> Any:
    from interp.rollouts import Buckets

    buckets = Buckets.load(path)
    problems = {name: [repr(one) for one in buckets.problems(name)] for name in buckets.counts()}
    return [buckets.table(), buckets.summary(), problems, buckets.config, buckets.made_from]


def read_evaluation(path: Path, inputs: Place) -> Any:
    from interp.rollouts import Evaluation

    evaluation = Evaluation.load(path)
    return [evaluation.table(), evaluation.summary(), evaluation.policies, evaluation.config, evaluation.made_from]


# --- activations and dictionaries ------------------------------------------------------------------------------------


def read_store(path: Path, inputs: Place) -> Any:
    """Every residual and token, and two steps of a fit on them."""
    from interp.activations import Store
    from interp.tsae import fit, preset

    store = Store.open(path)
    shards = range(len(store.shards))
    residuals = [store.read(shard, layer) for shard in shards for layer in store.layers]
    tokens = [{name: column for name, column in vars(store.tokens(shard)).items()} for shard in shards]
    facts = [store.facts(shard) for shard in shards]
    config = _tiny_fit(preset("matryoshka"))
    fitted = fit(store, config, device="cpu", progress=False)
    return [residuals, tokens, facts, store.table(), store.summary(), store.config, store.made_from, fitted.W_enc]


def _tiny_fit(config: Any) -> Any:
    from dataclasses import replace

    return replace(config, width=64, k=4, training=replace(config.training, steps=2, batch=64))


def read_dictionary(path: Path, inputs: Place) -> Any:
    """Its weights, what it says of itself, its codes, and the same through SAELens."""
    import torch

    from interp.tsae import TSAE

    tsae = TSAE.load(path)
    x_BD = torch.linspace(-2, 2, 4 * tsae.d_model).reshape(4, -1)
    codes = tsae.encode(x_BD)
    fields = [tsae.block_widths, tsae.layer, repr(tsae.config), tsae.made_from, tsae.fit_metrics, tsae.sae_lens_cfg]
    return [codes, tsae.decode(codes), tsae.to_sae_lens().encode(x_BD), tsae.summary(), fields]


# --- roles, tracks, studies ------------------------------------------------------------------------------------------


def read_roles(path: Path, inputs: Place) -> Any:
    from interp.features import Roles

    roles = Roles.load(path)
    by_latent = [roles.role_of(latent) for latent in range(roles.width)]
    return [roles.table(), roles.summary(), by_latent, roles.fingerprint()]


def read_readout(path: Path, inputs: Place) -> Any:
    """What it reads, its labels and its fit, without a policy."""
    from interp.readouts import Readout

    readout = Readout.load(path)
    log_odds = readout.fit.log_odds(readout.labels.columns.x_BF)
    return [log_odds, readout.labels.weight_A, readout.summary(), readout.fingerprint(), readout.made_from]


def read_tracks(path: Path, inputs: Place) -> Any:
    from interp.tracking import Tracks

    tracks = Tracks.open(path)
    tables = [tracks.breakdown(by=by) for by in ("role", "position", "outcome")]
    tables += [tracks.changes(corpus=corpus).table() for corpus in ("on-policy", "probe")]
    facts = [tracks.config, tracks.made_from, tracks.steps, tracks.fitted_on]
    return [*tables, tracks.drift().table(), tracks.drift().summary(), facts]


def read_study(path: Path, inputs: Place) -> Any:
    """Its verdicts, judged again from the ledger, and its result."""
    from attack.coins import CoinConfig, Coins

    judgements = Coins().execute(CoinConfig(first_seed=inputs.seed), path, path.with_name("runs"), rejudge=True)
    result = {key: item for key, item in json.loads((path / "result.json").read_text()).items() if key != "date"}
    return [[one.verdicts for one in judgements], result]


READINGS: dict[str, Reading] = {
    "organism": read_policy,
    "grpo": read_run,
    "roll-out": read_rollouts,
    "bucket": read_buckets,
    "evaluate": read_evaluation,
    "collect": read_store,
    "tsae": read_dictionary,
    "roles": read_roles,
    "readout": read_readout,
    "track": read_tracks,
    "compare": read_tracks,
    "study": read_study,
}
"""By stage."""
assert {kind.stage for kind in KINDS.values()} <= set(READINGS)
