"""Token weights by where a success probably goes wrong: the splits, what they pay, and what is learned."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import assert_same_run, make_rollout, small_config, train_tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput, Mismatch
from interp.credit import (
    FirstError,
    FirstErrorReadout,
    ProcessAdvantage,
    ReadoutCredit,
    RolloutBatch,
    StepValidity,
    credit_controls,
    make_scheme,
)
from interp.credit.base import Learning, check_scheme
from interp.grpo import Run
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.readouts import (
    STEP_END,
    Latents,
    Likelihood,
    Residual,
    TextCounts,
    label_parts,
    label_rollouts,
    lucky_edits,
    with_base_rate,
)
from interp.readouts.columns import Origin
from interp.readouts.controls import Permuted
from interp.readouts.sources import _TextSource
from interp.rollouts import roll_out
from interp.tsae import TSAE

ROLES = ("carry", "operator", "result", "carry", "operator", "result", "marker", "answer", "end")
STEPS = ((0, 3, True, True), (3, 6, True, True))


@dataclass(frozen=True)
class Truth(_TextSource):
    """A source that knows whether the first error is in a part."""

    name: str = "truth"

    def columns(self, reading):
        return torch.tensor([[float(part.first_error is not None)] for part in reading.rollouts]).view(-1, 1)


@dataclass(frozen=True)
class Unreadable(_TextSource):
    """A source that can read a part only if its first token is below a number."""

    below: int = 0
    name: str = "unreadable"

    def columns(self, reading):
        rows = [[1.0 if part.tokens[0] < self.below else torch.nan] for part in reading.rollouts]
        return torch.tensor(rows, dtype=torch.float64).view(-1, 1)


def chain(reward=1, error=None, **changes):
    """Two steps and an answer, of three tokens each. It is valid unless it has an error."""
    values = {"roles": ROLES, "steps": STEPS, "first_error": error, "valid": bool(reward) and error is None}
    return make_rollout(reward, length=9, **values | changes)


def batch_of(*rollouts, group: int = 4, **fields) -> RolloutBatch:
    rows = [replace(row, sample=i % group, problem=f"p{i // group}") for i, row in enumerate(rollouts)]
    return RolloutBatch.from_rollouts(rows, group, **fields)


def make_batch(step: int = 0, **fields) -> RolloutBatch:
    """Of four answers one fails, one is valid, and two are wrong from a step on; 16 in all."""
    rows = [chain(0, 3), chain(), chain(1, 3), chain(1, 6)] * 4
    return batch_of(*(replace(row, step=step) for row in rows), **fields)


def taught(scheme: FirstErrorReadout, steps: int = 4) -> FirstErrorReadout:
    for step in range(steps):
        scheme.observe(make_batch(step))
    return scheme


def knowing(**settings) -> FirstErrorReadout:
    """A scheme that knows the truth, once it has been shown some."""
    return taught(FirstErrorReadout([Truth()], ridge=1e-4, audits=12, **settings))


# --- against the oracle ----------------------------------------------------------------------------------------------


def test_a_readout_that_knows_the_truth_weighs_as_the_oracle_does():
    batch = batch_of(chain(), chain(1, 3), chain(1, 6), chain(1, 0))
    weights_BL = knowing()(batch).validate(batch).weights_BL
    assert weights_BL.equal(FirstError()(batch).weights_BL)
    assert weights_BL.tolist() == [[1] * 9, [3] * 3 + [0] * 6, [1.5] * 6 + [0] * 3, [1] * 9]


def test_on_successes_of_the_organism_and_their_edits_it_weighs_as_the_oracle_does():
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    rows = roll_out(base, task, task.problems("train", None, 20), SampleConfig(group=8, rows=160), progress=False).rows
    successes = [row for row in [*rows, *lucky_edits(base, task, rows)] if row.reward > 0 and row.format != "malformed"]
    batch = RolloutBatch.from_rollouts(successes, 1)
    scheme = FirstErrorReadout([Truth()], ridge=1e-4, labels=label_parts([Truth()], None, successes))
    weights_BL = scheme(batch).weights_BL
    assert weights_BL.equal(FirstError()(batch).weights_BL)
    assert sum(bool((row_L > 1).any()) for row_L in weights_BL) > 10


def test_failures_are_weighted_evenly():
    assert knowing()(batch_of(chain(0, 3), chain(1, 3), group=2)).weights_BL[0].tolist() == [1] * 9


# --- the formula -----------------------------------------------------------------------------------------------------


def test_the_split_is_where_the_chain_is_no_longer_probably_right():
    """Each part is right with probability 3/4: after three parts the chain is with 27/64, below one half."""
    scheme = FirstErrorReadout([Unreadable(99)], ridge=1.0)
    labels = label_parts(scheme.sources, None, [chain(1, 0), chain()])
    scheme = replace(scheme, labels=labels)
    batch = batch_of(*[chain()] * 4)
    assert scheme.splits(batch).tolist() == [6] * 4
    assert replace(scheme, limit=0.7).splits(batch).tolist() == [3] * 4
    assert replace(scheme, limit=0.8).splits(batch).tolist() == [0] * 4
    assert replace(scheme, limit=0.4).splits(batch).tolist() == [9] * 4


@settings(max_examples=25)
@given(st.floats(-1, 1), st.floats(0, 1), st.lists(st.sampled_from([None, 0, 3, 6]), min_size=4, max_size=4))
def test_whatever_the_settings_weights_have_mean_one_and_lie_on_a_line_from_the_split_to_even(rest, limit, errors):
    batch = batch_of(*(chain(1, error) for error in errors))
    whole = replace(SCHEME, limit=limit)
    whole.load_state(SCHEME.state())
    scheme = replace(SCHEME, limit=limit, rest_weight=rest)
    scheme.load_state(SCHEME.state())
    weights_BL = scheme(batch).validate(batch).weights_BL
    assert torch.allclose(weights_BL, (1 - rest) * whole(batch).weights_BL + rest, atol=1e-5)


SCHEME = knowing()


def test_a_rest_weight_of_one_is_even_and_below_zero_the_rest_has_the_opposite_sign():
    batch = batch_of(chain(1, 3), chain(0), chain(), chain(0))
    assert knowing(rest_weight=1.0)(batch).weights_BL.equal(batch.mask_BL.float())
    weights_L = knowing(rest_weight=-1.0)(batch).validate(batch).weights_BL[0]
    assert weights_L.tolist() == [5] * 3 + [-1] * 6


def test_the_gate_says_what_the_reward_becomes_and_a_success_that_it_makes_a_failure_is_blamed_behind_the_split():
    batch = batch_of(chain(), chain(1, 3), chain(0, 3), chain(0, 3))
    credit = knowing(gate=StepValidity(weights=False))(batch).validate(batch)
    assert credit.gate_B.tolist() == [1, 0, 1, 1]
    assert credit.weights_BL.tolist() == [[1] * 9, [0] * 3 + [1.5] * 6, [1] * 9, [1] * 9]
    paid = batch_of(chain(1, 3), *[chain(0, 3)] * 3)  # all are worth nothing: no advantage, whatever the weights
    assert knowing(gate=StepValidity(weights=False))(paid).gate_B[0] == 0


def test_a_gate_that_audits_audits_the_same_successes():
    scheme = FirstErrorReadout([TextCounts(buckets=4)], gate=ReadoutCredit([TextCounts(buckets=4)], audits=3), audits=3)
    rows = [chain(1, (3, 6, None)[i % 3], tokens=tuple(range(4 + i, 13 + i))) for i in range(12)]
    batch = batch_of(*rows)
    scheme.observe(batch)
    gate = scheme.gate
    assert isinstance(gate, ReadoutCredit) and gate.state()["is_valid_A"].tolist() == _valid_of_chains(scheme)
    assert scheme(batch).facts["chains_audited"] == 3


def _valid_of_chains(scheme: FirstErrorReadout) -> list[bool]:
    """The validity of each audited chain: three right parts, or a wrong one."""
    valid, right = [], 0
    for is_right in scheme.state()["is_valid_A"].tolist():
        right += is_right
        if not is_right or right == 3:
            valid, right = [*valid, is_right], 0
    return valid


# --- what it learns --------------------------------------------------------------------------------------------------


def test_until_both_kinds_of_parts_were_audited_weights_are_even():
    scheme, batch = FirstErrorReadout([Truth()]), make_batch()
    assert scheme(batch).weights_BL.equal(batch.mask_BL.float())
    scheme.observe(batch_of(*[chain()] * 8))
    assert scheme(batch).weights_BL.equal(batch.mask_BL.float())
    scheme.observe(batch_of(*[chain(1, 3)] * 8))
    assert not scheme(batch).weights_BL.equal(batch.mask_BL.float())


def test_it_is_fitted_as_soon_as_it_can_be_and_then_every_few_steps():
    scheme = FirstErrorReadout([TextCounts(buckets=4)], refit_every=3)
    fits = []
    for step in range(1, 7):
        scheme.observe(make_batch(step))
        fits.append(scheme.state()["fit.bias"])
    changes = [bool(before != after) for before, after in pairwise(fits)]
    assert changes == [False, True, False, False, True]


def test_only_the_audited_labels_are_used():
    """The causal test: another verdict on a success that was not audited changes nothing."""
    rows = [chain(1, (3, None)[i % 2], tokens=tuple(range(4 + i, 13 + i))) for i in range(12)]
    scheme, batch = FirstErrorReadout([TextCounts(buckets=4)], audits=3), batch_of(*rows)
    scheme.observe(batch)
    n_changing = 0
    for row in range(12):
        others = list(batch.rollouts)
        others[row] = replace(others[row], first_error=6, valid=False)
        other, changed = FirstErrorReadout([TextCounts(buckets=4)], audits=3), replace(batch, rollouts=others)
        other.observe(changed)
        same = all(torch.equal(x, y) for x, y in zip(scheme.state().values(), other.state().values(), strict=True) if
                   x.shape == y.shape)  # fmt: skip
        same = same and [x.shape for x in scheme.state().values()] == [y.shape for y in other.state().values()]
        n_changing += not same
        assert not same or other(changed).weights_BL.equal(scheme(batch).weights_BL)
    assert n_changing == 3


def test_neither_failures_nor_answers_that_were_put_back_are_audited_or_split():
    batch = batch_of(chain(0, 3), chain(1, 3, replayed_from=0), chain(), chain(1, 6))
    scheme = FirstErrorReadout([Truth()])
    scheme.observe(batch)
    assert scheme.state()["is_valid_A"].sum() == 5 and len(scheme.state()["is_valid_A"]) == 6
    assert knowing()(batch).weights_BL[:2].tolist() == [[1] * 9] * 2


def test_memory_lets_old_labels_go_and_a_fresh_scheme_has_learned_nothing():
    scheme = taught(FirstErrorReadout([Truth()], memory=7, gate=ReadoutCredit([TextCounts(buckets=2)])))
    assert len(scheme.state()["is_valid_A"]) == 7 and isinstance(scheme, Learning)
    assert scheme(make_batch()).facts["chains_audited"] == 32
    fresh = scheme.fresh()
    assert not len(fresh.state()["is_valid_A"]) and not len(fresh.state()["gate.is_valid_A"]) and fresh.memory == 7
    fresh.load_state(scheme.state())
    assert fresh(make_batch()).weights_BL.equal(scheme(make_batch()).weights_BL)
    assert all(torch.equal(x, fresh.state()[name]) for name, x in scheme.state().items())


class Killed(Exception):
    pass


def test_a_run_that_is_stopped_resumes_to_the_same_bits(tmp_path):
    gate = ReadoutCredit([Likelihood()], audits=2)
    scheme = FirstErrorReadout([Likelihood(), TextCounts(buckets=8), Residual(1, STEP_END)], gate=gate, audits=2)
    config = small_config(scale="none")
    whole = train_tiny(tmp_path / "whole" / "run", config, credit=scheme, progress=False)

    def stop_at(step: int):
        def sink(at: int, metrics):
            if at == step:
                raise Killed

        return sink

    for step in (3, 5):
        with pytest.raises(Killed):
            train_tiny(tmp_path / "again" / "run", config, credit=scheme, sinks=[stop_at(step)], progress=False)
    resumed = train_tiny(tmp_path / "again" / "run", config, credit=scheme, progress=False)
    assert_same_run(whole.path, resumed.path)
    lines = Run.open(resumed.path).metrics()
    assert lines[-1]["chains_audited"] > 4 and max(line["split_share"] for line in lines) > 0


# --- what cannot be read, and what is refused ------------------------------------------------------------------------


def test_a_part_that_cannot_be_read_is_taken_to_be_right_and_a_rollout_of_such_parts_is_weighted_evenly():
    labels = label_parts([Unreadable(99)], None, [chain(1, 0)] * 9 + [chain()])
    labels = replace(labels, origin=Origin())  # of a source that can read all of them
    batch = batch_of(chain(), chain(tokens=tuple(range(14, 23))), chain(tokens=tuple(range(10, 19))), chain(0))
    split_B = FirstErrorReadout([Unreadable(14)], labels=labels).splits(batch)
    assert split_B.tolist() == [0, 9, 0, 9]
    for limit in (0.5, 1.0):
        even = FirstErrorReadout([Unreadable(0)], labels=labels, limit=limit)
        assert even(batch).weights_BL.equal(batch.mask_BL.float())
        assert even(batch).facts["unreadable_part_share"] == 1 and SCHEME(batch).facts["unreadable_part_share"] == 0


def test_completions_without_tokens_are_neither_read_nor_refused():
    rows = [chain(1, 3), make_rollout(1, length=0, roles=()), make_rollout(0, length=0, roles=()), chain(0)]
    batch = batch_of(*rows)
    for scheme in (knowing(), *credit_controls(knowing(), tiny_policy()).values()):
        scheme.observe(batch)
        assert scheme(batch).validate(batch).weights_BL[1].tolist() == [0] * 9
    empty = batch_of(*[make_rollout(1, length=0, roles=())] * 4)
    FirstErrorReadout([Truth()])(empty).validate(empty)


def test_a_task_whose_steps_nobody_judges_is_refused():
    unjudged = [make_rollout(1, length=4, valid=valid) for valid in (None, True, False, None)] * 2
    with pytest.raises(BadInput, match="got 8 of which it judges none: use credit that needs no judged.*MonteCarlo"):
        FirstErrorReadout([Truth()]).observe(batch_of(*unjudged))
    FirstErrorReadout([Truth()]).observe(batch_of(*unjudged[:4]))  # too few to tell
    FirstErrorReadout([Truth()]).observe(batch_of(*unjudged[:7], chain()))
    taught(FirstErrorReadout([Truth()])).observe(batch_of(*unjudged))


def test_latents_read_before_the_answer_alone_are_refused():
    for source in (Residual(1), Permuted(Residual(1))):
        with pytest.raises(BadInput, match="residual read at the end of each step.*selector=interp.readouts.STEP_END"):
            FirstErrorReadout([source])
    with pytest.raises(BadInput, match="rest_weight must be at least -1; got -2"):
        FirstErrorReadout([Truth()], rest_weight=-2.0)
    with pytest.raises(BadInput, match="expected a list of sources to read"):
        FirstErrorReadout([])


def dictionary(d_model: int, width: int = 12, **facts) -> TSAE:
    encoder_DF = torch.randn(d_model, width, generator=torch.Generator().manual_seed(0))
    zeros_F = torch.zeros(width)
    return TSAE(encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(d_model), zeros_F + 0.1, (width,), **facts)


def test_a_readout_of_another_base_or_layer_is_refused_also_in_the_gate():
    policy = tiny_policy()
    of_another = dictionary(policy.d_model, layer=1, made_from={"policy": "sha256:0000"})
    with pytest.raises(Mismatch, match="fitted on other policies"):
        check_scheme(FirstErrorReadout([Latents(of_another, 1, STEP_END)]), policy)
    with pytest.raises(Mismatch, match="fitted on other policies"):
        check_scheme(FirstErrorReadout([Truth()], gate=ReadoutCredit([Latents(of_another, 1)])), policy)
    with pytest.raises(Mismatch, match="expected a layer below"):
        check_scheme(FirstErrorReadout([Residual(99, STEP_END)]), policy)
    with pytest.raises(BadInput, match="expected a dictionary of layer 2, got one of layer 1"):
        Latents(of_another, 2, STEP_END)
    with pytest.raises(BadInput, match="make an instance of it"):
        check_scheme(FirstErrorReadout([Truth()], gate=StepValidity), policy)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="expected a policy to read likelihood"):
        FirstErrorReadout([Likelihood()])(make_batch())


def test_labels_of_rollouts_or_of_other_sources_or_another_base_are_refused():
    policy, rows = tiny_policy(), [chain(), chain(1, 3)]
    of_parts, of_rollouts = (read([TextCounts()], None, rows) for read in (label_parts, label_rollouts))
    assert len(FirstErrorReadout([TextCounts()], labels=of_parts).labels) == 5
    for make, labels in (
        (FirstErrorReadout, of_rollouts),
        (ReadoutCredit, of_parts),
        (FirstErrorReadout, label_parts([TextCounts(buckets=32)], None, rows)),
    ):
        with pytest.raises(Mismatch, match="expected labels read by the same sources, got others"):
            make([TextCounts()], labels=labels)
    scheme = FirstErrorReadout([Likelihood()], labels=label_parts([Likelihood()], policy, rows))
    check_scheme(scheme, policy)
    with pytest.raises(Mismatch, match="expected labels read by .* read them again"):
        check_scheme(scheme, tiny_policy(seed=1))
    again = label_parts([Likelihood()], policy, rows)
    assert again.fingerprint() == scheme.labels.fingerprint() != of_parts.fingerprint()


# --- controls and names ----------------------------------------------------------------------------------------------


def test_position_matched_controls_split_as_often_at_the_same_places_in_other_rollouts():
    scheme = knowing()
    rows = [chain(1, (None, 3, 6, 3)[i % 4]) for i in range(16)]
    batch = batch_of(*rows)
    controls = credit_controls(scheme, tiny_policy(), draws=3)
    assert list(controls) == [f"position-matched {draw}" for draw in range(3)]
    drawn = []
    for control in controls.values():
        control.load_state(scheme.state())
        split_B = control.splits(batch)
        assert sorted(split_B.tolist()) == sorted(scheme.splits(batch).tolist())
        assert control(batch).validate(batch).weights_BL.equal(control(batch).weights_BL)
        drawn.append(split_B)
    assert not any(one.equal(scheme.splits(batch)) for one in drawn) and not drawn[0].equal(drawn[1])
    step_later = replace(batch, rollouts=[replace(row, step=1) for row in batch.rollouts])
    for other in (step_later, replace(batch, seed=1)):
        assert not controls["position-matched 0"].splits(other).equal(drawn[0])


def words(n: int = 30):
    """Chains of any words, every third of them valid."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 24, (n, 9), generator=generator).tolist()
    return [chain(1, (None, 3, 6)[i % 3], tokens=tuple(own), problem=f"q{i}") for i, own in enumerate(ids)]


def test_controls_differ_from_the_scheme_in_what_they_read_and_in_nothing_else():
    policy, tsae = tiny_policy(), dictionary(tiny_policy().d_model, layer=1)
    rows = words()
    sources, gate = [TextCounts(buckets=2), Latents(tsae, 1, STEP_END)], StepValidity(weights=False)
    labels = with_base_rate(label_parts(sources, policy, rows), 0.9, 40)
    scheme = FirstErrorReadout(sources, gate=gate, audits=5, refit_every=3, limit=0.4, ridge=0.3, labels=labels)
    controls = credit_controls(scheme, policy, rows, audited=rows, draws=2)
    reads = {name: [source.name for source in control.sources] for name, control in controls.items()}
    assert reads == {
        "nothing": ["text"], "likelihood": ["text", "likelihood"], "format": ["text", "format"],
        "completeness": ["text", "completeness"], "text alone": ["text"],
        "residual": ["text", "residual"], "random dictionary 0": ["text", "latents"],
        "random dictionary 1": ["text", "latents"],
        "permuted 0": ["text", "permuted latents"], "permuted 1": ["text", "permuted latents"],
        "position-matched 0": ["text", "latents"], "position-matched 1": ["text", "latents"],
    }  # fmt: skip
    batch = batch_of(*rows[:8], base=policy)
    for name, control in controls.items():
        for setting in ("gate", "audits", "refit_every", "memory", "limit", "rest_weight", "ridge"):
            assert getattr(control, setting) == getattr(scheme, setting), name
        if name != "completeness":  # the depth of these problems is not known
            assert control.labels.weight_A.tolist() == pytest.approx(labels.weight_A.tolist()), name
        assert not any(getattr(source, "tsae", None) is tsae for source in control.sources) or "matched" in name
        check_scheme(control, policy)
        control.observe(batch)
        control(batch).validate(batch)


def test_controls_need_latents_and_the_rollouts_behind_the_labels():
    policy, tsae = tiny_policy(), dictionary(tiny_policy().d_model, layer=1)
    rows = words()
    assert list(credit_controls(FirstErrorReadout([Truth()]), policy, rows, draws=1)) == ["position-matched 0"]
    sources = [Latents(tsae, 1, STEP_END)]
    with pytest.raises(BadInput, match="behind the scheme's 0 labels.*got 30"):
        credit_controls(FirstErrorReadout(sources), policy, rows, audited=rows)
    labels = label_parts(sources, policy, rows)
    with pytest.raises(BadInput, match="behind the scheme's .* labels.*got 0"):
        credit_controls(FirstErrorReadout(sources, labels=labels), policy, rows)
    controls = credit_controls(FirstErrorReadout(sources), policy, rows, draws=1)
    assert "nothing" not in controls and not any(len(control.labels) for control in controls.values())


def test_a_success_that_is_alone_has_no_other_to_be_split_like():
    control = replace(SCHEME, control_seed=0)
    control.load_state(SCHEME.state())
    batch = batch_of(chain(1, 3), *[chain(0)] * 3)
    assert SCHEME.splits(batch)[0] == 3 and control(batch).weights_BL.equal(batch.mask_BL.float())


def test_schemes_are_made_by_name_with_what_they_read(tmp_path, monkeypatch):
    text = make_scheme("first-error-likelihood-text")
    assert isinstance(text, FirstErrorReadout) and [source.name for source in text.sources] == ["likelihood", "text"]
    monkeypatch.setattr(TSAE, "load", lambda path: dictionary(16, layer=1))
    for name, kind in (("first-error-latents", Latents), ("first-error-residual", Residual)):
        scheme = make_scheme(name, tsae=tmp_path / "tsae")
        assert isinstance(scheme, FirstErrorReadout) and isinstance(scheme.sources[1], kind)
        assert scheme.sources[1].selector == STEP_END


def test_splits_that_are_dealt_to_longer_and_shorter_successes_stay_as_many():
    short = {"roles": ROLES[3:], "steps": ((0, 3, True, True),)}
    rows = [chain(1, 6), chain(), make_rollout(1, length=6, first_error=3, valid=False, **short)]
    rows += [make_rollout(1, length=6, first_error=None, valid=True, **short)] * 5
    batch = batch_of(*rows)
    assert SCHEME.splits(batch).tolist() == [6, 9, 3, *[6] * 5]
    for seed in range(8):
        control = replace(SCHEME, control_seed=seed)
        control.load_state(SCHEME.state())
        split_B, lengths_B = control.splits(batch), batch.lengths_B
        assert int((split_B < lengths_B).sum()) == 2
        shares = (split_B / lengths_B)[split_B < lengths_B]
        assert sorted(shares.tolist()) == pytest.approx([0.5, 2 / 3], abs=0.06)


def test_a_gate_that_adds_advantages_is_refused():
    scheme = FirstErrorReadout([Truth()], gate=ProcessAdvantage(StepValidity(weights=False)))
    with pytest.raises(BadInput, match="expected a gate that changes rewards, got one that adds advantages"):
        scheme(batch_of(chain(), chain(1, 3), chain(0), chain(0)))


def test_a_batch_is_read_again_by_another_reader():
    policy, other = tiny_policy(), tiny_policy(seed=1)
    scheme = FirstErrorReadout([Likelihood()])
    one = make_batch(base=policy)
    first = scheme._read(one)[1].columns.x_BF
    assert not torch.equal(first, scheme._read(replace(one, base=other))[1].columns.x_BF)
