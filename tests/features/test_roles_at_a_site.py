"""Roles of a ReLU dictionary of SAELens that reads what an MLP adds to the residual."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interp.features import RolesConfig, earn_roles
from interp.features.ablation import ABLATE, LatentEditor
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.policy.residual import splice_residual
from interp.policy.score import align_rows, completion_logits
from interp.policy.site import Site
from interp.rollouts import roll_out
from interp.tsae import TSAE

D, LAYER = 64, 2
FEW = RolesConfig(
    levels=(1, 2),
    problems=12,
    max_candidates=2,
    random_latents=1,
    matched_latents=2,
    injection_texts=8,
    sampling=SampleConfig(group=4, rows=256),
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(shipped_path(), device="cpu")


@pytest.fixture(scope="module")
def tsae(tmp_path_factory: pytest.TempPathFactory) -> TSAE:
    """A latent for each dimension of the MLP's output and for its negative."""
    from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig

    path: Path = tmp_path_factory.mktemp("sae")
    sae = StandardSAE(StandardSAEConfig(d_in=D, d_sae=2 * D, apply_b_dec_to_input=False))
    with torch.no_grad():
        sae.W_dec.copy_(torch.cat([torch.eye(D), -torch.eye(D)]))
        sae.W_enc.copy_(sae.W_dec.T)
    sae.cfg.metadata.hook_name = f"blocks.{LAYER}.hook_mlp_out"
    sae.save_model(str(path))
    return TSAE.load(path)


def test_roles_are_earned_at_the_site_of_the_hook(policy, tsae):
    task = load_task(shipped_path())
    roles = earn_roles(tsae, policy, task, FEW, allow_unrelated_policies=True, device="cpu", progress=False)
    after_block = replace(tsae, site="resid_post")
    others = earn_roles(after_block, policy, task, FEW, allow_unrelated_policies=True, device="cpu", progress=False)
    assert roles.layer == others.layer == LAYER and roles.random_trials and others.random_trials
    assert roles.random_trials[0].latent in range(2 * D)
    assert [trial.latent for trial in roles.trials] != [trial.latent for trial in others.trials]


def test_an_ablated_latent_changes_what_the_spliced_model_changes(policy, tsae):
    task = load_task(shipped_path())
    rows = roll_out(policy, task, task.problems("eval", 2, 2), progress=False).rows[:4]
    shift_N = LatentEditor(tsae, policy, LAYER, rows).log_odds_shift(5, ABLATE)

    def log_odds(edited: bool) -> torch.Tensor:
        parts = []
        for row in rows:
            aligned = align_rows([list(row.prompt_ids)], [list(row.tokens)], policy.pad_id, policy.device)
            first = aligned.start - 1

            def edit(x: torch.Tensor, first: int = first) -> torch.Tensor:
                x[:, first:, 5] -= x[:, first:, 5].relu() * edited
                return x

            with torch.no_grad(), splice_residual(policy.model, Site(LAYER, "mlp_out"), edit):
                logits = completion_logits(policy.model, aligned)[0].double()
            log_p = logits.log_softmax(-1)[range(len(row.tokens)), list(row.tokens)]
            parts.append(log_p - torch.log1p(-log_p.exp()))
        return torch.cat(parts)

    expected_N = log_odds(True) - log_odds(False)
    assert expected_N.abs().max() > 0.01
    torch.testing.assert_close(torch.from_numpy(shift_N), expected_N, atol=1e-3, rtol=1e-3)
