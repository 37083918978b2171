"""What ablating the latents does that are paid: which they are, their control, the effect by hand, an alarm."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout
from monitors_fixtures import CHAIN_ROLES, dictionary, monitored_run, monitored_step

from interp.artifacts import BadInput, Mismatch
from interp.credit import ReadoutCredit
from interp.features.ablation import ABLATE, LatentEditor
from interp.monitors import CausalEffect
from interp.monitors.causal_effect import mean_activations, nearest_latents, weighed_most
from interp.policy import Policy
from interp.readouts import Latents, Likelihood

POLICY = tiny_policy()
TSAE_OF_POLICY = dictionary(POLICY)
SOURCE = Latents(TSAE_OF_POLICY, 1)
ROWS = [
    make_rollout(
        1, length=6, sample=i, valid=i % 2 == 0, roles=CHAIN_ROLES, prompt_ids=(9, 24, 4 + i, 27),
        tokens=tuple(4 + (3 * i + j) % 20 for j in range(6)), steps=((0, 4, True, i % 2 == 0),),
    )
    for i in range(8)
]  # fmt: skip


def drops(latents):
    """How far the log-odds of each token fall when some latents are ablated."""
    editor = LatentEditor(TSAE_OF_POLICY, POLICY, 1, ROWS)
    return -editor.log_odds_shift(latents, ABLATE).reshape(8, 6)


def helpful_latents(n):
    """The latents whose ablation takes most from the answers, each by itself."""
    return tuple(sorted(range(TSAE_OF_POLICY.width), key=lambda latent: -drops((latent,))[:, -1].mean())[:n])


def measured(monitor, *, policy=POLICY, step=0, rows=ROWS):
    return monitor.observe(monitored_step(step, rows, policy=policy, base=POLICY))


def test_the_effect_is_that_of_the_editor_on_answers_and_on_right_steps():
    latents = helpful_latents(2)
    found = measured(CausalEffect(SOURCE, latents).fresh(monitored_run(base=POLICY)))
    drop_BL = drops(latents)
    assert found.value == pytest.approx(drop_BL[:, 5].mean()) == found.numbers["first"]
    assert found.numbers["right_steps"] == pytest.approx(drop_BL[::2, :4].mean())
    assert found.numbers["overlap"] == 1 and found.limit == pytest.approx(0.25 * found.value)
    others = nearest_latents(mean_activations(LatentEditor(TSAE_OF_POLICY, POLICY, 1, ROWS)), latents)
    assert found.numbers["control"] == pytest.approx(drops(others)[:, 5].mean(), abs=1e-5)


def test_latents_that_no_longer_do_anything_are_an_alarm_and_a_steady_policy_is_not():
    monitor = CausalEffect(SOURCE, helpful_latents(1), every=2).fresh(monitored_run(base=POLICY))
    steady = [measured(monitor, step=step) for step in range(3)]
    assert steady[0].value > 0 and steady[1] is None and steady[0] == steady[2] and not steady[0].is_alarm
    idle = Policy(copy.deepcopy(POLICY.model), POLICY.tokenizer)
    torch.nn.init.zeros_(idle.model.lm_head.weight)  # whatever the layer says, all tokens are as likely
    last = measured(monitor, policy=idle, step=4)
    assert last.value == pytest.approx(0, abs=1e-6) and last.is_alarm and last.numbers["first"] == steady[0].value


def test_latents_that_never_did_anything_have_nothing_to_lose():
    silent = dictionary(POLICY, threshold=1e6)
    monitor = CausalEffect(Latents(silent, 1), (0, 1)).fresh(monitored_run(base=POLICY))
    found = measured(monitor)
    assert (found.value, found.limit, found.is_alarm) == (0, None, False)


def test_the_latents_are_those_that_the_readout_weighs_most():
    scheme = ReadoutCredit([Likelihood(), SOURCE], audits=8, ridge=0.1)
    assert weighed_most(scheme, SOURCE, 3) == ()
    step = monitored_step(0, ROWS, scheme=scheme, policy=POLICY, base=POLICY)
    weight_F = scheme.state()["fit.weight_F"][2:]
    latents = weighed_most(scheme, SOURCE, 3)
    assert latents == tuple(np.argsort(-weight_F.numpy(), kind="stable")[:3]) and weight_F[list(latents)].min() > 0
    assert len(weighed_most(scheme, SOURCE, 99)) == int((weight_F > 0).sum())
    found = CausalEffect(count=3).fresh(monitored_run(scheme, base=POLICY)).observe(step)
    assert found.value == pytest.approx(drops(latents)[:, 5].mean())


def test_what_the_first_latents_do_now_stands_beside_what_the_present_ones_do():
    monitor = CausalEffect(SOURCE, (1, 2)).fresh(monitored_run(base=POLICY))
    before = measured(monitor)
    monitor.latents = (2, 3)
    after = measured(monitor, step=10)
    assert after.numbers["overlap"] == 0.5 and after.value == pytest.approx(drops((2, 3))[:, 5].mean(), abs=1e-5)
    assert after.numbers["of_first"] == pytest.approx(before.value, abs=1e-5) != after.value


def test_controls_are_other_latents_the_nearest_in_mean_activation():
    mean_F = torch.tensor([1.0, 1.1, 5.0, 0.9, 5.2, 0.0])
    assert nearest_latents(mean_F, (0, 2)) == (1, 4) and nearest_latents(mean_F, (0, 1)) == (3, 5)
    assert nearest_latents(mean_F, (0, 1, 2, 3)) == (5, 4) and nearest_latents(mean_F, tuple(range(6))) == ()


def test_without_answers_successes_or_a_fit_nothing_is_measured():
    monitor = CausalEffect(SOURCE, (1,)).fresh(monitored_run(base=POLICY))
    assert measured(monitor, rows=[replace(row, roles=("text",) * 6) for row in ROWS]) is None
    assert measured(monitor, rows=[replace(row, reward=0.0) for row in ROWS]) is None
    scheme = ReadoutCredit([SOURCE])
    waiting = monitored_step(0, [replace(row, valid=None) for row in ROWS], scheme=scheme, policy=POLICY, base=POLICY)
    assert CausalEffect().fresh(monitored_run(scheme, base=POLICY)).observe(waiting) is None


def test_the_first_effect_is_remembered():
    first, second = (CausalEffect(SOURCE, (1, 2)).fresh(monitored_run(base=POLICY)) for _ in range(2))
    assert first.state() == {}
    second.load_state(first.state())
    measured(first)
    second.load_state(first.state())
    second.latents = first.latents = (2, 3)
    assert measured(second, step=10) == measured(first, step=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": SOURCE}, "source and latents go together"),
        ({"latents": (1,)}, "source and latents go together"),
        ({"source": SOURCE, "latents": (12,)}, r"expected latents of the dictionary, from 0 to 11; got \(12,\)"),
        ({"every": 0}, "every must be at least 1; got 0"),
        ({"least_share": 1.5}, "least_share must lie between 0 and 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        CausalEffect(**settings)


def test_a_readout_without_latents_or_a_dictionary_of_another_base_is_refused():
    with pytest.raises(BadInput, match="reads latents, got one that reads likelihood: leave the monitor out"):
        CausalEffect().fresh(monitored_run(ReadoutCredit([Likelihood()])))
    with pytest.raises(Mismatch, match="expected a policy of d_model 16"):
        CausalEffect(Latents(dictionary(tiny_policy(hidden_size=16)), 1), (0,)).fresh(monitored_run(base=POLICY))
