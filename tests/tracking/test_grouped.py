"""Sums by group and latent: what adding up token by token gives, however the tokens come."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tracking.activation_sums import Grouped
from interp.tsae.codes import Codes

WIDTH = 5
TOKENS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from([0.0, 0.0, 0.5, 2.0]), min_size=5, max_size=5)
    ),
    max_size=30,
)


def added(tokens: list[tuple[str, list[float]]], *cuts: int) -> Grouped:
    grouped, bounds = Grouped(("group",), WIDTH), [0, *sorted(cuts), len(tokens)]
    for start, end in zip(bounds, bounds[1:], strict=False):
        part = tokens[start:end]
        z_NF = torch.tensor([z for _, z in part]).reshape(len(part), WIDTH)
        grouped.update(Codes.of(z_NF), grouped.rows([(group,) for group, _ in part]))
    return grouped


def told(grouped: Grouped) -> dict[str, tuple[int, list[int], list[float]]]:
    columns = zip(grouped.keys, grouped.tokens_R, grouped.active_RF, grouped.mass_RF, strict=True)
    return {key[0]: (int(n), active.tolist(), mass.tolist()) for key, n, active, mass in columns}


@given(TOKENS, st.lists(st.integers(0, 30), max_size=3))
def test_sums_are_those_of_token_by_token_however_they_are_cut(tokens, cuts):
    wanted = {}
    for group, z in tokens:
        n, active, mass = wanted.get(group, (0, [0] * WIDTH, [0.0] * WIDTH))
        wanted[group] = (
            n + 1,
            [a + (x > 0) for a, x in zip(active, z, strict=True)],
            [m + x for m, x in zip(mass, z, strict=True)],
        )
    assert told(added(tokens, *(min(cut, len(tokens)) for cut in cuts))) == wanted


@given(TOKENS, TOKENS)
def test_merged_is_what_it_would_have_been_together(left, right):
    merged = added(left)
    merged.merge(added(right))
    assert told(merged) == told(added(left + right))


@given(TOKENS)
def test_what_is_kept_comes_back(tokens):
    grouped = added(tokens)
    again = Grouped.of(["group"], WIDTH, [list(key) for key in grouped.keys], grouped.tensors())
    assert told(again) == told(grouped) and again.names == ("group",)


def test_what_is_kept_is_only_what_is_on():
    grouped = added([("a", [0.0, 1.0, 0.0, 0.0, 0.0]), ("b", [0.0] * 5)])
    held = grouped.tensors()
    assert held["place"].tolist() == [1] and held["active"].tolist() == [1] and held["tokens"].tolist() == [1, 1]


def test_groups_and_codes_of_another_shape_are_refused():
    grouped = Grouped(("bucket", "prompt"), WIDTH)
    with pytest.raises(BadInput, match=r"told by bucket, prompt; got \('a',\)"):
        grouped.rows([("a",)])
    with pytest.raises(BadInput, match="codes of 2 tokens over 5 latents, got 1 over 4"):
        grouped.update(Codes.of(torch.ones(1, 4)), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(BadInput, match="expected groups by"):
        grouped.merge(Grouped(("bucket",), WIDTH))
