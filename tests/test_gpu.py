"""On a GPU: `INTERP_GPU=1 python -m pytest tests/test_gpu.py`. Elsewhere these are skipped."""

import pytest
import torch
from conftest import tiny_policy
from tsae_world import planted_store, small

from interp.credit import Credit, RolloutBatch
from interp.grpo import GRPOConfig, UpdateConfig, train
from interp.organism import shipped
from interp.policy import Policy, SampleConfig
from interp.tasks import Chain
from interp.tsae import evaluate, fit
from interp.tsae.batches import Pools, batches
from interp.tsae.trainer import Trainee, measure

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and INTERP_GPU=1")
PROMPTS = [problem.prompt for problem in Chain().problems("eval", None, 40)]


@pytest.fixture(scope="module")
def organism() -> Policy:
    return Policy.load(shipped())


def test_auto_takes_the_gpu_and_keeps_the_weights_as_they_are(organism):
    assert organism.device.type == "cuda"
    assert organism.fingerprint() == Policy.load(shipped(), device="cpu").fingerprint()


def test_samples_are_scored_as_they_were_drawn(organism):
    prompts = organism.encode(PROMPTS)
    samples = organism.sample(prompts, SampleConfig(group=4))
    completions = [list(samples.row(at).tokens) for at in range(len(prompts) * 4)]
    logprobs, entropies = organism.score([row for row in prompts for _ in range(4)], completions)
    assert torch.allclose(logprobs, samples.logprobs_BL, atol=1e-3)
    assert torch.allclose(entropies, samples.entropies_BL, atol=1e-3)


def test_the_gpu_draws_what_the_cpu_draws_but_for_rounding(organism):
    cpu = Policy.load(shipped(), device="cpu")
    here, there = (p.sample(p.encode(PROMPTS), SampleConfig(group=4)) for p in (organism, cpu))
    same = sum(here.row(at).tokens == there.row(at).tokens for at in range(160))
    assert same >= 150


def test_half_precision_runs():
    policy = Policy.load(shipped(), dtype="bfloat16")
    samples = policy.sample(policy.encode(PROMPTS), SampleConfig(group=4))
    assert samples.logprobs_BL.isfinite().all() and samples.finished_B.float().mean() > 0.9


def test_the_bridge_sees_what_the_policy_computes():
    policy = tiny_policy()
    policy.model.to("cuda")
    ids = torch.tensor([[5, 6, 7, 8]], device="cuda")
    _, cache = policy.bridge().run_with_cache(ids, names_filter=["blocks.1.hook_resid_post"])
    assert torch.allclose(cache["blocks.1.hook_resid_post"], policy.capture(ids, [1])[1], atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "update",
    [{}, {"beta": 0.1, "inner_epochs": 2}, {"lora_rank": 4}],
    ids=["plain", "with a KL, in two epochs", "adapters"],
)
def test_a_run_trains_stops_and_goes_on(tmp_path, dtype, update):
    base = Policy.load(shipped(), dtype=dtype)
    config = GRPOConfig(steps=4, prompts=8, save_every=2, update=UpdateConfig(lr=1e-3, **update))
    run = train(base, Chain(), bucket="medium", config=config, out=tmp_path / "run")
    gaps = run.metrics()["sampler_gap"].drop_nulls().to_list()
    assert run.series.steps == (0, 2, 4) and max(gaps) < (1e-3 if dtype == "float32" else 0.5)
    assert run.series.base.fingerprint() == base.fingerprint() != run.series.last.fingerprint()
    assert train(base, Chain(), bucket="medium", config=config, out=tmp_path / "run").series.steps == (0, 2, 4)


def test_a_scheme_may_look_inside_on_the_gpu(tmp_path):
    def scheme(batch: RolloutBatch) -> Credit:
        ones_BL = torch.ones(batch.mask_BL.shape, device="cuda", dtype=torch.bfloat16) * batch.mask_BL.cuda()
        return Credit(torch.ones(len(batch.rows), device="cuda"), ones_BL)

    config = GRPOConfig(steps=1, prompts=8)
    run = train(Policy.load(shipped()), Chain(), bucket="medium", config=config, credit=scheme, out=tmp_path / "run")
    assert run.series.steps == (0, 1)


def test_a_training_step_of_a_dictionary_comes_to_what_it_comes_to_on_the_cpu(tmp_path):
    pool = Pools(planted_store(tmp_path / "store"), 0, prompts=False).of_shards(0)
    batch = next(batches(pool, small(), 0))
    here, there = (Trainee(small(), 16, measure(pool.x_PD), torch.device(place)) for place in ("cuda", "cpu"))
    for _ in range(3):
        one, other = here.learn(batch), there.learn(batch)
    assert torch.allclose(one.loss.cpu(), other.loss, rtol=1e-3)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.allclose(getattr(here.sae, name).cpu(), getattr(there.sae, name), atol=1e-3)


def test_a_dictionary_is_fitted_on_the_gpu_and_goes_on_there(tmp_path):
    store = planted_store(tmp_path / "store")
    config = small(training={"steps": 400})
    tsae = fit(store, config, out=tmp_path / "tsae", device="cuda", bar=False)
    found = evaluate(tsae.to("cuda"), store, bar=False)
    assert found.fve is not None and found.fve > 0.5
    assert found.l0.total == pytest.approx(4, rel=0.1)
