"""First tokens of documents, with norms far above all others, are noticed, and can be left out everywhere."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout
from tsae_fixtures import identity_tsae, noise_residuals, small_config, store_with_layout

from interp.activations import Store
from interp.artifacts import BadInput
from interp.encoding.recovery import SpliceEvaluator
from interp.policy.residual import splice_residual
from interp.tsae import evaluate, fit
from interp.tsae.metrics import Norms, NormSpread
from interp.tsae.pools import Pools

LAYOUT = [[(9, 3), (1, 0), (4, 4), (12, 0)], [(30, 5), (20, 2), (24, 3)]]
"""(length, prompt) of the documents of each shard."""
FIT = {"prompts": True, "steps": 5, "batch": 16}


def store_with_sinks(path: Path) -> Store:
    """A store in which the first token of every document has a norm of about 500, the others of about 4."""
    starts = np.cumsum([0, *(length for shard in LAYOUT for length, _ in shard)])[:-1]

    def fill(first: int, n: int, layer: int) -> torch.Tensor:
        x_ND = noise_residuals(first, n, layer)
        x_ND[[start - first for start in starts.tolist() if first <= start < first + n]] *= 125
        return x_ND

    return store_with_layout(path, LAYOUT, d_model=16, fill=fill)


def test_the_spread_of_norms_by_hand():
    norms = Norms()
    norms.update(x_ND=torch.tensor([[3.0, 4.0], [0.0, 5.0], [300.0, 400.0]]))
    norms.update(x_ND=torch.tensor([[5.0, 0.0], [0.0, -50.0]]))
    spread = norms.compute()
    assert (spread.median, spread.largest, spread.outliers) == (5.0, 500.0, 1), "50 is 10 medians, not above"
    assert spread.outlier_share == pytest.approx(500**2 / (3 * 5**2 + 50**2 + 500**2))
    other = Norms()
    other.update(x_ND=torch.tensor([[5.0, 0.0]]))
    norms.merge(other)
    assert norms.compute().outliers == 1 and len(torch.cat(norms.parts)) == 6
    assert NormSpread.of(torch.zeros(3)).outlier_share == 0
    with pytest.raises(BadInput, match="expected norms of tokens, got none"):
        NormSpread.of(torch.zeros(0))


def test_first_tokens_and_prompts_are_skipped_whichever_are_more(tmp_path):
    store = store_with_layout(tmp_path / "store", LAYOUT)
    for skip_first, with_prompts, without in [
        (0, [0, 0, 0, 0], [3, 0, 4, 0]),
        (1, [1, 1, 1, 1], [3, 1, 4, 1]),
        (5, [5, 1, 4, 5], [5, 1, 4, 5]),
    ]:
        pools = {prompts: Pools(store, 0, prompts=prompts, skip_first=skip_first) for prompts in (True, False)}
        assert pools[True].read_shards(0).skip_M.tolist() == with_prompts
        assert pools[False].read_shards(0).skip_M.tolist() == without


def test_a_fit_and_a_measurement_on_first_tokens_warn_and_name_their_number(tmp_path):
    store, message = store_with_sinks(tmp_path / "store"), r"7 of 100 tokens have a norm above 10 times the median"
    with pytest.warns(UserWarning, match=message):
        tsae = fit(store, small_config(training=FIT), device="cpu", progress=False)
    with pytest.warns(UserWarning, match=r"leave those out \(skip_first=1, --skip-first 1\)"):
        quality = evaluate(tsae, store, device="cpu", progress=False)
    assert (quality.tokens, quality.norms.outliers, quality.headline()["outlier_tokens"]) == (100, 7, 7)
    assert quality.norms.outlier_share > 0.99


def test_a_fit_without_first_tokens_is_measured_without_them(tmp_path):
    store = store_with_sinks(tmp_path / "store")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*norm above.*")
        config = small_config(training=FIT | {"skip_first": 1})
        tsae = fit(store, config, out=tmp_path / "tsae", device="cpu", progress=False)
        quality = evaluate(tsae, store, device="cpu", progress=False)
    assert (tsae.skip_first, quality.tokens, quality.skip_first, quality.norms.outliers) == (1, 93, 1, 0)
    assert evaluate(tsae, store, skip_first=3, device="cpu", progress=False).tokens == 100 - 7 * 3 + 2
    with pytest.warns(UserWarning, match="7 of 100 tokens"):
        assert evaluate(tsae, store, skip_first=0, device="cpu", progress=False).tokens == 100


def test_first_tokens_are_not_replaced_when_loss_is_measured():
    policy, rollout = tiny_policy("llama"), make_rollout(length=6, prompt_ids=(8,))
    evaluators = {
        n: SpliceEvaluator(identity_tsae(32, layer=1, scale=0.5), 1, torch.zeros(32), skip_first=n) for n in (0, 3)
    }
    ids = torch.tensor([[*rollout.prompt_ids, *rollout.tokens]])
    for skip_first, evaluator in evaluators.items():
        evaluator.update(policy, [rollout.prompt_ids], [rollout.tokens])
        replaced = torch.zeros(1, 7, dtype=torch.bool)
        replaced[:, max(1, skip_first) :] = True
        splice = splice_residual(policy.model, 1, lambda x: 0.5 * x, mask_BL=replaced)
        with splice, torch.no_grad():
            logits = policy.model(input_ids=ids, use_cache=False).logits[0]
        expected = torch.nn.functional.cross_entropy(logits[1:-1], ids[0, 2:]).item()
        assert evaluator.compute().from_mean.ce_spliced_nats_per_token == pytest.approx(expected, abs=1e-4)


def test_a_store_says_how_many_tokens_are_of_completions(tmp_path):
    store = store_with_layout(tmp_path / "store", LAYOUT)
    assert (len(store), store.completion_tokens) == (100, 100 - 17)
    assert "100 tokens (83 of completions) of 7 documents" in repr(store)
    assert store.summary()["completion_tokens"].sum() == 83
    with pytest.raises(
        BadInput, match=r"one batch of 90 tokens, got 83 \(17 more are of prompts: .*--prompts\): collect more"
    ):
        fit(store, small_config(training={"batch": 90}), progress=False)
    with pytest.raises(BadInput, match="one batch of 200 tokens, got 100: collect more"):
        fit(store, small_config(training={"batch": 200, "prompts": True}), progress=False)
