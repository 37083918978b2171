"""Collecting: every checkpoint reads its own words and the base's, token for token, within its budget, however often
it is stopped."""

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
from grpo_world import FirstWord

import interp
from interp.activations import CollectConfig, Store, Writer, collect
from interp.activations import documents as harvesting
from interp.artifacts import BadInput, Mismatch, from_json, to_json
from interp.organism import shipped
from interp.policy import Policy, SampleConfig
from interp.rollouts import Checkpoint, Series
from interp.rollouts.prompts import Questions, answers
from interp.tasks import ROLES, Chain, JsonlTask
from interp.tasks.chain.task import revived

TASK = FirstWord()
SAMPLING = SampleConfig(group=2, max_new_tokens=8, rows=16)
SMALL: dict[str, Any] = {"tokens": 1200, "shard_tokens": 100, "micro_tokens": 64, "sampling": SAMPLING}


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A run of three checkpoints."""
    root = tmp_path_factory.mktemp("runs") / "mine"
    for step in (0, 10, 20):
        tiny_policy(seed=step).save(root / f"checkpoint-{step}")
    return root


@pytest.fixture
def run(shared, tmp_path) -> Path:
    """The same, to be collected beside or spoiled."""
    return Path(shutil.copytree(shared, tmp_path / "mine"))


@pytest.fixture(scope="module")
def store(shared, tmp_path_factory) -> Store:
    out = tmp_path_factory.mktemp("stores") / "store"
    return collect(Series.from_dir(shared), TASK, layers=(0, 2), out=out, bar=False, **SMALL)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def documents(store: Store) -> Iterator[tuple[dict[str, Any], Any, dict[int, torch.Tensor]]]:
    """Each with its own rows of the table and of each layer."""
    tables = [store.table(shard) for shard in range(len(store.shards))]
    for row in store.documents.iter_rows(named=True):
        rows = slice(row["first"], row["first"] + row["length"])
        table = type(tables[0])(**{name: column[rows] for name, column in vars(tables[row["shard"]]).items()})
        yield row, table, {layer: store.read(row["shard"], layer)[rows] for layer in store.layers}


# --- what is collected --------------------------------------------------------------------------------------------


def test_each_checkpoint_reads_what_it_wrote_and_what_the_base_wrote(store):
    keys = ["reader", "corpus", "step", "split", "run"]
    assert store.documents.select(keys).unique(maintain_order=True).rows() == [
        (reader, corpus, reader if corpus == "on-policy" else 0, split, "mine")
        for reader in (0, 10, 20)
        for corpus, split in (("on-policy", "train"), ("probe", "probe"))
    ]
    assert store.layers == (0, 2) and store.d_model == 32 and store.roles == ("prompt", *ROLES)
    assert sorted(store.made_from) == ["policy-0", "policy-10", "policy-20", "task"]


def test_a_residual_is_that_of_its_token_in_its_document_read_alone_by_its_checkpoint(store, shared):
    readers = {member.step: member.load(device="cpu") for member in Series.from_dir(shared)}
    for row, table, held in documents(store):
        alone = readers[row["reader"]].capture(table.ids.long()[None], store.layers)
        for layer in store.layers:
            assert torch.allclose(held[layer], alone[layer][0], atol=1e-5, rtol=0)


def test_every_checkpoint_reads_the_very_same_probe_tokens(store):
    probes: dict[int, list[Any]] = {}
    for row, table, _ in documents(store):
        if row["corpus"] == "probe":
            seen = {name: column.tolist() for name, column in vars(table).items() if name != "document"}
            joined = {key: value for key, value in row.items() if key not in ("shard", "first", "reader")}
            probes.setdefault(row["reader"], []).append((joined, seen))
    assert len(probes[0]) > 10 and probes[0] == probes[10] == probes[20]


def test_a_document_is_a_rollout_with_its_key_its_verdict_and_a_role_for_each_token(shared, tmp_path):
    chosen: dict[str, Any] = {"corpora": ("probe",), "tokens": 2000, "sampling": SampleConfig(4, 64, rows=32)}
    series, task = Series.from_dirs({7: shipped()}), Chain()
    store = collect(series, task, layer=2, out=tmp_path / "store", device="cpu", bar=False, **chosen)
    written = answers(
        Policy.load(shipped(), device="cpu"), Questions(task, "probe"), chosen["sampling"], run="base", step=7
    )
    verdicts = set()
    for (row, table, _), rollout in zip(documents(store), written, strict=False):
        assert table.ids.tolist() == [*rollout.prompt_ids, *rollout.tokens]
        roles = [store.roles[role] for role in table.role]
        assert roles == ["prompt"] * len(rollout.prompt_ids) + list(rollout.roles)
        assert table.completion.tolist() == [False] * len(rollout.prompt_ids) + [True] * len(rollout.tokens)
        assert table.position.tolist() == list(range(len(table)))
        told = {key: row[key] for key in row if key not in ("shard", "first", "length", "prompt", "corpus", "reader")}
        assert told == {key: getattr(rollout, key) for key in told}
        verdicts.add((row["correct"], row["valid"]))
    assert len(store.documents) > 30 and len(verdicts) == 3


def test_several_layers_in_one_pass_are_what_each_would_be_alone(store, shared, tmp_path):
    alone = collect(Series.from_dir(shared), TASK, layer=2, out=tmp_path / "alone", bar=False, **SMALL)
    assert alone.layer == 2 and alone.shards == store.shards
    assert all(torch.equal(alone.read(at, 2), store.read(at, 2)) for at in range(len(store.shards)))


def test_half_precision_is_the_rounding_of_single(store, shared, tmp_path):
    half = collect(
        Series.from_dir(shared), TASK, layers=(0, 2), precision="bfloat16", out=tmp_path / "half", bar=False, **SMALL
    )
    assert half.dtype == "bfloat16"
    assert all(torch.equal(half.read(at, 2), store.read(at, 2).bfloat16().float()) for at in range(len(store.shards)))


def test_where_the_base_is_not_among_the_chosen_it_still_writes_the_probe_corpus(store, shared, tmp_path):
    some = collect(
        Series.from_dir(shared), TASK, layers=(0, 2), steps=(20, 10), out=tmp_path / "some", bar=False, **SMALL
    )
    told = some.documents.select("reader", "corpus", "step").unique(maintain_order=True).rows()
    assert told == [(10, "on-policy", 10), (10, "probe", 0), (20, "on-policy", 20), (20, "probe", 0)]
    key = (20, "probe")
    probes = [[table.ids.tolist() for row, table, _ in documents(which) if (row["reader"], row["corpus"]) == key]
              for which in (some, store)]  # fmt: skip
    shorter = min(map(len, probes))
    assert shorter > 10 and probes[0][:shorter] == probes[1][:shorter]


def test_one_corpus_and_chosen_levels_can_be_asked_for(shared, tmp_path):
    store = collect(
        Series.from_dir(shared)[:1],
        TASK,
        layer=1,
        corpora=("on-policy",),
        levels=(3, "hard"),
        out=tmp_path / "levels",
        bar=False,
        **SMALL,
    )
    assert store.documents["depth"].to_list()[:8] == [3, 3, None, None, 3, 3, None, None]
    assert store.documents["corpus"].unique().to_list() == ["on-policy"]


# --- within its budget --------------------------------------------------------------------------------------------


def test_each_pair_has_an_equal_share_of_the_tokens_and_nearly_uses_it(store):
    shares = store.documents.group_by("reader", "corpus").agg(pl.col("length").sum())["length"]
    assert len(shares) == 6 and len(store) == shares.sum()
    longest = store.documents["length"].max()
    assert all(200 - longest < share <= 200 for share in shares)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_budget_in_gb_is_kept_and_nearly_used(shared, tmp_path, precision):
    gb = 0.001
    store = collect(Series.from_dir(shared)[:2], 
        TASK, layers=(0, 1, 2), gb=gb, tokens=10**9, precision=precision, corpora=("on-policy",), bar=False,
        out=tmp_path / "store", sampling=SampleConfig(group=8, max_new_tokens=8, rows=256),
    )  # fmt: skip
    taken = sum(file.stat().st_size for file in store.path.iterdir())
    assert 0.8 * gb * 1e9 < taken <= gb * 1e9


def test_no_shard_holds_more_tokens_and_no_forward_more_than_asked(shared, tmp_path, monkeypatch):
    shapes: list[tuple[int, ...]] = []

    def watched(model: Any, ids_BL: torch.Tensor, *rest: Any) -> Any:
        shapes.append(tuple(ids_BL.shape))
        return residuals(model, ids_BL, *rest)

    residuals = harvesting.residuals
    monkeypatch.setattr(harvesting, "residuals", watched)
    store = collect(Series.from_dir(shared)[:1], TASK, layer=1, out=tmp_path / "store", bar=False, **SMALL)
    assert max(len(store.table(at)) for at in range(len(store.shards))) <= 100
    assert max(rows * width for rows, width in shapes) <= 64 and max(rows for rows, _ in shapes) > 1


def test_no_more_than_one_shard_is_held_however_many_there_are(shared, tmp_path, monkeypatch):
    held: list[weakref.ref[Any]] = []
    add = Writer.add

    def watched(writer: Writer, activations: Any, tokens: Any, *rest: Any) -> Any:
        assert all(shard() is None for shard in held)
        held.extend(map(weakref.ref, (*activations.values(), tokens.ids)))
        return add(writer, activations, tokens, *rest)

    monkeypatch.setattr(Writer, "add", watched)
    store = collect(Series.from_dir(shared)[:2], TASK, layers=(0, 2), out=tmp_path / "store", bar=False, **SMALL)
    assert len(held) == 3 * len(store.shards) > 20


def test_a_file_is_asked_until_it_runs_out(shared, tmp_path):
    lines = [{"id": f"{split}{at}", "prompt": f"{at} {sign} 1 =", "answer": "1", "split": split}
             for split, sign, n in (("train", "+", 7), ("probe", "-", 3)) for at in range(n)]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    store = collect(
        Series.from_dir(shared)[:2],
        JsonlTask(tmp_path / "mine.jsonl"),
        layer=1,
        out=tmp_path / "store",
        bar=False,
        **{**SMALL, "tokens": 10_000},
    )
    counts = store.documents.group_by("reader", "corpus", maintain_order=True).len().rows()
    assert counts == [(0, "on-policy", 14), (0, "probe", 6), (10, "on-policy", 14), (10, "probe", 6)]
    again = collect(
        Series.from_dir(shared)[:2],
        JsonlTask(tmp_path / "mine.jsonl"),
        layer=1,
        out=tmp_path / "store",
        bar=False,
        **{**SMALL, "tokens": 10_000},
    )
    assert again.fingerprint() == store.fingerprint()


# --- stopped, and gone on -----------------------------------------------------------------------------------------


class Stopped(Exception):  # noqa: N818 - stands for whatever ends a process
    pass


@pytest.mark.parametrize("at", range(13))
def test_stopped_after_any_shard_and_asked_again_it_ends_in_the_same_bytes(store, shared, tmp_path, monkeypatch, at):
    series, out = Series.from_dir(shared), tmp_path / "stopped"
    add = Writer.add

    def stops(writer: Writer, *args: Any) -> Any:
        if len(writer.shards) == at:
            raise Stopped
        return add(writer, *args)

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Writer, "add", stops)
        collect(series, TASK, layers=(0, 2), out=out, bar=False, **SMALL)
    with pytest.raises(BadInput, match=f"expected a finished store, got one of {at} shards so far"):
        Store.open(out)
    collect(series, TASK, layers=(0, 2), out=out, bar=False, **SMALL)
    assert len(store.shards) > 12 and contents(out) == contents(store.path)


def test_asked_again_a_finished_collection_is_opened_and_no_checkpoint_loaded(run, monkeypatch):
    series = Series.from_dir(run)
    first = collect(series, TASK, layer=1, bar=False, **SMALL)
    before = contents(first.path)
    assert first.path.parent == run and first.path.name.startswith("activations-")
    monkeypatch.setattr(Checkpoint, "load", lambda *args, **more: pytest.fail("loaded"))
    assert collect(series, TASK, layer=1, bar=False, **SMALL).path == first.path
    assert contents(first.path) == before and Series.from_dir(run) == series


def test_what_else_is_asked_has_a_place_of_its_own(run):
    series = Series.from_dir(run)[:1]
    asked = [(TASK, {}), (FirstWord("all"), {}), (TASK, {"corpora": ("probe",)}), (TASK, {"dtype": "float32"})]
    paths = {collect(series, task, layer=1, bar=False, **SMALL, **more).path for task, more in asked}
    paths.add(collect(Series.from_dir(run)[1:2], TASK, layer=1, bar=False, **SMALL).path)
    assert len(paths) == 5 and {path.parent for path in paths} == {run}


def test_a_damaged_store_is_mended_when_asked_for_again(store, shared, tmp_path):
    out = Path(shutil.copytree(store.path, tmp_path / "damaged"))
    (out / "shard-00002.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match="shard-00002.safetensors: expected"):
        Store.open(out)
    collect(Series.from_dir(shared), TASK, layers=(0, 2), out=out, bar=False, **SMALL)
    assert contents(out) == contents(store.path)


def test_what_other_weights_wrote_is_refused(run):
    series = Series.from_dir(run)
    store = collect(series, TASK, layer=1, bar=False, **SMALL)
    tiny_policy(seed=5).save(run / "checkpoint-10", overwrite=True)
    with pytest.raises(BadInput, match=r"holds a store of another making: made_from\.policy-10 was '\w+', now '\w+'"):
        collect(series, TASK, layer=1, bar=False, **SMALL)
    with pytest.raises(Mismatch, match="was made from another policy-10"):
        Store.open(store.path, made_from={"policy-10": series.at(10).fingerprint()})


def test_an_answer_is_the_same_from_wherever_one_starts(shared):
    policy = Policy.load(shared / "checkpoint-0", device="cpu")
    asked: dict[str, Any] = {"run": "mine", "step": 0}
    questions = Questions(TASK, "train")

    def first(n: int, start: int) -> list[Any]:
        written = answers(policy, questions, SampleConfig(2, 8, rows=64), start=start, **asked)
        return [next(written) for _ in range(n)]

    whole = first(300, 0)
    for start in (1, 62, 63, 64, 65, 191, 200, 299):
        assert first(300 - start, start) == whole[start:]


# --- a run of ours knows its task ---------------------------------------------------------------------------------


def test_the_series_of_a_run_is_collected_without_being_told_its_task(tmp_path):
    task = Chain(depths=(1, 3), easy=(1,), medium=(2,), hard=(3,))
    config = interp.grpo.GRPOConfig(steps=1, prompts=2, sampling=SampleConfig(group=2, max_new_tokens=8))
    base = Policy.load(shipped(), device="cpu")
    trained = interp.grpo.train(base, task, config=config, out=tmp_path / "run", bar=False)
    assert trained.series.task == task
    store = collect(trained.series, layer=2, tokens=2000, bar=False)
    assert store.path.parent == trained.path and set(store.documents["depth"]) == {1, 2, 3}
    assert set(store.documents["run"]) == {"run"} and trained.series.steps == (0, 1)
    assert trained.series[1:].task == task and trained.series[1:].run == "run"


def test_only_the_chain_task_is_revived():
    world = {"kind": "Chain", "settings": to_json(Chain(modulus=7))}
    assert revived(world) == Chain(modulus=7)
    assert revived({"kind": "GymTask", "settings": {}}) is None and revived(None) is None


def test_a_config_is_read_back_as_it_was_written():
    config = CollectConfig((1, 2), levels=(3, "hard"), steps=(0,), sampling=SampleConfig(group=3))
    assert from_json(CollectConfig, json.loads(json.dumps(to_json(config)))) == config


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"layer": 3}, r"layers must lie between 0 and 2; got \[3\]"),
        ({"layers": (1, 5, 4)}, r"layers must lie between 0 and 2; got \[5, 4\]"),
        ({"layer": -1}, r"layers must be numbers from 0 on, one at least; got \[-1\]"),
        ({"layer": 1, "layers": (1, 2)}, r"layers must be named once each; got \[1, 1, 2\]"),
        ({}, r"expected a layer to collect, got none: collect\(layer=2\)"),
        ({"layer": 1, "steps": (0, 5)}, "expected one of the steps 0, 10, 20; got 5"),
        ({"layer": 1, "token": 10}, "expected settings among layers, tokens, gb, .*; got token"),
        ({"layer": 1, "tokens": 0}, "tokens must be at least 1; got 0"),
        ({"layer": 1, "gb": 0.0}, "gb must be positive; got 0.0"),
        ({"layer": 1, "gb": float("nan")}, "gb must be positive; got nan"),
        ({"layer": 1, "corpora": ("eval",)}, r"corpora must be some of on-policy, probe, held-out; got \['eval'\]"),
        ({"layer": 1, "precision": "float16"}, "precision must be one of float32, bfloat16; got 'float16'"),
        ({"layer": 1, "micro_tokens": 0}, "micro_tokens must be at least 1; got 0"),
        ({"layer": 1, "tokens": 30}, r"shared by 6 pairs .*; got 5 tokens and \d[\d,]+ bytes, and the first takes"),
        ({"layer": 1, "gb": 1e-5}, "a share must hold a document; got 83 tokens and 0 bytes"),
        ({"layer": 1, "shard_tokens": 5}, "shard_tokens must hold a document; got 5, and one has"),
        ({"layer": 1, "gb": 1e9, "tokens": 10**12}, r"expected room for up to [\d.]+ GB, got [\d.]+ GB free"),
        ({"layer": 1, "device": "cuda"}, "device cuda was asked for, but this torch sees 0"),
    ],
)
def test_what_cannot_be_collected_is_refused(shared, tmp_path, asked, told):
    sizes = {"tokens": 500, "sampling": SAMPLING}
    with pytest.raises(BadInput, match=told):
        collect(Series.from_dir(shared), TASK, out=tmp_path / "store", bar=False, **{**sizes, **asked})
    assert not list(tmp_path.glob("store/shard-*"))


def test_what_was_refused_can_be_asked_for_otherwise_in_the_same_place(shared, tmp_path):
    series, asked = Series.from_dir(shared), {"layer": 1, "out": tmp_path / "store", "bar": False, **SMALL}
    with pytest.raises(BadInput, match="shard_tokens must hold a document"):
        collect(series, TASK, **{**asked, "shard_tokens": 5})
    assert len(collect(series, TASK, **asked))


def test_a_level_that_there_is_not_is_refused_before_anything_is_asked():
    with pytest.raises(BadInput, match="got 'impossible'"):
        Questions(Chain(), "train", ("hard", "impossible"))


def test_one_alone_need_not_be_put_in_a_list(shared, tmp_path):
    series = Series.from_dir(shared)
    alone = collect(series, TASK, layers=1, corpora="probe", steps=10, out=tmp_path / "a", bar=False, **SMALL)
    listed = collect(series, TASK, layers=(1,), corpora=("probe",), steps=(10,), out=tmp_path / "b", bar=False, **SMALL)
    assert contents(alone.path) == contents(listed.path)


def test_without_a_task_or_a_place_nothing_is_collected(shared):
    with pytest.raises(BadInput, match=r"expected a task to ask these checkpoints, got none: collect\(task, \.\.\.\)"):
        collect(Series.from_dir(shared), layer=1)
    told = f"expected checkpoint-<step> directories in one place, .*; got {shipped()} alone: name .* --series.* --out"
    with pytest.raises(BadInput, match=told):
        collect(Series.from_dirs([shipped()]), TASK, layer=1)
    with pytest.raises(BadInput, match="expected at least one checkpoint, got a series without any"):
        collect(Series([]), TASK, layer=1)


def test_a_split_or_a_level_without_problems_is_refused_before_anything_is_loaded(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "load", lambda *args, **more: pytest.fail("loaded"))
    (tmp_path / "mine.jsonl").write_text('{"id": "a", "prompt": "1 + 1 =", "answer": "2", "split": "train"}')
    task, series = JsonlTask(tmp_path / "mine.jsonl"), Series.from_dir(shared)
    for more, told in (
        ({}, "jsonl:mine: expected problems of probe, got none"),
        ({"levels": (2,)}, "expected problems of train at level 2, got none"),
    ):
        with pytest.raises(BadInput, match=told):
            collect(series, task, layer=1, out=tmp_path / "store", **more)


def test_levels_that_share_problems_are_refused():
    with pytest.raises(BadInput, match="expected levels that share no problem, got hard, 8"):
        Questions(Chain(), "train", ("hard", 8))(0, 4)


def test_a_prompt_that_is_too_long_is_refused_by_its_problem_s_name(shared, tmp_path):
    lengths = (("a", 3), ("b", 70))
    lines = [{"id": name, "prompt": "1 " * words, "answer": "2", "split": "train"} for name, words in lengths]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(BadInput, match="problem b: a prompt must have 1 to 63 tokens; got 70"):
        collect(
            Series.from_dir(shared),
            JsonlTask(tmp_path / "mine.jsonl"),
            layer=1,
            corpora=("on-policy",),
            out=tmp_path / "store",
            **SMALL,
        )


def spoil(run: Path, value: float) -> None:
    """One weight of the last block, of the checkpoint of step 10."""
    policy = Policy.load(run / "checkpoint-10", device="cpu")
    with torch.no_grad():
        policy.model.get_decoder().layers[2].mlp.down_proj.weight[0, 0] = value
    policy.save(run / "checkpoint-10", overwrite=True)


def test_a_checkpoint_that_has_diverged_is_named(run, tmp_path):
    spoil(run, float("nan"))
    series = Series.from_dir(run)
    with pytest.raises(FloatingPointError, match=r"checkpoint 10 \(\S+/checkpoint-10\): the policy's logits are not"):
        collect(series, TASK, layer=1, out=tmp_path / "a", bar=False, **SMALL)
    with pytest.raises(BadInput, match=r"checkpoint 10 \(\S+\): expected finite residuals at layer 2, got \d+ NaN"):
        collect(series, TASK, layer=2, corpora=("probe",), out=tmp_path / "b", bar=False, **SMALL)
    with pytest.raises(BadInput, match="expected a finished store"):
        Store.open(tmp_path / "b")


def test_a_precision_too_narrow_for_a_checkpoint_s_residuals_is_named(run, tmp_path):
    spoil(run, 1e7)
    asked: dict[str, Any] = {"layer": 2, "corpora": ("probe",), "bar": False, **SMALL}
    series = Series.from_dir(run)
    collect(series, TASK, out=tmp_path / "single", **asked)
    with pytest.raises(BadInput, match=r"checkpoint 10 .* got 0 NaN and \d+ infinite .*float16 is too narrow for them"):
        collect(series, TASK, out=tmp_path / "half", dtype="float16", **asked)


def test_a_collection_that_is_interrupted_says_how_to_go_on(shared, tmp_path, monkeypatch):
    def interrupt(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("interp.activations.collect._Collection.go", interrupt)
    with pytest.raises(KeyboardInterrupt, match="stopped; ask for the same again to go on from"):
        collect(Series.from_dir(shared), TASK, layer=1, out=tmp_path / "store", bar=False, **SMALL)
