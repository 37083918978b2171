"""What stays on is told from what does not, whatever its rate; and moving it changes its place and nothing else."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from tsae_fixtures import TINY, variance_explained, held_out_documents, small_store, small_config

from interp.studies.dictionary_config import KINDS
from interp.studies.planted import Planted, plant
from interp.tsae import TSAE, fit, fit_all
from interp.tsae.batches import batches
from interp.tsae.pools import Pools
from interp.tsae.promotion import MIN_FIRINGS, MARGIN, Persistence, count_co_firing, choose_swaps, swap_rows
from interp.tsae.sparse import Pattern
from interp.tsae.batches import Batch
from interp.tsae.step import StepOutput
from interp.tsae.statistics import measure_statistics, sample_tokens
from interp.tsae.trainer import TSAETrainer


def step_of(on_MF: torch.Tensor) -> StepOutput:
    """A step in which these latents won."""
    pattern, nothing = Pattern.from_flat(on_MF.reshape(-1).nonzero()[:, 0], *on_MF.shape), torch.zeros(())
    return StepOutput(nothing, {}, nothing, nothing, pattern, torch.ones(len(pattern.rows_N)), pattern, (0.0, 0.0))


def neighbours(n: int) -> Batch:
    """Each token with the one before, in one document."""
    anchors = torch.arange(1, n)
    return Batch(torch.zeros(n, 1), n, torch.stack([anchors, anchors - 1], 1), torch.zeros(n, dtype=torch.int64))


def persistence_of(on_MF: torch.Tensor, *, memory: int = 1000) -> list[float]:
    found = Persistence(on_MF.shape[1], memory=memory)
    found.update(step_of(on_MF), neighbours(len(on_MF)))
    return found.compute().tolist()


# --- persistence ---------------------------------------------------------------------------------------------------


def test_firing_together_by_hand():
    """Three latents at four tokens; pairs (1, 0), (2, 1) and (3, 0)."""
    on_MF = torch.tensor([[1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1]]).bool()
    on_F, both_F = count_co_firing(step_of(on_MF), torch.tensor([[1, 0], [2, 1], [3, 0]]))
    assert (on_F.tolist(), both_F.tolist()) == ([2, 2, 1], [2, 0, 1])


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=8), st.data())
def test_firing_together_is_counted_as_in_matrices(held, data):
    on_MF = torch.tensor(held)
    place = st.integers(0, len(held) - 1)
    pairs_P2 = torch.tensor(data.draw(st.lists(st.tuples(place, place), min_size=1, max_size=6)))
    on_F, both_F = count_co_firing(step_of(on_MF), pairs_P2)
    anchors_PF, partners_PF = on_MF[pairs_P2[:, 0]], on_MF[pairs_P2[:, 1]]
    assert torch.equal(on_F, anchors_PF.sum(0).float())
    assert torch.equal(both_F, (anchors_PF & partners_PF).sum(0).float())


def test_the_persistence_of_latents_that_stay_alternate_or_come_and_go():
    """401 tokens, so 400 pairs: on for the second half (rate 1/2 among anchors); on at every second; on at random; on
    in twos (half of what is on was on before, at rate 1/2: chance); on throughout; never on."""
    at = torch.arange(401)
    drawn = torch.rand(401, generator=torch.Generator().manual_seed(0)) < 0.5
    on_MF = torch.stack([at > 200, at % 2 == 1, drawn, at % 4 < 2, at >= 0, at < 0], 1)
    stays, alternates, comes, twos, always, never = persistence_of(on_MF)
    assert stays == pytest.approx((199 / 200 - 0.5) / 0.5)
    assert alternates == -1
    assert comes == pytest.approx(0, abs=0.1)
    assert twos == pytest.approx(0, abs=0.01)
    assert always == never == 0, "neither tells anything of time"


def test_persistence_does_not_hang_on_the_rate():
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
def test_a_latent_that_has_hardly_fired_is_not_believed(times, believed):
    on_MF = (torch.arange(300) >= 300 - times)[:, None]
    assert (persistence_of(on_MF)[0] > 0.9) is believed


def test_counts_forget():
    found, on_MF = Persistence(1, memory=4), torch.ones(11, 1, dtype=torch.bool)
    for _ in range(2):
        found.update(step_of(on_MF), neighbours(11))
    found.update(step_of(on_MF), Batch(torch.zeros(11, 1), 11))  # a batch without pairs tells nothing
    assert found.tokens.item() == found.on_F.item() == found.both_F.item() == 10 * 0.75 + 10


# --- exchanges -----------------------------------------------------------------------------------------------------


def test_the_least_persistent_give_place_to_the_most_while_it_pays():
    persistence_F = torch.tensor([0.9, 0.1, 0.5, 0.3, 0.5 + MARGIN, 0.95])
    left_N, right_N = choose_swaps(persistence_F, 3)
    assert (left_N.tolist(), right_N.tolist()) == ([1], [5]), "as persistent and a margin is not enough"
    left_N, right_N = choose_swaps(persistence_F + torch.tensor([0, 0, 0, 0, 0.01, 0]), 3)
    assert (left_N.tolist(), right_N.tolist()) == ([1, 2], [5, 4])
    for n_slow, expected in ((5, ([1], [5])), (1, ([0], [5]))):
        left_N, right_N = choose_swaps(persistence_F, n_slow)
        assert (left_N.tolist(), right_N.tolist()) == (expected if n_slow == 5 else ([], [])), "one place, or none"


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.data())
def test_what_is_exchanged_is_ahead_afterwards(held, data):
    persistence_F = torch.tensor(held)
    n_slow = data.draw(st.integers(1, len(held) - 1))
    left_N, right_N = choose_swaps(persistence_F, n_slow)
    assert (left_N < n_slow).all() and (right_N >= n_slow).all()
    assert len(set(left_N.tolist())) == len(left_N) == len(right_N) == len(set(right_N.tolist()))
    swapped_F = persistence_F.clone()
    swap_rows(swapped_F, left_N, right_N)
    assert sorted(swapped_F.tolist()) == sorted(persistence_F.tolist())
    assert swapped_F[:n_slow].sum() >= persistence_F[:n_slow].sum()
    again_N, _ = choose_swaps(swapped_F, n_slow)
    assert len(again_N) == 0, "once is enough"


def test_rows_change_places():
    rows = torch.arange(5)[:, None].repeat(1, 2)
    swap_rows(rows, torch.tensor([0, 1]), torch.tensor([4, 2]))
    assert rows[:, 0].tolist() == [4, 2, 1, 3, 0]


# --- in training ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    return small_store(tmp_path_factory.mktemp("promotion") / "store")


def state_by_latent(trainee: TSAETrainer) -> dict[str, torch.Tensor]:
    """All that is known of each latent, latent by latent."""
    sae, found = trainee.sae, {"silent": trainee.tokens_since_fired_F}
    found |= {"on": trainee.persistence.on_F, "both": trainee.persistence.both_F}
    for name in ("W_enc", "b_enc", "W_dec"):
        held = getattr(sae, name)
        slots = trainee.optimizer.state[held]
        for kind, value in {"weights": held, "first": slots["exp_avg"], "second": slots["exp_avg_sq"]}.items():
            found[f"{name} {kind}"] = value.detach().T if name == "W_enc" else value.detach()
    return {name: value.clone() for name, value in found.items()}


@pytest.mark.parametrize("scale", ["rms", "none"])
def test_a_latent_takes_all_that_is_known_of_it_along_and_the_reconstruction_stays(scale, store):
    config = small_config(promote_every=1000, scale=scale, training={"steps": 200})
    trainee = TSAETrainer(config, 16, measure_statistics(sample_tokens(store, 0, config)), torch.device("cpu"))
    made = list(batches(Pools(store, 0, prompts=False).read_shards(0, 1, 2, 3), trainee.config, 0))
    for batch in made[:15]:
        trainee.train_step(batch)
    left_N, right_N = choose_swaps(trainee.persistence.compute(), 16)
    assert len(left_N) >= 2
    order_F = torch.arange(64)
    order_F[torch.cat([left_N, right_N])] = torch.cat([right_N, left_N])
    last, shared = made[-1].scaled(trainee.scale), trainee.optimizer.state[trainee.sae.b_dec]["exp_avg"].clone()
    before, known = trainee.sae.compute_step(last, alpha=0.0), state_by_latent(trainee)
    trainee._promote()
    after, moved = trainee.sae.compute_step(last, alpha=0.0), state_by_latent(trainee)
    assert {name for name in known if not torch.equal(moved[name], known[name][order_F])} == set()
    assert all(known[name].unique(dim=0).shape[0] > 1 for name in known), "none is the same for all latents"
    assert torch.equal(trainee.optimizer.state[trainee.sae.b_dec]["exp_avg"], shared)
    assert_close(after.xhat_MD, before.xhat_MD, atol=1e-6, rtol=1e-6)
    assert_close(after.dense_codes(64), before.dense_codes(64)[:, order_F], atol=1e-6, rtol=1e-6)
    assert_close(after.losses["mse_64"], before.losses["mse_64"])
    assert not torch.equal(after.losses["mse_16"], before.losses["mse_16"])


def test_where_blocks_make_no_difference_training_goes_on_as_if_nobody_had_moved(store):
    """Without a contrast, and with no weight on the slow block alone, the same function is learnt, step by step."""
    found = {
        every: fit(
            store,
            small_config(promote_every=every, contrast={"alpha": 0.0}, block_weights=(0.0, 1.0), training={"steps": 80}),
            progress=False,
        )
        for every in (None, 5)
    }
    still, moved = (found[every] for every in (None, 5))
    x_ND, same_N = held_out_documents(tokens=480).x_ND, F.normalize(still.W_dec, dim=1) @ F.normalize(moved.W_dec, dim=1).T
    assert_close(moved.decode(moved.encode(x_ND)), still.decode(still.encode(x_ND)), atol=1e-4, rtol=1e-4)
    twin_F = same_N.argmax(1)
    assert sorted(twin_F.tolist()) == [*range(64)] and (twin_F != torch.arange(64)).any()
    assert_close(moved.W_enc[:, twin_F], still.W_enc, atol=1e-4, rtol=1e-4)


def test_latents_stay_where_they_are_for_the_last_three_tenths(store, monkeypatch):
    at: list[int] = []
    monkeypatch.setattr(TSAETrainer, "_promote", lambda self: at.append(self.steps_done))
    fit(store, small_config(promote_every=3), progress=False)
    assert at == [3, 6, 9, 12]
    fit(store, small_config(promote_every=None), progress=False)
    assert at == [3, 6, 9, 12]


# --- what it is for ------------------------------------------------------------------------------------------------


def in_slow_block(dictionary: TSAE, unseen: Planted) -> dict[str, int]:
    """How many of the planted latents of each kind are found there: each is the one that fires as it does."""
    mine_NF, theirs_NG = ((on > 0).float() for on in (dictionary.encode(unseen.x_ND), unseen.on_NG))
    mine_NF, theirs_NG = ((on - on.mean(0)) / on.std(0).clamp(min=1e-6) for on in (mine_NF, theirs_NG))
    slow_G = ((theirs_NG.T @ mine_NF).argmax(1) < dictionary.n_slow).tolist()
    return {kind: sum(slow for slow, own in zip(slow_G, unseen.kind_G, strict=True) if own == kind) for kind in KINDS}


def test_promotion_brings_rare_slow_latents_into_the_slow_block_and_frequent_fast_ones_out(tmp_path):
    """Twelve places for twelve slow latents, half of them rare. Left to itself, the block takes the frequent."""
    world = replace(TINY, d_model=32, per_kind=6, dwell=24, length=48, rare_rate=0.04, tokens=24_000)
    store, unseen = small_store(tmp_path / "store", world, shard_documents=250), plant(world, draw=1)
    training = {"steps": 150, "batch": 256, "pool_gb": 1.0, "lr": 0.02}
    sizes = {"width": 32, "k": 3, "blocks": (12 / 32, 20 / 32)}
    configs = {
        f"{every} {seed}": small_config(**sizes, promote_every=every, training={**training, "seed": seed})
        for every in (10, None)
        for seed in (0, 1)
    }
    fitted = fit_all(store, configs, progress=False)
    assert all(variance_explained(dictionary, unseen.x_ND) > 0.85 for dictionary in fitted.values())
    found = {name: in_slow_block(dictionary, unseen) for name, dictionary in fitted.items()}
    rare, fast = (
        {every: sum(found[f"{every} {seed}"][kind] for seed in (0, 1)) for every in (10, None)}
        for kind in ("slow rare", "fast frequent")
    )
    assert rare[10] >= 8 and rare[None] <= 6, "of twelve, in two fits"
    assert fast[10] < fast[None]
