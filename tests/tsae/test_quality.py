"""What is measured of a dictionary on a store, and what is left of the loss with it in the residual's place."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from interp.activations import Store, collect
from interp.artifacts import BadInput, Mismatch
from interp.organism import shipped_path, load_task
from interp.policy import Policy, SampleConfig
from interp.rollouts import Series
from interp.tsae import TSAE, Quality, TrainingConfig, TSAEConfig, evaluate
from interp.tsae.provenance import reader_fingerprints
from interp.tsae.quality import _documents

LAYER, D = 2, 64


@pytest.fixture(scope="module")
def series() -> Series:
    return Series.from_dirs([shipped_path()])


@pytest.fixture(scope="module")
def store(series, tmp_path_factory) -> Store:
    asked = {"tokens": 2500, "shard_tokens": 900, "sampling": SampleConfig(group=2, rows=64), "device": "cpu"}
    out = tmp_path_factory.mktemp("quality") / "store"
    return collect(series, load_task(shipped_path()), layer=LAYER, out=out, progress=False, **asked)


def identity(scale: float = 1.0) -> TSAE:
    """A dictionary that gives back what it gets (times `scale`): each direction once up and once down."""
    both_FD = torch.cat([torch.eye(D), -torch.eye(D)])
    zeros = torch.zeros(2 * D)
    return TSAE(both_FD.T.contiguous(), zeros, scale * both_FD, torch.zeros(D), zeros, block_widths=(D, D), layer=LAYER)


def measured(tsae: TSAE, store: Store, series: Series, **asked: int) -> Quality:
    return evaluate(
        tsae, store, policies=lambda step: series.checkpoint(step).load(device="cpu"), progress=False, **asked
    )


def test_a_dictionary_that_gives_back_what_it_gets_keeps_everything(store, series):
    found = measured(identity(), store, series)
    assert found.fve == pytest.approx(1) and found.cosine == pytest.approx(1, abs=1e-6)
    for recovered in (found.recovered, found.recovered_from_zero):
        assert recovered is not None and recovered.n > 200
        assert recovered.ce_recovered == pytest.approx(1, abs=1e-5)
        assert recovered.kl_recovered == pytest.approx(1, abs=1e-5)
    assert found.l0.total == pytest.approx(D, abs=0.5)  # every dimension is up or down


def test_a_dictionary_that_says_nothing_keeps_what_zero_keeps(store, series):
    silent = replace(identity(), threshold=torch.full((2 * D,), 1e9))
    found = measured(silent, store, series)
    assert found.recovered_from_zero is not None
    assert found.recovered_from_zero.ce_recovered == pytest.approx(0, abs=1e-6)
    assert found.recovered_from_zero.kl_recovered == pytest.approx(0, abs=1e-6)
    assert found.l0.total == 0 and found.firing.dead_share == 1


def test_a_dictionary_that_says_the_mean_keeps_what_the_mean_keeps_and_explains_nothing(store, series):
    completions = torch.cat([store.read(at, LAYER)[store.tokens(at).completion] for at in range(len(store.shards))])
    mean_D = completions.double().mean(0).float()
    found = measured(replace(identity(), threshold=torch.full((2 * D,), 1e9), b_dec=mean_D), store, series)
    assert found.fve == pytest.approx(0, abs=1e-5)
    assert found.recovered is not None and found.recovered.ce_recovered == pytest.approx(0, abs=1e-4)


def test_half_of_the_residual_keeps_some_of_the_loss_and_less_than_all(store, series):
    found = measured(identity(0.5), store, series)
    assert found.recovered_from_zero is not None and found.recovered_from_zero.kl_recovered is not None
    assert 0.05 < found.recovered_from_zero.kl_recovered < 0.999


def test_only_tokens_of_completions_are_measured_and_each_of_them(store, series):
    completions = sum(int(store.tokens(at).completion.sum()) for at in range(len(store.shards)))
    assert evaluate(identity(), store, progress=False).tokens == completions


def test_the_figures_most_asked_for_are_one_row(store):
    row = evaluate(identity(), store, progress=False).table().to_dicts()[0]
    assert row["fve"] == pytest.approx(1) and "ce_recovered" not in row
    assert (row["recovered_documents"], row["recovered_tokens"]) == (0, 0)


@pytest.mark.parametrize("asked", [2, 512])
def test_it_is_told_on_how_many_documents_and_tokens_the_loss_recovered_was_measured(store, series, asked):
    """Of a document of n tokens written, the first is predicted before the splice."""
    read = [c for _, _, completions in _documents(store, asked) for c in completions if len(c) > 1]
    row = measured(identity(), store, series, documents=asked).headline()
    assert row["recovered_documents"] == len(read) > 1
    assert row["recovered_tokens"] == sum(len(completion) - 1 for completion in read)


def test_a_dictionary_of_another_layer_or_dimension_is_refused(store):
    with pytest.raises(Mismatch, match="expected activations of layer 1 and dimension 64"):
        evaluate(replace(identity(), layer=1), store, progress=False)
    narrow = TSAE(
        torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8), torch.zeros(8), block_widths=(8,), layer=LAYER
    )
    with pytest.raises(Mismatch, match="dimension 8"):
        evaluate(narrow, store, progress=False)


def test_a_policy_that_did_not_read_the_store_is_refused(store):
    other = Policy.load(shipped_path(), device="cpu")
    with torch.no_grad():
        next(other.model.parameters()).add_(0.1)
    with pytest.raises(Mismatch, match="was read by another checkpoint 0"):
        evaluate(identity(), store, policies=lambda step: other, progress=False)


def test_codes_are_not_taken_for_residuals():
    with pytest.raises(BadInput, match="expected codes of 128 latents"):
        identity().decode(torch.zeros(3, D))
    with pytest.raises(BadInput, match="expected activations of dimension 64"):
        identity().encode(torch.zeros(3, 2 * D))


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ("a series", r"policies must give the policy of a step, as lambda step: .*\.load\(\); got 'a series'"),
        (lambda step: "a checkpoint", "expected a Policy, got 'a checkpoint' .str.: policies must give the policy of"),
    ],
)
def test_what_gives_no_policies_is_refused(policies, told, store):
    with pytest.raises(BadInput, match=told):
        evaluate(identity(), store, policies=policies, progress=False)


def test_a_store_that_other_policies_read_is_refused_unless_any_will_do(store):
    stranger = replace(identity(), made_from={"policy-0": "somebody else"})
    with pytest.raises(Mismatch, match="expected some of somebody else in the store"):
        evaluate(stranger, store, progress=False)
    assert evaluate(stranger, store, allow_unrelated_policies=True, progress=False).fve == pytest.approx(1)
    kin = replace(identity(), made_from={"policy-7": store.made_from["policy-0"]})
    assert evaluate(kin, store, progress=False).fve == pytest.approx(1)


def test_a_base_that_only_wrote_the_text_makes_no_kin(series, tmp_path):
    """Of two runs of one base: the base wrote the probe corpus of both, and read neither."""
    base, later = series.base, tmp_path / "later"
    stores = []
    for seed in range(2):
        run = Series.from_dirs([base.path, changed(base.path, later.with_name(f"later-{seed}"), seed)])
        asked = {"tokens": 600, "shard_tokens": 300, "steps": (run.steps[1],), "corpora": ("probe",), "device": "cpu"}
        stores.append(
            collect(run, load_task(shipped_path()), layer=LAYER, out=tmp_path / f"s{seed}", progress=False, **asked)
        )
    mine, theirs = stores
    assert mine.made_from["policy-0"] == theirs.made_from["policy-0"] and set(reader_fingerprints(mine)) == {"policy-1"}
    fitted = replace(identity(), made_from=reader_fingerprints(mine))
    assert evaluate(fitted, mine, progress=False).fve == pytest.approx(1)
    with pytest.raises(Mismatch, match="fitted on other weights"):
        evaluate(fitted, theirs, progress=False)


def changed(path: Path, to: Path, seed: int) -> Path:
    """A policy of other weights."""
    policy = Policy.load(path, device="cpu")
    with torch.no_grad():
        next(policy.model.parameters()).add_(0.01 * (1 + seed))
    policy.save(to)
    return to


def test_a_dictionary_that_does_not_say_its_layer_is_told_it(store):
    unsaid = replace(identity(), layer=None)
    with pytest.raises(BadInput, match="does not say which layer it is of: expected a layer, got none"):
        evaluate(unsaid, store, progress=False)
    assert evaluate(unsaid, store, layer=LAYER, progress=False).fve == pytest.approx(1)
    with pytest.raises(Mismatch, match=f"expected a dictionary of layer 1, got one of layer {LAYER}"):
        evaluate(identity(), store, layer=1, progress=False)


def test_documents_that_are_read_again_are_of_every_level(store):
    """Rollouts stand in order of levels and groups, and every n-th might be of one alone."""
    told = store.documents.with_columns(level=pl.int_range(pl.len()) % 12)
    asked = told.height // 4
    read = SimpleNamespace(path=store.path, documents=told, table=store.table)
    ids = {tuple(p + c) for _, prompts, done in _documents(read, asked) for p, c in zip(prompts, done, strict=True)}
    levels = {
        row["level"]
        for row in told.iter_rows(named=True)
        if tuple(store.tokens(row["shard"]).ids[row["first"] : row["first"] + row["length"]].tolist()) in ids
    }
    assert len(levels) > 8


def test_it_is_told_whether_prompts_are_among_the_tokens(store):
    with_prompts = replace(identity(), config=TSAEConfig(training=TrainingConfig(prompts=True)))
    found, without = (evaluate(one, store, progress=False) for one in (with_prompts, identity()))
    assert (found.tokens, found.includes_prompts, without.includes_prompts) == (len(store), True, False)


def test_a_sample_of_documents_is_no_larger_than_asked_for(store, series):
    asked = store.documents.height - 1
    assert sum(len(prompts) for _, prompts, _ in _documents(store, asked)) == asked
