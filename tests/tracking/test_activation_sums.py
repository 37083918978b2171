"""Sums by group and latent equal those added token by token, however the tokens are batched."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tracking.activation_sums import ActivationSums
from interp.tsae.codes import Codes

WIDTH = 5
TOKENS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from([0.0, 0.0, 0.5, 2.0]), min_size=5, max_size=5)
    ),
    max_size=30,
)


def sums_of(tokens: list[tuple[str, list[float]]], *cuts: int) -> ActivationSums:
    """Sums of tokens, each with its group and codes, added in batches that end at `cuts`."""
    sums, bounds = ActivationSums(("group",), WIDTH), [0, *sorted(cuts), len(tokens)]
    for start, end in zip(bounds, bounds[1:], strict=False):
        part = tokens[start:end]
        z_NF = torch.tensor([z for _, z in part]).reshape(len(part), WIDTH)
        sums.update(Codes.from_dense(z_NF), sums.row_indices([(group,) for group, _ in part]))
    return sums


def as_dict(sums: ActivationSums) -> dict[str, tuple[int, list[int], list[float]]]:
    rows = zip(sums.keys, sums.tokens_R, sums.active_RF, sums.sum_RF, strict=True)
    return {key[0]: (int(n), active.tolist(), total.tolist()) for key, n, active, total in rows}


@given(TOKENS, st.lists(st.integers(0, 30), max_size=3))
def test_sums_do_not_depend_on_how_tokens_are_batched(tokens, cuts):
    expected = {}
    for group, z in tokens:
        n, active, total = expected.get(group, (0, [0] * WIDTH, [0.0] * WIDTH))
        expected[group] = (
            n + 1,
            [a + (x > 0) for a, x in zip(active, z, strict=True)],
            [t + x for t, x in zip(total, z, strict=True)],
        )
    assert as_dict(sums_of(tokens, *(min(cut, len(tokens)) for cut in cuts))) == expected


@given(TOKENS, TOKENS)
def test_merged_sums_equal_the_sums_of_all_tokens(first, second):
    merged = sums_of(first)
    merged.merge(sums_of(second))
    assert as_dict(merged) == as_dict(sums_of(first + second))


@given(TOKENS)
def test_sums_survive_storage(tokens):
    sums = sums_of(tokens)
    loaded = ActivationSums.from_tensors(["group"], WIDTH, [tuple(key) for key in sums.keys], sums.to_tensors())
    assert as_dict(loaded) == as_dict(sums) and loaded.key_names == ("group",)


def test_only_active_latents_are_stored():
    tensors = sums_of([("a", [0.0, 1.0, 0.0, 0.0, 0.0]), ("b", [0.0] * 5)]).to_tensors()
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "tokens": [1, 1],
        "index": [1],
        "active": [1],
        "sum": [1.0],
    }


def test_keys_codes_and_tables_of_another_shape_are_refused():
    sums = ActivationSums(("bucket", "prompt"), WIDTH)
    with pytest.raises(BadInput, match=r"expected keys of bucket, prompt; got \('a',\)"):
        sums.row_indices([("a",)])
    with pytest.raises(BadInput, match="expected codes of 2 tokens over 5 latents, got 1 over 4"):
        sums.update(Codes.from_dense(torch.ones(1, 4)), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(BadInput, match="expected sums by bucket, prompt over 5 latents, got sums by bucket over 5"):
        sums.merge(ActivationSums(("bucket",), WIDTH))
