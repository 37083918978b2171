"""Loss recovered by dictionaries for which it is known, and the stores and policies that are refused."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import torch
from tsae_fixtures import identity_tsae, silent_tsae

from interp.activations import CollectConfig, Store, collect
from interp.artifacts import BadInput, Mismatch
from interp.encoding import LossRecovery, loss_recovered
from interp.encoding.recovery import sample_documents
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.rollouts import Series
from interp.tsae import TSAE, evaluate
from interp.tsae.provenance import reader_fingerprints

LAYER, D = 2, 64


@pytest.fixture(scope="module")
def series() -> Series:
    return Series.from_dirs([shipped_path()])


@pytest.fixture(scope="module")
def store(series: Series, tmp_path_factory: pytest.TempPathFactory) -> Store:
    config = CollectConfig((LAYER,), tokens=2500, shard_tokens=900, sampling=SampleConfig(group=2, rows=64))
    out = tmp_path_factory.mktemp("recovery") / "store"
    return collect(series, load_task(shipped_path()), config=config, out=out, device="cpu", progress=False)


def tsae_of_layer(scale: float = 1.0) -> TSAE:
    return identity_tsae(D, layer=LAYER, scale=scale)


def measure(tsae: TSAE, store: Store, series: Series, documents: int = 512) -> LossRecovery:
    return loss_recovered(tsae, store, series, documents=documents, device="cpu", progress=False)


def test_a_dictionary_that_copies_its_input_recovers_everything(store, series):
    recovery = measure(tsae_of_layer(), store, series)
    for recovered in (recovery.from_mean, recovery.from_zero):
        assert recovered.n > 200
        assert recovered.ce_recovered == pytest.approx(1, abs=1e-5)
        assert recovered.kl_recovered == pytest.approx(1, abs=1e-5)


def test_a_dictionary_that_outputs_zero_recovers_nothing_against_zero(store, series):
    recovered = measure(silent_tsae(tsae_of_layer()), store, series).from_zero
    assert recovered.ce_recovered == pytest.approx(0, abs=1e-6)
    assert recovered.kl_recovered == pytest.approx(0, abs=1e-6)


def test_a_dictionary_that_outputs_the_mean_recovers_nothing_against_the_mean(store, series):
    completions = torch.cat([store.read(i, LAYER)[store.tokens(i).completion] for i in range(len(store.shards))])
    mean_D = completions.double().mean(0).float()
    recovered = measure(replace(silent_tsae(tsae_of_layer()), b_dec=mean_D), store, series).from_mean
    assert recovered.ce_recovered == pytest.approx(0, abs=1e-4)


def test_half_of_the_residual_recovers_a_part(store, series):
    kl_recovered = measure(tsae_of_layer(scale=0.5), store, series).from_zero.kl_recovered
    assert kl_recovered is not None and 0.05 < kl_recovered < 0.999


@pytest.mark.parametrize("documents", [2, 512])
def test_every_completion_token_but_the_first_is_measured(store, series, documents):
    """The first is predicted from the prompt, where the residual is not replaced."""
    lengths = [len(ids) for _, _, completions in sample_documents(store, documents) for ids in completions]
    recovery = measure(tsae_of_layer(), store, series, documents=documents)
    assert recovery.documents == sum(length > 1 for length in lengths) > 1
    assert recovery.from_mean.n == sum(length - 1 for length in lengths)


def test_a_recovery_has_a_headline_a_summary_and_a_table_by_ablation(store, series):
    recovery = measure(tsae_of_layer(), store, series, documents=8)
    assert recovery.headline()["ce_recovered"] == recovery.from_mean.ce_recovered
    assert recovery.headline()["kl_recovered_from_zero"] == recovery.from_zero.kl_recovered
    assert recovery.summary()["ablation"].to_list() == ["mean", "zero"]
    assert recovery.table()["tokens"].to_list() == [recovery.from_mean.n] * 2
    assert list(recovery.figure().data[0].x) == ["clean", "reconstruction", "mean", "zero"]
    assert "documents, against the mean: CE 1.000" in repr(recovery) and "mean" in recovery._repr_html_()


def test_policies_may_be_a_function_of_the_step(store, series):
    def load(step: int) -> Policy:
        return series.checkpoint(step).load(device="cpu")

    by_function = loss_recovered(tsae_of_layer(), store, load, documents=8, progress=False)
    assert by_function == measure(tsae_of_layer(), store, series, documents=8)


# --- samples -------------------------------------------------------------------------------------------------------


def test_the_sample_has_documents_of_every_level(store):
    """Rollouts are stored level by level, so every n-th could be of one level."""
    documents = store.documents.with_columns(level=pl.int_range(pl.len()) % 12)
    view = SimpleNamespace(path=store.path, documents=documents, tokens=store.tokens)
    sampled = {
        tuple(prompt + completion)
        for _, prompts, completions in sample_documents(view, documents.height // 4)  # pyright: ignore
        for prompt, completion in zip(prompts, completions, strict=True)
    }
    levels = {
        row["level"]
        for row in documents.iter_rows(named=True)
        if tuple(store.tokens(row["shard"]).ids[row["first"] : row["first"] + row["length"]].tolist()) in sampled
    }
    assert len(levels) > 8


def test_the_sample_has_the_size_asked_for(store):
    count = store.documents.height - 1
    assert sum(len(prompts) for _, prompts, _ in sample_documents(store, count)) == count


# --- refused -------------------------------------------------------------------------------------------------------


def test_a_policy_that_did_not_read_the_store_is_refused(store):
    other = Policy.load(shipped_path(), device="cpu")
    with torch.no_grad():
        next(other.model.parameters()).add_(0.1)
    with pytest.raises(Mismatch, match="was read by another checkpoint 0"):
        loss_recovered(tsae_of_layer(), store, lambda step: other, progress=False)


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ("a series", r"expected policies to give the policy of a step, got 'a series': pass a Series, or a function"),
        (lambda step: "a checkpoint", "expected a Policy, got 'a checkpoint' .str.: expected policies to give the"),
    ],
)
def test_what_gives_no_policies_is_refused(policies, message, store):
    with pytest.raises(BadInput, match=message):
        loss_recovered(tsae_of_layer(), store, policies, progress=False)


def test_zero_documents_are_refused(store, series):
    with pytest.raises(BadInput, match="documents must be at least 1; got 0"):
        measure(tsae_of_layer(), store, series, documents=0)


@pytest.mark.parametrize("measure_on", [measure, lambda tsae, store, series: evaluate(tsae, store, progress=False)])
def test_a_store_of_unrelated_policies_is_refused(measure_on, store, series):
    with pytest.raises(Mismatch, match="expected some of somebody else in the store"):
        measure_on(replace(tsae_of_layer(), made_from={"policy-0": "somebody else"}), store, series)


def test_a_store_of_unrelated_policies_is_measured_if_they_are_allowed(store):
    unrelated = replace(tsae_of_layer(), made_from={"policy-0": "somebody else"})
    quality = evaluate(unrelated, store, allow_unrelated_policies=True, progress=False)
    assert quality.fve == pytest.approx(1)
    related = replace(tsae_of_layer(), made_from={"policy-7": store.made_from["policy-0"]})
    assert evaluate(related, store, progress=False).fve == pytest.approx(1), "the same weights under another step"


def test_a_base_that_only_wrote_the_text_relates_no_stores(series, tmp_path):
    """Two runs of one base: the base wrote the probe corpus of both stores, and read neither."""
    stores = []
    for seed in range(2):
        run = Series.from_dirs([series.base.path, save_changed_policy(tmp_path / f"later-{seed}", seed)])
        config = CollectConfig((LAYER,), tokens=600, shard_tokens=300, steps=(run.steps[1],), corpora=("probe",))
        out = tmp_path / f"store-{seed}"
        stores.append(collect(run, load_task(shipped_path()), config=config, out=out, device="cpu", progress=False))
    first, second = stores
    assert first.made_from["policy-0"] == second.made_from["policy-0"]
    assert set(reader_fingerprints(first)) == {"policy-1"}
    tsae = replace(tsae_of_layer(), made_from=reader_fingerprints(first))
    assert evaluate(tsae, first, progress=False).fve == pytest.approx(1)
    with pytest.raises(Mismatch, match="fitted on other weights"):
        evaluate(tsae, second, progress=False)


def save_changed_policy(path: Path, seed: int) -> Path:
    """The shipped policy with other weights."""
    policy = Policy.load(shipped_path(), device="cpu")
    with torch.no_grad():
        next(policy.model.parameters()).add_(0.01 * (1 + seed))
    policy.save(path)
    return path
