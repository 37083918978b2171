"""Tests that need a GPU: `INTERP_GPU=1 python -m pytest tests/test_gpu.py`. Without one they are skipped."""

import pytest
import torch
from conftest import tiny_policy
from tsae_fixtures import small_config, small_store

from interp.credit import Credit, RolloutBatch
from interp.grpo import GRPOConfig, UpdateConfig, train
from interp.organism import shipped_path
from interp.policy import Policy, SampleConfig
from interp.tasks import Chain
from interp.tsae import evaluate, fit
from interp.tsae.batches import batches
from interp.tsae.pools import Pools
from interp.tsae.statistics import measure_statistics
from interp.tsae.trainer import TSAETrainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and INTERP_GPU=1")
PROMPTS = [problem.prompt for problem in Chain().problems("eval", None, 40)]


@pytest.fixture(scope="module")
def organism() -> Policy:
    return Policy.load(shipped_path())


def test_device_auto_is_the_gpu_and_keeps_the_weights(organism):
    assert organism.device.type == "cuda"
    assert organism.fingerprint() == Policy.load(shipped_path(), device="cpu").fingerprint()


def test_scoring_a_sample_gives_the_samplers_logprobs(organism):
    prompts = organism.encode(PROMPTS)
    samples = organism.sample(prompts, SampleConfig(group=4))
    completions = [list(samples.row(index).tokens) for index in range(len(prompts) * 4)]
    logprobs, entropies = organism.score([row for row in prompts for _ in range(4)], completions)
    assert torch.allclose(logprobs, samples.logprobs_BL, atol=1e-3)
    assert torch.allclose(entropies, samples.entropies_BL, atol=1e-3)


def test_the_gpu_samples_what_the_cpu_samples_except_for_rounding(organism):
    cpu = Policy.load(shipped_path(), device="cpu")
    on_gpu, on_cpu = (p.sample(p.encode(PROMPTS), SampleConfig(group=4)) for p in (organism, cpu))
    same = sum(on_gpu.row(index).tokens == on_cpu.row(index).tokens for index in range(160))
    assert same >= 150


def test_a_policy_in_half_precision_samples():
    policy = Policy.load(shipped_path(), dtype="bfloat16")
    samples = policy.sample(policy.encode(PROMPTS), SampleConfig(group=4))
    assert samples.logprobs_BL.isfinite().all() and samples.finished_B.float().mean() > 0.9


def test_the_bridge_caches_the_residuals_of_the_policy():
    policy = tiny_policy()
    policy.model.to("cuda")
    ids = torch.tensor([[5, 6, 7, 8]], device="cuda")
    _, cache = policy.bridge().run_with_cache(ids, names_filter=["blocks.1.hook_resid_post"])
    assert torch.allclose(cache["blocks.1.hook_resid_post"], policy.capture(ids, [1])[1], atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "update",
    [{}, {"beta": 0.1, "inner_epochs": 2}, {"lora_rank": 4}],
    ids=["plain", "KL, two inner epochs", "adapters"],
)
def test_a_finished_run_is_opened_again(tmp_path, dtype, update):
    base = Policy.load(shipped_path(), dtype=dtype)
    config = GRPOConfig(steps=4, prompts=8, save_every=2, update=UpdateConfig(lr=1e-3, **update))
    run = train(base, Chain(), "middle", config=config, out=tmp_path / "run")
    gaps = run.table()["sampler_gap"].drop_nulls().to_list()
    assert run.series.steps == (0, 2, 4) and max(gaps) < (1e-3 if dtype == "float32" else 0.5)
    assert run.series.base.fingerprint() == base.fingerprint() != run.series.last.fingerprint()
    assert train(base, Chain(), "middle", config=config, out=tmp_path / "run").series.steps == (0, 2, 4)


def test_a_scheme_may_return_credit_on_the_gpu_in_half_precision(tmp_path):
    def scheme(batch: RolloutBatch) -> Credit:
        ones_BL = torch.ones(batch.mask_BL.shape, device="cuda", dtype=torch.bfloat16) * batch.mask_BL.cuda()
        return Credit(torch.ones(len(batch.rollouts), device="cuda"), ones_BL)

    config = GRPOConfig(steps=1, prompts=8)
    base = Policy.load(shipped_path())
    run = train(base, Chain(), "middle", config=config, credit=scheme, out=tmp_path / "run")
    assert run.series.steps == (0, 1)


def test_training_steps_of_a_dictionary_agree_with_the_cpu(tmp_path):
    pool = Pools(small_store(tmp_path / "store"), 0, prompts=False).read_shards(0)
    batch = next(batches(pool, small_config(), 0))
    statistics = measure_statistics(pool.x_PD)
    on_gpu, on_cpu = (TSAETrainer(small_config(), 16, statistics, torch.device(name)) for name in ("cuda", "cpu"))
    for _ in range(3):
        gpu_step, cpu_step = on_gpu.train_step(batch), on_cpu.train_step(batch)
    assert torch.allclose(gpu_step.loss.cpu(), cpu_step.loss, rtol=1e-3)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.allclose(getattr(on_gpu.sae, name).cpu(), getattr(on_cpu.sae, name), atol=1e-3)


def test_a_dictionary_is_fitted_and_evaluated_on_the_gpu(tmp_path):
    store = small_store(tmp_path / "store")
    config = small_config(training={"steps": 400})
    tsae = fit(store, config, out=tmp_path / "tsae", device="cuda", progress=False)
    quality = evaluate(tsae.to("cuda"), store, progress=False)
    assert quality.fve is not None and quality.fve > 0.5
    assert quality.l0.total == pytest.approx(4, rel=0.1)
