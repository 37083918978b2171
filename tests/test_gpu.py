"""On a GPU: `INTERP_GPU=1 python -m pytest tests/test_gpu.py`. Elsewhere these are skipped."""

import pytest
import torch
from conftest import tiny_policy

from interp.organism import shipped
from interp.policy import Policy, SampleConfig
from interp.tasks import Chain

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
