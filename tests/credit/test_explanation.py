"""Why a readout pays what it pays: contributions add up, by hand and on tiny models, beside those of a control."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import tiny_policy
from features_fixtures import axes_dictionary
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput
from interp.credit import ProcessAdvantage, RandomGate, ReadoutCredit, RolloutBatch, StepValidity
from interp.credit.explanation import CreditExplanation, explain_credit
from interp.policy import Policy
from interp.policy.reading import CompletionReading
from interp.readouts import (
    Columns,
    Completeness,
    Intention,
    Labels,
    Latents,
    Likelihood,
    Residual,
    TextCounts,
    fit_lens,
)

LAYER = 1
SUMS = {"atol": 1e-9, "rtol": 0, "equal_nan": True}


class WrittenPolicy(Policy):
    """Says of every completion what the test says: log-probabilities by token, residuals by token and prompt."""

    def __init__(self, logprobs: list[float], residuals: list[list[float]], ends: list[list[float]]) -> None:
        whole = tiny_policy()
        super().__init__(whole.model, whole.tokenizer)
        self.said = torch.tensor(logprobs), torch.tensor(residuals), torch.tensor(ends)

    def read_completions(self, prompts: Any, completions: Any, layers: Any, **options: Any) -> CompletionReading:
        logprob_N, x_ND, x_BD = self.said
        return CompletionReading(
            logprob_N, {layer: x_ND[kept_N] for layer, kept_N in layers.items()}, {layer: x_BD for layer in layers}
        )


def fitted(scheme: ReadoutCredit, mean: list[float], std: list[float], weight: list[float], bias: float) -> Any:
    """The scheme with a fit that is given by hand."""
    widths = torch.tensor([len(mean)])
    empty = {"x_AF": torch.zeros(0, len(mean)).double(), "widths": widths, "is_valid_A": torch.zeros(0).bool()}
    numbers = {"mean_F": mean, "std_F": std, "weight_F": weight, "bias": bias}
    fit = {f"fit.{name}": torch.tensor(x, dtype=torch.float64) for name, x in numbers.items()}
    scheme.load_state(empty | {"weight_A": torch.zeros(0).double()} | fit)
    return scheme


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_likelihood_gives_each_token_its_share_of_the_mean_and_the_least_likely_one_that_of_the_least():
    scheme = fitted(ReadoutCredit([Likelihood()], threshold=0.0), [-1.0, -2.0], [0.5, 2.0], [1.0, 4.0], 0.5)
    policy = WrittenPolicy([-1.0, -4.0, -1.0, -3.0], [[0.0]] * 4, [[0.0]] * 2)
    batch = RolloutBatch.from_rollouts([make_rollout(1, length=3), make_rollout(1, length=1)], 2, base=policy)
    side = explain_credit(scheme, batch).scheme
    # the means are -2 and -3, the least -4 and -3: (-2 + 1) / 0.5 + 4 (-4 + 2) / 2 = -2 - 4, and -4 - 2
    assert side.by_source_BS[:, 0].tolist() == [-6, -6] and side.at_mean_B.tolist() == [0.5, 0.5]
    assert side.by_token_NS[:, 0].tolist() == [0, -2 - 4, 0, -4 - 2]
    assert side.p_B.tolist() == pytest.approx([torch.tensor(-5.5).sigmoid().item()] * 2)
    assert side.gate_B.tolist() == side.paid_B.tolist() == pytest.approx(side.p_B.tolist(), abs=1e-6)
    assert side.logprob_N.tolist() == [-1, -4, -1, -3] and side.reader == "base"


def test_selected_tokens_share_what_latents_add_and_a_question_is_read_before_a_direct_answer():
    tsae = axes_dictionary(1, layer=LAYER)  # two latents: x if above 0.5, and -x if that is
    scheme = fitted(ReadoutCredit([Latents(tsae, LAYER)]), [1.0, 0.0], [1.0, 1.0], [2.0, 10.0], 0.0)
    policy = WrittenPolicy([0.0] * 4, [[9.0], [3.0], [9.0], [9.0]], [[9.0], [-1.0]])
    chain = make_rollout(1, length=3, roles=("operand", "result", "marker"))
    direct = make_rollout(1, length=1, roles=("marker",))
    side = explain_credit(scheme, RolloutBatch.from_rollouts([chain, direct], 2, base=policy)).scheme
    # before the marker of the chain x is 3: 2 (3 - 1) = 4. At the end of the question x is -1: 2 (0 - 1) + 10 = 8
    assert side.by_source_BS[:, 0].tolist() == [4, 8]
    assert side.by_token_NS[1, 0] == 4 and side.by_token_NS[[0, 2, 3], 0].isnan().all()
    assert side.in_prompt_BS[1, 0] == 8 and side.in_prompt_BS[0, 0].isnan()


# --- on tiny models --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base() -> Policy:
    return tiny_policy()


def chains(n: int = 12) -> list[Any]:
    """Successes and failures in turn, every fourth valid; a marker at another place in each."""
    rows = []
    for at in range(n):
        roles = ["text"] * 5
        roles[at % 5] = "marker"
        tokens = tuple(4 + (3 * at + place) % 20 for place in range(5))
        rows.append(make_rollout(at % 2, valid=at % 4 == 1, sample=at, roles=tuple(roles), tokens=tokens, depth=0))
    return rows


def sources_of(base: Policy) -> list[Any]:
    residual = Residual(LAYER)
    tsae = axes_dictionary(base.d_model, layer=LAYER)
    lens = fit_lens(torch.rand(200, tsae.width), torch.arange(200) % 24)
    return [
        Likelihood(),
        Latents(tsae, LAYER),
        residual,
        Intention(tsae, LAYER, lens, roles=("text",)),
        Completeness(),
        TextCounts(4),
    ]


@pytest.fixture(scope="module")
def taught(base: Policy) -> tuple[ReadoutCredit, RolloutBatch]:
    scheme, batch = ReadoutCredit(sources_of(base), threshold=0.5), RolloutBatch.from_rollouts(chains(), 4, base=base)
    for _ in range(2):
        scheme.observe(batch)
    return scheme, batch


def test_contributions_of_sources_and_of_tokens_add_up_to_the_log_odds(taught):
    scheme, batch = taught
    side = explain_credit(scheme, batch).scheme
    paid = batch.rewards_B > 0
    assert torch.allclose(side.log_odds_B.sigmoid()[paid], side.p_B[paid], **SUMS)
    lengths = torch.tensor([len(row.tokens) for row in batch.rollouts])
    row_N = torch.arange(len(lengths)).repeat_interleave(lengths)
    for place in range(4):  # the likelihood, the latents, the residual and the intention: these have tokens
        sums_B = torch.zeros(len(lengths)).double().index_add_(0, row_N, side.by_token_NS[:, place].nan_to_num(0.0))
        sums_B += side.in_prompt_BS[:, place].nan_to_num(0.0)
        assert torch.allclose(sums_B[paid], side.by_source_BS[paid, place], atol=1e-5)
        assert side.by_source_BS[paid, place].abs().max() > 0.01
    assert side.by_token_NS[:, 4:].isnan().all()


def test_what_is_paid_is_what_the_scheme_pays_and_failures_are_not_read(taught):
    scheme, batch = taught
    side, failed = explain_credit(scheme, batch).scheme, batch.rewards_B == 0
    assert torch.equal(side.gate_B.float(), scheme(batch).gate_B)
    assert side.p_B[failed].isnan().all() and (side.paid_B[failed] == 0).all()


def test_a_control_stands_beside_the_scheme_and_a_random_gate_reads_the_same(taught):
    scheme, batch = taught
    explanation = explain_credit(scheme, batch, control=RandomGate(scheme))
    control = explanation.control
    assert control is not None and control.name.startswith("RandomGate of likelihood + latents")
    assert torch.allclose(control.p_B, explanation.scheme.p_B, **SUMS)
    assert sorted(control.paid_B.tolist()) == pytest.approx(sorted(explanation.scheme.paid_B.tolist()))
    table = explanation.table()
    assert {"p", "gate", "paid", "likelihood", "control_p", "control_paid", "control_latents"} <= set(table.columns)
    assert explanation.tokens(1).height == 5 and explanation.summary()["rollouts"].to_list() == [3, 3]
    assert "control p" in explanation._repr_html_().replace("_", " ")


def test_what_is_added_to_the_advantage_of_a_success_stands_beside_what_it_is_paid(taught):
    _, batch = taught
    scheme = ProcessAdvantage(StepValidity(weights=False), beta=0.5)
    explanation = explain_credit(scheme, batch, control=StepValidity(weights=False))
    # three successes of six are valid: scores 1 and 0, of mean and deviation 1/2
    assert explanation.scheme.added_B is not None
    assert explanation.scheme.added_B.tolist() == pytest.approx([0, 0.5, 0, -0.5] * 3)
    assert explanation.table()["added"].to_list() == pytest.approx([0, 0.5, 0, -0.5] * 3)
    assert explanation.summary().select("paid", "added").rows() == [(1, 0.5), (1, -0.5)]
    assert "control_added" not in explanation.table().columns, "the control adds nothing"
    joined = CreditExplanation.join([explanation, explain_credit(StepValidity(weights=False), batch)]).scheme.added_B
    assert joined is not None and joined.tolist() == pytest.approx([0, 0.5, 0, -0.5] * 3 + [0] * 12)


def test_a_scheme_that_reads_nothing_pays_and_has_no_log_odds(taught):
    _, batch = taught
    side = explain_credit(StepValidity(weights=False), batch).scheme
    assert (side.name, side.reader, side.sources) == ("StepValidity", "", ())
    assert side.p_B.isnan().all() and side.paid_B[batch.rewards_B > 0].tolist() == [1, 0] * 3


def test_before_the_first_fit_all_successes_are_as_likely_as_the_share_of_valid_ones(base):
    batch = RolloutBatch.from_rollouts(chains(), 4, base=base)
    side = explain_credit(ReadoutCredit([Likelihood()], threshold=0.0), batch).scheme
    paid = batch.rewards_B > 0
    assert side.p_B[paid].tolist() == pytest.approx([0.5] * 6) and side.by_source_BS[paid].abs().sum() == 0
    assert side.log_odds_B[paid].abs().max() < 1e-9 and side.by_token_NS.isnan().all()


def test_an_answer_that_was_put_back_is_surely_valid_and_not_read(taught):
    scheme, batch = taught
    rows = [replace(row, replayed_from=0) if at == 1 else row for at, row in enumerate(batch.rollouts)]
    side = explain_credit(scheme, replace(batch, rollouts=rows)).scheme
    assert side.p_B[1] == 1 and side.log_odds_B[1].isnan() and not side.log_odds_B[3].isnan()


def test_explanations_of_several_batches_become_one_and_those_of_two_schemes_do_not(taught):
    scheme, batch = taught
    part = explain_credit(scheme, batch)
    whole = CreditExplanation.join([part, part])
    assert whole.table().height == 24 and whole.tokens(23).equals(part.tokens(11))
    with pytest.raises(BadInput, match="other sources"):
        CreditExplanation.join([part, explain_credit(StepValidity(), batch)])
    with pytest.raises(BadInput, match="at least one"):
        CreditExplanation.join([])


def test_labels_from_before_a_run_are_enough_to_explain(base):
    columns = Columns(torch.tensor([[-1.0, -1], [-3, -9]]).double(), (2,))
    labels = Labels(columns, torch.tensor([True, False]), torch.ones(2).double())
    scheme = ReadoutCredit([Likelihood()], labels=labels)
    side = explain_credit(scheme, RolloutBatch.from_rollouts(chains(), 4, base=base)).scheme
    assert not side.log_odds_B[1].isnan() and side.by_token_NS[5:10].isfinite().all()
