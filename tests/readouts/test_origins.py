"""Labels, ranges and lenses state what they were read from: other sources, layers and bases are refused, and numbers
that differ in their last bits are not."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput, Mismatch, spec_of
from interp.credit import ReadoutCredit
from interp.credit.base import check_scheme
from interp.credit.controls import credit_controls
from interp.readouts import (
    Format,
    Intention,
    Labels,
    Latents,
    Likelihood,
    Residual,
    TextCounts,
    TextRange,
    label_rollouts,
    with_base_rate,
)
from interp.tsae import TSAE

ROLES = ("carry", "operator", "operand", "equals", "marker", "answer")
ROWS = [
    make_rollout(1, length=6, tokens=(4 + i % 20, 24, 5 + i % 7, 27, 29, 4 + i % 11), problem=str(i), valid=i % 3 == 0,
                 roles=ROLES, format="steps", depth=1)
    for i in range(120)
]  # fmt: skip


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


def dictionary(policy, layer: int | None = 1, seed: int = 0) -> TSAE:
    encoder_DF = torch.randn(policy.d_model, 12, generator=torch.Generator().manual_seed(seed))
    zeros_F = torch.zeros(12)
    return TSAE(encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(policy.d_model), zeros_F, (12,), layer=layer)


def with_other_bits(labels: Labels) -> Labels:
    x_BF = labels.columns.x_BF * (1 + 2**-40)
    assert not torch.equal(x_BF, labels.columns.x_BF)
    return replace(labels, columns=replace(labels.columns, x_BF=x_BF))


# --- fingerprints --------------------------------------------------------------------------------------------------


def test_labels_that_another_device_read_in_other_bits_are_the_same_in_the_spec_of_a_run(policy):
    sources = [Likelihood(), Residual(1)]
    labels = with_base_rate(label_rollouts(sources, policy, ROWS), 0.1, 20)
    own, other = (spec_of(ReadoutCredit(sources, labels=each)) for each in (labels, with_other_bits(labels)))
    assert own == other


def test_labels_of_other_texts_verdicts_weights_sources_or_readers_have_another_fingerprint(policy):
    labels = label_rollouts([Residual(1)], policy, ROWS[:20])
    others = [
        label_rollouts([Residual(1)], policy, ROWS[1:21]),
        label_rollouts([Residual(1)], policy, ROWS[:20][::-1]),
        label_rollouts([Residual(1)], policy, [replace(row, tokens=(9, *row.tokens[1:])) for row in ROWS[:20]]),
        label_rollouts([Residual(1)], policy, [replace(row, valid=not row.valid) for row in ROWS[:20]]),
        label_rollouts([Residual(0)], policy, ROWS[:20]),
        label_rollouts([Residual(1)], tiny_policy(seed=1), ROWS[:20]),
        with_base_rate(labels, 0.1, 20),
    ]
    prints = [each.fingerprint() for each in (labels, *others)]
    assert len(set(prints)) == len(prints)
    assert labels.fingerprint() == label_rollouts([Residual(1)], policy, ROWS[:20]).fingerprint()
    assert labels.plus(others[0]).last(20).fingerprint() == others[0].fingerprint()


def test_labels_that_do_not_state_their_origin_have_the_fingerprint_of_their_numbers(policy):
    stated = label_rollouts([Residual(1)], policy, ROWS[:5])
    bare = Labels(stated.columns, stated.is_valid_A, stated.weight_A)
    assert bare.fingerprint() != with_other_bits(bare).fingerprint()
    both = stated.plus(bare)
    assert both.fingerprint() != with_other_bits(both).fingerprint()


def test_a_range_of_texts_and_a_lens_are_those_of_what_they_were_fitted_on(policy):
    region = TextRange.fit([Likelihood()], policy, ROWS)
    assert replace(region, limit=region.limit * (1 + 2**-40)).fingerprint() == region.fingerprint()
    assert TextRange.fit([Likelihood()], policy, ROWS[1:]).fingerprint() != region.fingerprint()
    assert TextRange.fit([Residual(1)], policy, ROWS).fingerprint() != region.fingerprint()
    lens = Intention.fit(dictionary(policy), 1, policy, ROWS).lens
    assert replace(lens, bias_V=lens.bias_V * (1 + 2**-20)).fingerprint() == lens.fingerprint()
    assert Intention.fit(dictionary(policy), 1, policy, ROWS[1:]).lens.fingerprint() != lens.fingerprint()
    bare = replace(lens, made_from={})
    assert bare.fingerprint() != replace(bare, bias_V=bare.bias_V + 1).fingerprint()


# --- refusals ------------------------------------------------------------------------------------------------------


def test_labels_of_other_sources_are_refused_though_they_are_as_wide(policy):
    labels = label_rollouts([Residual(1)], policy, ROWS)
    with pytest.raises(Mismatch, match=r"expected labels read by the same sources.*layer \(expected 0, got 1\)"):
        ReadoutCredit([Residual(0)], labels=labels)
    with pytest.raises(Mismatch, match="expected labels read by the same sources"):
        label_rollouts([Residual(0)], policy, ROWS).plus(labels)
    with pytest.raises(Mismatch, match="expected labels read by the same sources"):
        ReadoutCredit([Format(("values",))], labels=label_rollouts([Format(("steps",))], None, ROWS))
    of_one, of_another = (Latents(dictionary(policy, seed=seed), 1) for seed in (0, 1))
    with pytest.raises(Mismatch, match="W_enc|tsae"):
        ReadoutCredit([of_one], labels=label_rollouts([of_another], policy, ROWS))
    ReadoutCredit([Latents(dictionary(policy), 1)], labels=label_rollouts([of_one], policy, ROWS))


def test_a_range_of_other_sources_is_refused_though_it_is_as_wide(policy):
    region = TextRange.fit([Residual(1)], policy, ROWS)
    with pytest.raises(Mismatch, match=r"expected a range of texts read by the same sources.*expected 0, got 1"):
        ReadoutCredit([Residual(0)], text_range=region)
    ReadoutCredit([Residual(1)], text_range=region)


def test_a_readout_that_was_fitted_on_another_base_is_refused(policy):
    other = tiny_policy(seed=1)
    scheme = ReadoutCredit([Residual(1)], labels=label_rollouts([Residual(1)], other, ROWS))
    with pytest.raises(Mismatch, match="expected labels read by .*, got some read by"):
        check_scheme(scheme, policy)
    check_scheme(scheme, other)
    text = ReadoutCredit([TextCounts()], labels=label_rollouts([TextCounts()], other, ROWS))
    check_scheme(text, policy)  # no policy read these
    with pytest.raises(Mismatch, match="expected labels read by"):
        label_rollouts([Residual(1)], policy, ROWS).plus(scheme.labels)
    intention = Intention.fit(dictionary(policy), 1, other, ROWS)
    with pytest.raises(Mismatch, match="expected the policy that the lens was fitted on"):
        check_scheme(ReadoutCredit([intention]), policy)


def test_a_lens_of_another_layer_or_dictionary_is_refused(policy):
    anywhere = dictionary(policy, layer=None)
    intention = Intention.fit(anywhere, 1, policy, ROWS)
    with pytest.raises(Mismatch, match="expected a lens of layer 0, got one that was fitted at layer 1"):
        replace(intention, layer=0)
    with pytest.raises(Mismatch, match="expected a lens on the codes of this dictionary"):
        replace(intention, tsae=dictionary(policy, seed=1)).expect_reader(policy)
    intention.expect_reader(policy)


@pytest.mark.parametrize("layer", [-1, 2.5, True])
def test_what_is_no_layer_is_refused(policy, layer):
    for make in (Residual, lambda layer: Latents(dictionary(policy, layer=None), layer)):
        with pytest.raises(BadInput, match=f"layer must .*; got {layer}"):
            make(layer)


def test_a_layer_that_the_policy_does_not_have_is_refused_whatever_reads_it(policy):
    for source in (Residual(7), Latents(dictionary(policy, layer=None), 7)):
        with pytest.raises(Mismatch, match=f"expected a layer below {policy.n_layers}, as the policy has; got 7"):
            check_scheme(ReadoutCredit([source]), policy)


def test_controls_are_refused_no_labels_and_no_range_of_their_own(policy):
    sources = [Likelihood(), Latents(dictionary(policy), 1)]
    scheme = ReadoutCredit(
        sources, labels=label_rollouts(sources, policy, ROWS), text_range=TextRange.fit(sources, policy, ROWS)
    )
    for control in credit_controls(scheme, policy, ROWS, audited=ROWS, draws=1).values():
        check_scheme(control, policy)
