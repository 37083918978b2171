"""Collecting: every checkpoint reads its own rollouts and the base's, within its budget, and goes on if stopped."""

import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from conftest import tiny_policy
from damage_fixtures import DAMAGES
from grpo_fixtures import FirstWord
from lock_fixtures import is_locked, lock_held_by_another

import interp
from interp.activations import CollectConfig, Store, Writer, collect
from interp.activations import documents as documents_module
from interp.activations.reread import reread
from interp.artifacts import BadInput, InUse, Mismatch, from_json, to_json
from interp.organism import shipped_path
from interp.policy import Policy, SampleConfig
from interp.rollouts import Checkpoint, Series
from interp.rollouts.problems import ProblemStream
from interp.rollouts.roll_out import stream_rollouts
from interp.tasks import TOKEN_ROLES, Chain, JsonlTask

TASK = FirstWord()
SAMPLING = SampleConfig(group=2, max_new_tokens=8, rows=16)
SMALL: dict[str, Any] = {"tokens": 1200, "shard_tokens": 100, "micro_tokens": 64, "sampling": SAMPLING}


def collect_small(
    series: Series, out: Path | None, *layers: int, task: Any = TASK, dtype: str = "auto", **settings: Any
) -> Store:
    """Collect with the settings of `SMALL`, or others of `CollectConfig`."""
    config = CollectConfig(layers, **(SMALL | settings))
    return collect(series, task, config=config, out=out, dtype=dtype, progress=False)


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory) -> Path:
    """A run of three checkpoints."""
    root = tmp_path_factory.mktemp("runs") / "mine"
    for step in (0, 10, 20):
        tiny_policy(seed=step).save(root / f"checkpoint-{step}")
    return root


@pytest.fixture(scope="module")
def series(shared_run) -> Series:
    return Series.from_dir(shared_run)


@pytest.fixture
def run(shared_run, tmp_path) -> Path:
    """A copy of the run, for tests that write into it."""
    return Path(shutil.copytree(shared_run, tmp_path / "mine"))


@pytest.fixture(scope="module")
def store(series, tmp_path_factory) -> Store:
    return collect_small(series, tmp_path_factory.mktemp("stores") / "store", 0, 2)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def documents(store: Store) -> Iterator[tuple[dict[str, Any], Any, dict[int, torch.Tensor]]]:
    """Each document, with its rows of the token table and of each layer."""
    tables = [store.tokens(shard) for shard in range(len(store.shards))]
    for row in store.documents.iter_rows(named=True):
        rows = slice(row["first"], row["first"] + row["length"])
        table = type(tables[0])(**{name: column[rows] for name, column in vars(tables[row["shard"]]).items()})
        yield row, table, {layer: store.read(row["shard"], layer)[rows] for layer in store.layers}


# --- what is collected --------------------------------------------------------------------------------------------


def test_each_checkpoint_reads_its_own_rollouts_and_those_of_the_base(store):
    keys = ["reader", "corpus", "step", "split", "run"]
    assert store.documents.select(keys).unique(maintain_order=True).rows() == [
        (reader, corpus, reader if corpus == "on-policy" else 0, split, "mine")
        for reader in (0, 10, 20)
        for corpus, split in (("on-policy", "train"), ("probe", "probe"))
    ]
    assert store.layers == (0, 2) and store.d_model == 32 and store.roles == ("prompt", *TOKEN_ROLES)
    assert sorted(store.made_from) == ["policy-0", "policy-10", "policy-20", "task"]


def test_residuals_equal_those_of_the_document_read_alone(store, series):
    policies = {checkpoint.step: checkpoint.load(device="cpu") for checkpoint in series}
    for row, table, residuals in documents(store):
        alone = policies[row["reader"]].capture(table.ids.long()[None], store.layers)
        for layer in store.layers:
            assert torch.allclose(residuals[layer], alone[layer][0], atol=1e-5, rtol=0)


def test_every_checkpoint_reads_the_same_probe_tokens(store):
    probes: dict[int, list[Any]] = {}
    for row, table, _ in documents(store):
        if row["corpus"] == "probe":
            columns = {name: column.tolist() for name, column in vars(table).items() if name != "document"}
            keys = {key: value for key, value in row.items() if key not in ("shard", "first", "reader")}
            probes.setdefault(row["reader"], []).append((keys, columns))
    assert len(probes[0]) > 10 and probes[0] == probes[10] == probes[20]


def test_a_document_is_a_rollout_with_its_key_its_verdict_and_a_role_for_each_token(tmp_path):
    sampling, task = SampleConfig(4, 64, rows=32), Chain()
    config = CollectConfig((2,), corpora=("probe",), tokens=2000, sampling=sampling)
    store = collect(
        Series.from_dirs({7: shipped_path()}), task, config=config, out=tmp_path, device="cpu", progress=False
    )
    policy = Policy.load(shipped_path(), device="cpu")
    rollouts = stream_rollouts(policy, ProblemStream(task, "probe"), sampling, run="base", step=7)
    verdicts = set()
    for (row, table, _), rollout in zip(documents(store), rollouts, strict=False):
        n_prompt, n_completion = len(rollout.prompt_ids), len(rollout.tokens)
        assert table.ids.tolist() == [*rollout.prompt_ids, *rollout.tokens]
        assert [store.roles[role] for role in table.role] == ["prompt"] * n_prompt + list(rollout.roles)
        assert table.completion.tolist() == [False] * n_prompt + [True] * n_completion
        assert table.position.tolist() == list(range(len(table)))
        keys = {key: row[key] for key in row if key not in ("shard", "first", "length", "prompt", "corpus", "reader")}
        assert keys == {key: getattr(rollout, key) for key in keys}
        verdicts.add((row["correct"], row["valid"]))
    assert len(store.documents) > 30 and len(verdicts) == 3


def test_layers_collected_together_equal_each_layer_alone(store, series, tmp_path):
    alone = collect_small(series, tmp_path / "alone", 2)
    assert alone.layer == 2 and alone.shards == store.shards
    assert all(torch.equal(alone.read(i, 2), store.read(i, 2)) for i in range(len(store.shards)))


def test_half_precision_equals_rounded_single_precision(store, series, tmp_path):
    half = collect_small(series, tmp_path / "half", 0, 2, precision="bfloat16")
    assert half.dtype == "bfloat16"
    assert all(torch.equal(half.read(i, 2), store.read(i, 2).bfloat16().float()) for i in range(len(store.shards)))


def test_the_base_writes_the_probe_corpus_even_if_it_is_not_among_the_chosen(store, series, tmp_path):
    chosen = collect_small(series, tmp_path / "some", 0, 2, steps=(20, 10))
    pairs = chosen.documents.select("reader", "corpus", "step").unique(maintain_order=True).rows()
    assert pairs == [(10, "on-policy", 10), (10, "probe", 0), (20, "on-policy", 20), (20, "probe", 0)]
    some, all_of_them = (
        [table.ids.tolist() for row, table, _ in documents(each) if (row["reader"], row["corpus"]) == (20, "probe")]
        for each in (chosen, store)
    )
    shorter = min(len(some), len(all_of_them))
    assert shorter > 10 and some[:shorter] == all_of_them[:shorter]


def test_one_corpus_and_some_levels_can_be_chosen(series, tmp_path):
    store = collect_small(series[:1], tmp_path / "levels", 1, corpora=("on-policy",), levels=(3, "deep"))
    assert store.documents["depth"].to_list()[:8] == [3, 3, None, None, 3, 3, None, None]
    assert store.documents["corpus"].unique().to_list() == ["on-policy"]


def test_layer_tokens_gb_and_corpora_override_the_config(series, tmp_path):
    config = CollectConfig((0, 1), **SMALL)
    store = collect(
        series, TASK, layer=2, tokens=600, gb=2.0, corpora=["probe"], config=config, out=tmp_path / "a", progress=False
    )
    assert store.layers == (2,) and store.config["tokens"] == 600 and store.config["corpora"] == ["probe"]
    listed = collect_small(series, tmp_path / "b", 2, tokens=600, gb=2.0, corpora=("probe",))
    assert contents(store.path) == contents(listed.path)


# --- within its budget --------------------------------------------------------------------------------------------


def test_each_pair_has_an_equal_share_of_the_tokens_and_nearly_uses_it(store):
    tokens = store.documents.group_by("reader", "corpus").agg(pl.col("length").sum())["length"]
    assert len(tokens) == 6 and len(store) == tokens.sum()
    longest = store.documents["length"].max()
    assert all(200 - longest < of_pair <= 200 for of_pair in tokens)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_budget_in_gb_is_kept_and_nearly_used(series, tmp_path, precision):
    gb, sampling = 0.001, SampleConfig(group=8, max_new_tokens=8, rows=256)
    config = CollectConfig(
        (0, 1, 2), gb=gb, tokens=10**9, precision=precision, corpora=("on-policy",), sampling=sampling
    )
    store = collect(series[:2], TASK, config=config, out=tmp_path / "store", progress=False)
    n_bytes = sum(file.stat().st_size for file in store.path.iterdir())
    assert 0.8 * gb * 1e9 < n_bytes <= gb * 1e9


def test_no_shard_and_no_forward_has_more_tokens_than_allowed(series, tmp_path, monkeypatch):
    shapes: list[tuple[int, ...]] = []

    def recorded(model: Any, ids_BL: torch.Tensor, *rest: Any) -> Any:
        shapes.append(tuple(ids_BL.shape))
        return compute_residuals(model, ids_BL, *rest)

    compute_residuals = documents_module.compute_residuals
    monkeypatch.setattr(documents_module, "compute_residuals", recorded)
    store = collect_small(series[:1], tmp_path / "store", 1)
    assert max(len(store.tokens(i)) for i in range(len(store.shards))) <= 100
    assert max(rows * width for rows, width in shapes) <= 64 and max(rows for rows, _ in shapes) > 1


def test_memory_holds_one_shard_at_a_time(series, tmp_path, monkeypatch):
    alive: list[weakref.ref[Any]] = []
    add = Writer.add

    def recorded(writer: Writer, activations: Any, tokens: Any, *rest: Any) -> Any:
        assert all(tensor() is None for tensor in alive)
        alive.extend(map(weakref.ref, (*activations.values(), tokens.ids)))
        return add(writer, activations, tokens, *rest)

    monkeypatch.setattr(Writer, "add", recorded)
    store = collect_small(series[:2], tmp_path / "store", 0, 2)
    assert len(alive) == 3 * len(store.shards) > 20


def test_a_collection_ends_when_the_file_has_no_more_problems(series, tmp_path):
    lines = [{"id": f"{split}{i}", "prompt": f"{i} {sign} 1 =", "answer": "1", "split": split}
             for split, sign, n in (("train", "+", 7), ("probe", "-", 3)) for i in range(n)]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first, again = (
        collect_small(series[:2], tmp_path / "store", 1, task=JsonlTask(tmp_path / "mine.jsonl"), tokens=10_000)
        for _ in range(2)
    )
    counts = first.documents.group_by("reader", "corpus", maintain_order=True).len().rows()
    assert counts == [(0, "on-policy", 14), (0, "probe", 6), (10, "on-policy", 14), (10, "probe", 6)]
    assert again.fingerprint() == first.fingerprint()


# --- stopped, and gone on -----------------------------------------------------------------------------------------


class Stopped(Exception):  # noqa: N818 - stands for whatever ends a process
    pass


@pytest.mark.parametrize("first", [0, 1])
def test_a_collection_stopped_after_every_other_shard_goes_on_to_the_same_bytes(
    store, series, tmp_path, monkeypatch, first
):
    out, add = tmp_path / "stopped", Writer.add
    for n_shards in range(first, 13, 2):

        def stops(writer: Writer, *args: Any, n_shards: int = n_shards) -> Any:
            if len(writer.shards) == n_shards:
                raise Stopped
            return add(writer, *args)

        with monkeypatch.context() as patched, pytest.raises(Stopped):
            patched.setattr(Writer, "add", stops)
            collect_small(series, out, 0, 2)
        with pytest.raises(BadInput, match=f"expected a finished store, got one of {n_shards} shards so far"):
            Store.open(out)
        stopped = contents(out)
        assert [
            name for name in stopped if name.startswith("shard-") and stopped[name] != contents(store.path)[name]
        ] == []
    collect_small(series, out, 0, 2)
    assert len(store.shards) > 12 and contents(out) == contents(store.path)


def test_a_finished_collection_is_opened_and_no_checkpoint_loaded(run, monkeypatch):
    series = Series.from_dir(run)
    first = collect_small(series, None, 1)
    before = contents(first.path)
    assert first.path.parent == run and first.path.name.startswith("activations-")
    monkeypatch.setattr(Checkpoint, "load", lambda *args, **more: pytest.fail("loaded"))
    assert collect_small(series, None, 1).path == first.path
    assert contents(first.path) == before and Series.from_dir(run) == series


def test_other_settings_tasks_and_checkpoints_have_their_own_paths(run):
    series = Series.from_dir(run)
    stores = [
        collect_small(series[:1], None, 1),
        collect_small(series[:1], None, 1, task=FirstWord("all")),
        collect_small(series[:1], None, 1, corpora=("probe",)),
        collect_small(series[:1], None, 1, dtype="float32"),
        collect_small(series[1:2], None, 1),
    ]
    assert len({store.path for store in stores}) == 5 and {store.path.parent for store in stores} == {run}


def test_a_damaged_store_is_mended_by_collecting_again(store, series, tmp_path):
    out = Path(shutil.copytree(store.path, tmp_path / "damaged"))
    (out / "shard-00002.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match="shard-00002.safetensors: expected"):
        Store.open(out)
    collect_small(series, out, 0, 2)
    assert contents(out) == contents(store.path)


def test_a_store_of_other_weights_is_refused(run):
    store = collect_small(Series.from_dir(run), None, 1)
    tiny_policy(seed=5).save(run / "checkpoint-10", overwrite=True)
    series = Series.from_dir(run)
    with pytest.raises(Mismatch, match=r"made from other inputs: made_from\.policy-10 \(expected [\w+]+, got [\w+]+\)"):
        collect_small(series, None, 1)
    with pytest.raises(Mismatch, match="was made from another policy-10"):
        Store.open(store.path, made_from={"policy-10": series.checkpoint(10).fingerprint()})


def test_an_interrupted_collection_says_how_to_go_on(series, tmp_path, monkeypatch):
    def interrupt(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("interp.activations.collector.Collector.run", interrupt)
    with pytest.raises(KeyboardInterrupt, match="stopped; repeat the call to go on from"):
        collect_small(series, tmp_path / "store", 1)


# --- a run of ours knows its task ---------------------------------------------------------------------------------


def test_the_series_of_a_run_is_collected_with_its_own_task(tmp_path):
    task = Chain(depths=(1, 3), shallow=(1,), middle=(2,), deep=(3,))
    config = interp.grpo.GRPOConfig(steps=1, prompts=2, sampling=SampleConfig(group=2, max_new_tokens=8))
    base = Policy.load(shipped_path(), device="cpu")
    trained = interp.grpo.train(base, task, config=config, out=tmp_path / "run", progress=False)
    assert trained.series.task == task
    store = collect(trained.series, layer=2, tokens=2000, progress=False)
    assert store.path.parent == trained.path and set(store.documents["depth"]) == {1, 2, 3}
    assert set(store.documents["run"]) == {"run"} and trained.series.steps == (0, 1)
    assert trained.series[1:].task == task and trained.series[1:].run == "run"


def test_a_config_is_read_back_as_it_was_written():
    config = CollectConfig((1, 2), levels=(3, "deep"), steps=(0,), sampling=SampleConfig(group=3))
    assert from_json(CollectConfig, json.loads(json.dumps(to_json(config)))) == config


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "settings", "message"),
    [
        ((3,), {}, r"layers must lie between 0 and 2; got \[3\]"),
        ((1, 5, 4), {}, r"layers must lie between 0 and 2; got \[5, 4\]"),
        ((-1,), {}, "layers must not be negative; got -1"),
        ((1, 1, 2), {}, r"layers must be named once each; got \[1, 1, 2\]"),
        ((), {}, r"layers must be numbers from 0 on, one at least; got \[\]"),
        ((1,), {"steps": (0, 5)}, "expected one of the steps 0, 10, 20; got 5"),
        ((1,), {"tokens": 0}, "tokens must be at least 1; got 0"),
        ((1,), {"gb": 0.0}, "gb must be positive; got 0.0"),
        ((1,), {"gb": float("nan")}, "gb must be a number, "),
        ((1,), {"corpora": ("eval",)}, r"corpora must be some of on-policy, probe, held-out; got \['eval'\]"),
        ((1,), {"precision": "float16"}, "precision must be one of float32, bfloat16; got 'float16'"),
        ((1,), {"micro_tokens": 0}, "micro_tokens must be at least 1; got 0"),
        ((1,), {"tokens": 30}, r"shared by 6 pairs .*; got 5 tokens and \d[\d,]+ bytes, and the first takes"),
        ((1,), {"gb": 1e-5}, "a share must hold a document; got 83 tokens and 0 bytes"),
        ((1,), {"shard_tokens": 5}, "shard_tokens must hold a document; got 5, and one has"),
        (
            (1,),
            {"gb": 1e6, "tokens": 10**12},
            r"expected at most the [\d.,]+ GB that are free at .*; Residuals of .* take [\d.,]+ GB: ask for less \(gb",
        ),
    ],
)
def test_settings_that_cannot_be_collected_are_refused(series, tmp_path, layers, settings, message):
    settings = {"tokens": 500, "sampling": SAMPLING, "shard_tokens": 65_536} | settings
    with pytest.raises(BadInput, match=message):
        collect_small(series, tmp_path / "store", *layers, **settings)
    assert not list(tmp_path.glob("store/shard-*"))


def test_a_missing_device_is_refused(series, tmp_path):
    with pytest.raises(BadInput, match="expected a device that this torch sees, got cuda"):
        collect(series, TASK, layer=1, tokens=500, out=tmp_path / "store", device="cuda", progress=False)


def test_after_a_refusal_other_settings_are_accepted_in_the_same_place(series, tmp_path):
    with pytest.raises(BadInput, match="shard_tokens must hold a document"):
        collect_small(series, tmp_path / "store", 1, shard_tokens=5)
    assert len(collect_small(series, tmp_path / "store", 1))


def test_without_a_layer_a_task_a_place_or_a_checkpoint_nothing_is_collected(series):
    with pytest.raises(BadInput, match=r"expected a layer to collect, got none: collect\(series, layer=2\)"):
        collect(series, TASK)
    with pytest.raises(BadInput, match=r"expected a list of corpora, got 'probe' alone: corpora=\['probe'\]"):
        collect(series, TASK, layer=1, corpora="probe")
    with pytest.raises(BadInput, match=r"expected a task for these checkpoints, got none: collect\(series, task, "):
        collect(series, layer=1)
    only_base = f"got {shipped_path()} alone: name .* --series.* --out"
    with pytest.raises(BadInput, match=f"expected checkpoint-<step> directories in one place, .*; {only_base}"):
        collect(Series.from_dirs([shipped_path()]), TASK, layer=1)
    with pytest.raises(BadInput, match="expected at least one checkpoint, got a series without any"):
        collect(Series([]), TASK, layer=1)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((), "jsonl:mine: expected problems of probe, got none"),
        ((2,), "expected problems of train at level 2, got none"),
    ],
)
def test_a_split_or_level_without_problems_is_refused_before_anything_is_loaded(
    series, tmp_path, monkeypatch, levels, message
):
    monkeypatch.setattr(Checkpoint, "load", lambda *args, **more: pytest.fail("loaded"))
    (tmp_path / "mine.jsonl").write_text('{"id": "a", "prompt": "1 + 1 =", "answer": "2", "split": "train"}')
    with pytest.raises(BadInput, match=message):
        collect_small(series, tmp_path / "store", 1, task=JsonlTask(tmp_path / "mine.jsonl"), levels=levels)


def test_a_prompt_that_is_too_long_is_refused_with_the_name_of_its_problem(series, tmp_path):
    lengths = (("a", 3), ("b", 70))
    lines = [{"id": name, "prompt": "1 " * words, "answer": "2", "split": "train"} for name, words in lengths]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = JsonlTask(tmp_path / "mine.jsonl")
    with pytest.raises(BadInput, match="problem b: a prompt must have 1 to 63 tokens; got 70"):
        collect_small(series, tmp_path / "store", 1, task=task, corpora=("on-policy",))


def spoil_weight(run: Path, value: float) -> Series:
    """Set one weight of the last block of checkpoint 10."""
    policy = Policy.load(run / "checkpoint-10", device="cpu")
    with torch.no_grad():
        policy.model.get_decoder().layers[2].mlp.down_proj.weight[0, 0] = value
    policy.save(run / "checkpoint-10", overwrite=True)
    return Series.from_dir(run)


def test_a_checkpoint_that_has_diverged_is_named(run, tmp_path):
    series = spoil_weight(run, float("nan"))
    with pytest.raises(FloatingPointError, match=r"checkpoint 10 \(\S+/checkpoint-10\): the policy's logits are not"):
        collect_small(series, tmp_path / "a", 1)
    with pytest.raises(BadInput, match=r"checkpoint 10 \(\S+\): expected finite residuals at layer 2, got \d+ NaN"):
        collect_small(series, tmp_path / "b", 2, corpora=("probe",))
    with pytest.raises(BadInput, match="expected a finished store"):
        Store.open(tmp_path / "b")


def test_a_precision_that_is_too_narrow_for_the_residuals_is_named(run, tmp_path):
    series = spoil_weight(run, 1e7)
    collect_small(series, tmp_path / "single", 2, corpora=("probe",))
    with pytest.raises(BadInput, match=r"checkpoint 10 .* got 0 NaN and \d+ infinite .*float16 is too narrow for them"):
        collect_small(series, tmp_path / "half", 2, corpora=("probe",), dtype="float16")


# --- one process at a time ----------------------------------------------------------------------------------------


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that collects into `store`."""
    with lock_held_by_another(tmp_path / "store") as child:
        yield child


def test_a_second_process_is_refused_at_once(series, tmp_path, holder, monkeypatch):
    monkeypatch.setattr(Checkpoint, "fingerprint", lambda *args: pytest.fail("weights were read"))
    with pytest.raises(InUse, match=f"store is in use by process {holder.pid}"):
        collect_small(series, tmp_path / "store", 1)
    assert not (tmp_path / "store").exists()


def test_a_second_process_does_not_go_on_with_a_stopped_collection(series, tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Writer, "finish", lambda writer: (_ for _ in ()).throw(Stopped))
        collect_small(series, tmp_path / "store", 1)
    assert not is_locked(tmp_path / "store"), "a failure releases the place"
    in_use = []

    def run(collector: Any, *, progress: bool) -> None:
        in_use.append(is_locked(tmp_path / "store"))

    monkeypatch.setattr("interp.activations.collector.Collector.run", run)
    collect_small(series, tmp_path / "store", 1)
    assert in_use == [True] and not is_locked(tmp_path / "store")


def test_a_finished_store_is_opened_by_several_at_once(store, series, tmp_path, holder):
    shutil.copytree(store.path, tmp_path / "store")
    assert collect_small(series, tmp_path / "store", 0, 2).fingerprint() == store.fingerprint()
    (tmp_path / "store" / "shard-00000.parquet").unlink()
    with pytest.raises(InUse):
        collect_small(series, tmp_path / "store", 0, 2)


def test_a_reread_store_is_written_by_one_process(store, series, tmp_path, holder):
    with pytest.raises(InUse):
        reread(store, series.base.load(device="cpu"), reader=0, out=tmp_path / "store", progress=False)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", ["safetensors", "parquet", "json"])
def test_a_collection_mends_any_damage_to_a_shard(store, series, tmp_path, damage, suffix):
    out = Path(shutil.copytree(store.path, tmp_path / "damaged"))
    DAMAGES[damage](out / f"shard-00003.{suffix}", out / f"shard-00001.{suffix}")
    mended = collect_small(series, out, 0, 2)
    assert contents(out) == contents(store.path) and mended.read(3, 2).equal(store.read(3, 2))
