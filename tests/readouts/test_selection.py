"""A few columns out of many: chosen together, and for what those before them leave unexplained."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from hypothesis import given, settings
from hypothesis import strategies as st
from readouts_fixtures import make_dictionary, rows_of

from interp.artifacts import BadInput
from interp.readouts import Latents, Likelihood, choose_columns, choose_latents, fit_beside, read_columns


def signs(*columns: str) -> torch.Tensor:
    """Columns of +1 and -1, from strings of + and -."""
    return torch.tensor([[1.0 if sign == "+" else -1.0 for sign in column] for column in columns]).T


VALID = torch.tensor([True] * 6 + [False] * 6)
MOST, SAME, REST = "++++++++----", "++++++++----", "-----+---+++"


def test_the_first_column_is_the_one_most_correlated_with_validity():
    assert choose_columns(signs("+-+-+-+-+-+-", MOST), VALID, 1) == [1]


def test_the_second_is_not_the_first_once_more_but_what_it_leaves_unexplained():
    """Rows 7 and 8 are lucky where the first column says valid; the third column is alone in knowing one of them."""
    knows_the_rest = "+++++++-----"
    assert choose_columns(signs(MOST, SAME, knows_the_rest), VALID, 2) == [2, 0]
    fit_alone = choose_columns(signs(MOST, SAME, "++++++--++++"), VALID, 2)
    assert fit_alone == [0, 2], "the copy is as correlated with validity, and adds nothing"


def test_what_stands_beside_is_not_chosen_for():
    x_BF = signs(MOST, "++++-+--+---")
    assert choose_columns(x_BF, VALID, 1) == [0]
    assert choose_columns(x_BF, VALID, 1, beside_BG=signs(SAME)) == [1]


def test_columns_that_do_not_vary_are_never_chosen():
    x_BF = torch.cat([torch.ones(12, 2), signs(MOST)], 1)
    assert choose_columns(x_BF, VALID, 3) == [2]
    assert choose_columns(torch.ones(12, 2), VALID, 3) == []


@given(st.integers(0, 1000), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_a_longer_choice_begins_with_the_shorter_one_whatever_the_units(seed, n):
    generator = torch.Generator().manual_seed(seed)
    x_BF = torch.randn(12, 6, generator=generator)
    chosen = choose_columns(x_BF, VALID, n)
    assert len(set(chosen)) == n and choose_columns(x_BF, VALID, 6)[:n] == chosen
    assert choose_columns(x_BF * torch.tensor([0.5, 1, 2, 4, 8, 16]), VALID, n) == chosen


def test_two_groups_of_columns_have_the_same_say_however_many_they_are():
    """A thousand copies of one column, and the column itself beside them: the weights agree in sum."""
    x_BG = signs(MOST)
    fit = fit_beside(x_BG.expand(-1, 100), x_BG, VALID, 1.0)
    assert float(fit.weight_F[0]) == pytest.approx(float(fit.weight_F[1:].sum()), rel=1e-6)


def test_chosen_latents_are_read_alone():
    policy, rows = tiny_policy(), rows_of(tiny_policy())
    rows = [replace(row, valid=at % 2 == 0) for at, row in enumerate(rows)]
    source = Latents(make_dictionary(policy.d_model, 12), 1)
    chosen = choose_latents(source, policy, rows, 2, beside=[Likelihood()])
    assert len(chosen) == 2 and set(chosen) <= set(range(12))
    alone = replace(source, tsae=source.tsae.select_latents(chosen))
    whole = read_columns([source], policy, rows[:3]).x_BF
    assert torch.allclose(read_columns([alone], policy, rows[:3]).x_BF, whole[:, chosen])


def test_rollouts_of_one_kind_are_refused():
    policy, rows = tiny_policy(), rows_of(tiny_policy())
    with pytest.raises(BadInput, match="got 0 valid of"):
        choose_latents(Latents(make_dictionary(policy.d_model, 12), 1), policy, rows, 2)
