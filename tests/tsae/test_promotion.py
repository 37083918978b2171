"""Persistence by hand and at any firing rate; swaps that move a latent with its state and change nothing else."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from tsae_fixtures import TINY, held_out_documents, small_config, small_store, variance_explained

from interp.studies.dictionary_config import KINDS
from interp.studies.planted import Planted, plant
from interp.tsae import TSAE, fit, fit_all
from interp.tsae.batches import Batch, batches
from interp.tsae.pools import Pools
from interp.tsae.promotion import MARGIN, MIN_FIRINGS, Persistence, choose_swaps, count_co_firing, swap_rows
from interp.tsae.sparse import Pattern
from interp.tsae.statistics import measure_statistics, sample_tokens
from interp.tsae.step import StepOutput
from interp.tsae.trainer import TSAETrainer


def step_of(on_MF: torch.Tensor) -> StepOutput:
    """A step with these active latents."""
    pattern, zero = Pattern.from_flat(on_MF.reshape(-1).nonzero()[:, 0], *on_MF.shape), torch.zeros(())
    return StepOutput(zero, {}, zero, zero, pattern, torch.ones(len(pattern.rows_N)), pattern, (0.0, 0.0))


def batch_of_neighbours(n: int) -> Batch:
    """One document, each token paired with the one before."""
    anchors = torch.arange(1, n)
    return Batch(torch.zeros(n, 1), n, torch.stack([anchors, anchors - 1], 1), torch.zeros(n, dtype=torch.int64))


def persistence_of(on_MF: torch.Tensor, *, memory: int = 1000) -> list[float]:
    persistence = Persistence(on_MF.shape[1], memory=memory)
    persistence.update(step_of(on_MF), batch_of_neighbours(len(on_MF)))
    return persistence.compute().tolist()


# --- persistence ---------------------------------------------------------------------------------------------------


def test_co_firing_by_hand():
    """Three latents at four tokens; pairs (1, 0), (2, 1) and (3, 0)."""
    on_MF = torch.tensor([[1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1]]).bool()
    on_F, both_F = count_co_firing(step_of(on_MF), torch.tensor([[1, 0], [2, 1], [3, 0]]))
    assert (on_F.tolist(), both_F.tolist()) == ([2, 2, 1], [2, 0, 1])


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=8), st.data())
def test_co_firing_counts_equal_those_of_dense_matrices(rows, data):
    on_MF = torch.tensor(rows)
    token = st.integers(0, len(rows) - 1)
    pairs_P2 = torch.tensor(data.draw(st.lists(st.tuples(token, token), min_size=1, max_size=6)))
    on_F, both_F = count_co_firing(step_of(on_MF), pairs_P2)
    anchors_PF, partners_PF = on_MF[pairs_P2[:, 0]], on_MF[pairs_P2[:, 1]]
    assert torch.equal(on_F, anchors_PF.sum(0).float())
    assert torch.equal(both_F, (anchors_PF & partners_PF).sum(0).float())


def test_persistence_of_six_patterns_by_hand():
    """401 tokens, so 400 pairs: on for the second half (rate 1/2 among anchors); on at every second; on at random; on
    in twos (half of what is on was on before, at rate 1/2: chance); on throughout; never on."""
    at = torch.arange(401)
    random = torch.rand(401, generator=torch.Generator().manual_seed(0)) < 0.5
    on_MF = torch.stack([at > 200, at % 2 == 1, random, at % 4 < 2, at >= 0, at < 0], 1)
    stays, alternates, comes, twos, always, never = persistence_of(on_MF)
    assert stays == pytest.approx((199 / 200 - 0.5) / 0.5)
    assert alternates == -1
    assert comes == pytest.approx(0, abs=0.1)
    assert twos == pytest.approx(0, abs=0.01)
    assert always == never == 0, "neither tells anything of time"


def test_persistence_does_not_depend_on_the_firing_rate():
    """Each token copies the one before with probability 0.8, and is drawn anew otherwise."""
    generator, n = torch.Generator().manual_seed(0), 40_000
    rates_F = torch.tensor([0.02, 0.1, 0.5, 0.9])
    drawn_NF = torch.rand(n, 4, generator=generator) < rates_F
    copied_NF = torch.rand(n, 4, generator=generator) < 0.8
    last_NF = torch.where(copied_NF, 0, torch.arange(n)[:, None]).cummax(0).values
    on_NF = drawn_NF.gather(0, last_NF)
    assert_close(on_NF.float().mean(0), rates_F, rtol=0.3, atol=0)
    assert persistence_of(on_NF) == pytest.approx([0.8] * 4, abs=0.05)


@pytest.mark.parametrize(("times", "believed"), [(MIN_FIRINGS, True), (MIN_FIRINGS - 1, False)])
def test_a_latent_with_few_firings_has_persistence_zero(times, believed):
    on_MF = (torch.arange(300) >= 300 - times)[:, None]
    assert (persistence_of(on_MF)[0] > 0.9) is believed


def test_old_counts_decay():
    counts, on_MF = Persistence(1, memory=4), torch.ones(11, 1, dtype=torch.bool)
    for _ in range(2):
        counts.update(step_of(on_MF), batch_of_neighbours(11))
    counts.update(step_of(on_MF), Batch(torch.zeros(11, 1), 11))  # without pairs nothing is counted
    assert counts.tokens.item() == counts.on_F.item() == counts.both_F.item() == 10 * 0.75 + 10


# --- exchanges -----------------------------------------------------------------------------------------------------


def test_the_least_persistent_slow_latents_are_swapped_for_the_most_persistent_others():
    persistence_F = torch.tensor([0.9, 0.1, 0.5, 0.3, 0.5 + MARGIN, 0.95])
    left_N, right_N = choose_swaps(persistence_F, 3)
    assert (left_N.tolist(), right_N.tolist()) == ([1], [5]), "ahead by the margin alone is not enough"
    left_N, right_N = choose_swaps(persistence_F + torch.tensor([0, 0, 0, 0, 0.01, 0]), 3)
    assert (left_N.tolist(), right_N.tolist()) == ([1, 2], [5, 4])
    for n_slow, expected in ((5, ([1], [5])), (1, ([0], [5]))):
        left_N, right_N = choose_swaps(persistence_F, n_slow)
        assert (left_N.tolist(), right_N.tolist()) == (expected if n_slow == 5 else ([], [])), "one place, or none"


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.data())
def test_swaps_raise_the_persistence_of_the_slow_block_and_are_done_at_once(values, data):
    persistence_F = torch.tensor(values)
    n_slow = data.draw(st.integers(1, len(values) - 1))
    left_N, right_N = choose_swaps(persistence_F, n_slow)
    assert (left_N < n_slow).all() and (right_N >= n_slow).all()
    assert len(set(left_N.tolist())) == len(left_N) == len(right_N) == len(set(right_N.tolist()))
    swapped_F = persistence_F.clone()
    swap_rows(swapped_F, left_N, right_N)
    assert sorted(swapped_F.tolist()) == sorted(persistence_F.tolist())
    assert swapped_F[:n_slow].sum() >= persistence_F[:n_slow].sum()
    assert len(choose_swaps(swapped_F, n_slow)[0]) == 0


def test_rows_are_swapped_in_place():
    rows = torch.arange(5)[:, None].repeat(1, 2)
    swap_rows(rows, torch.tensor([0, 1]), torch.tensor([4, 2]))
    assert rows[:, 0].tolist() == [4, 2, 1, 3, 0]


# --- in training ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    return small_store(tmp_path_factory.mktemp("promotion") / "store")


def state_by_latent(trainer: TSAETrainer) -> dict[str, torch.Tensor]:
    """All state of each latent, one row per latent."""
    state = {"tokens since fired": trainer.tokens_since_fired_F}
    state |= {"on": trainer.persistence.on_F, "both": trainer.persistence.both_F}
    for name in ("W_enc", "b_enc", "W_dec"):
        weights = getattr(trainer.sae, name)
        slots = trainer.optimizer.state[weights]
        for kind, value in {"weights": weights, "first": slots["exp_avg"], "second": slots["exp_avg_sq"]}.items():
            state[f"{name} {kind}"] = value.detach().T if name == "W_enc" else value.detach()
    return {name: value.clone() for name, value in state.items()}


@pytest.mark.parametrize("scale", ["rms", "none"])
def test_a_promoted_latent_keeps_its_state_and_the_reconstruction_stays_the_same(scale, store):
    config = small_config(promote_every=1000, scale=scale, training={"steps": 200})
    trainer = TSAETrainer(config, 16, measure_statistics(sample_tokens(store, 0, config)), torch.device("cpu"))
    all_batches = list(batches(Pools(store, 0, prompts=False).read_shards(0, 1, 2, 3), trainer.config, 0))
    for batch in all_batches[:15]:
        trainer.train_step(batch)
    left_N, right_N = choose_swaps(trainer.persistence.compute(), 16)
    assert len(left_N) >= 2
    order_F = torch.arange(64)
    order_F[torch.cat([left_N, right_N])] = torch.cat([right_N, left_N])
    last, shared = all_batches[-1].scaled(trainer.scale), trainer.optimizer.state[trainer.sae.b_dec]["exp_avg"].clone()
    before, state_before = trainer.sae.compute_step(last, alpha=0.0), state_by_latent(trainer)
    trainer._promote()
    after, state_after = trainer.sae.compute_step(last, alpha=0.0), state_by_latent(trainer)
    changed = {name for name in state_before if not torch.equal(state_after[name], state_before[name][order_F])}
    assert changed == set()
    assert all(value.unique(dim=0).shape[0] > 1 for value in state_before.values()), "no state is equal for all latents"
    assert torch.equal(trainer.optimizer.state[trainer.sae.b_dec]["exp_avg"], shared)
    assert_close(after.xhat_MD, before.xhat_MD, atol=1e-6, rtol=1e-6)
    assert_close(after.dense_codes(64), before.dense_codes(64)[:, order_F], atol=1e-6, rtol=1e-6)
    assert_close(after.losses["mse_64"], before.losses["mse_64"])
    assert not torch.equal(after.losses["mse_16"], before.losses["mse_16"])


def test_if_blocks_make_no_difference_promotion_does_not_change_the_function(store):
    """Without a contrast, and with a weight of 0 on the slow block alone."""
    fits = {
        every: fit(
            store,
            small_config(
                promote_every=every, contrast={"alpha": 0.0}, block_weights=(0.0, 1.0), training={"steps": 80}
            ),
            progress=False,
        )
        for every in (None, 5)
    }
    unpromoted, promoted = (fits[every] for every in (None, 5))
    x_ND = held_out_documents(tokens=480).x_ND
    cosine_FF = F.normalize(unpromoted.W_dec, dim=1) @ F.normalize(promoted.W_dec, dim=1).T
    assert_close(
        promoted.decode(promoted.encode(x_ND)), unpromoted.decode(unpromoted.encode(x_ND)), atol=1e-4, rtol=1e-4
    )
    twin_F = cosine_FF.argmax(1)
    assert sorted(twin_F.tolist()) == [*range(64)] and (twin_F != torch.arange(64)).any()
    assert_close(promoted.W_enc[:, twin_F], unpromoted.W_enc, atol=1e-4, rtol=1e-4)


def test_latents_are_promoted_in_the_first_seven_tenths_of_the_steps(store, monkeypatch):
    steps: list[int] = []
    monkeypatch.setattr(TSAETrainer, "_promote", lambda self: steps.append(self.steps_done))
    fit(store, small_config(promote_every=3), progress=False)
    assert steps == [3, 6, 9, 12]
    fit(store, small_config(promote_every=None), progress=False)
    assert steps == [3, 6, 9, 12]


# --- effect ------------------------------------------------------------------------------------------------


def planted_in_slow_block(tsae: TSAE, planted: Planted) -> dict[str, int]:
    """Number of planted latents of each kind whose most correlated latent is in the slow block."""
    on_NF, planted_NG = ((x > 0).float() for x in (tsae.encode(planted.x_ND), planted.on_NG))
    on_NF, planted_NG = ((x - x.mean(0)) / x.std(0).clamp(min=1e-6) for x in (on_NF, planted_NG))
    slow_G = ((planted_NG.T @ on_NF).argmax(1) < tsae.n_slow).tolist()
    return {kind: sum(slow for slow, own in zip(slow_G, planted.kind_G, strict=True) if own == kind) for kind in KINDS}


def test_promotion_moves_rare_slow_latents_into_the_slow_block_and_frequent_fast_ones_out(tmp_path):
    """The slow block has room for the twelve slow latents, half of them rare. Without promotion it holds the frequent
    ones."""
    world = replace(TINY, d_model=32, per_kind=6, dwell=24, length=48, rare_rate=0.04, tokens=24_000)
    store, held_out = small_store(tmp_path / "store", world, shard_documents=250), plant(world, draw=1)
    training = {"steps": 150, "batch": 256, "pool_gb": 1.0, "lr": 0.02}
    sizes = {"width": 32, "k": 3, "blocks": (12 / 32, 20 / 32)}
    configs = {
        f"{every} {seed}": small_config(**sizes, promote_every=every, training={**training, "seed": seed})
        for every in (10, None)
        for seed in (0, 1)
    }
    fitted = fit_all(store, configs, progress=False)
    assert all(variance_explained(tsae, held_out.x_ND) > 0.85 for tsae in fitted.values())
    counts = {name: planted_in_slow_block(tsae, held_out) for name, tsae in fitted.items()}
    rare, fast = (
        {every: sum(counts[f"{every} {seed}"][kind] for seed in (0, 1)) for every in (10, None)}
        for kind in ("slow rare", "fast frequent")
    )
    assert rare[10] >= 8 and rare[None] <= 6, "of twelve, in two fits"
    assert fast[10] < fast[None]
