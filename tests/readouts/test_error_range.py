"""The range of a dictionary's error: its numbers by hand, its limit, and what credit pays outside of it."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput, Mismatch
from interp.credit import ReadoutCredit, RolloutBatch
from interp.credit.base import check_scheme
from interp.features.families import TokenSelector
from interp.readouts import (
    DictionaryError,
    ErrorRange,
    Format,
    Place,
    Reading,
    error_range,
    label_rollouts,
    read_columns,
    read_rollouts,
)
from interp.tsae import TSAE

ROLES = ("text", "text", "marker", "answer")


def dictionary_of(directions_FD: torch.Tensor, layer: int = 1) -> TSAE:
    """A dictionary that explains the span of orthonormal directions wholly, and nothing else."""
    both_FD = torch.cat([directions_FD, -directions_FD])
    zeros_F = torch.zeros(len(both_FD))
    return TSAE(both_FD.T.clone(), zeros_F, both_FD, torch.zeros(both_FD.shape[1]), zeros_F, (len(both_FD),), layer)


def reading_of(rows, x_ND) -> Reading:
    lengths = torch.tensor([len(row.tokens) for row in rows])
    rollout_N = torch.arange(len(rows)).repeat_interleave(lengths)
    ends = torch.full((len(rows), x_ND.shape[1]), torch.nan)
    return Reading(rows, rollout_N, torch.zeros(len(rollout_N)), {1: x_ND}, {1: ends})


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


@pytest.mark.parametrize("at_once", [2**22, 2])
def test_the_error_is_the_share_of_the_square_that_is_left_unexplained(monkeypatch, at_once):
    monkeypatch.setattr(error_range, "ENTRIES", at_once)
    source = DictionaryError(dictionary_of(torch.eye(4)[:2]), 1, TokenSelector(roles=("text",)))
    rows = [make_rollout(1, roles=ROLES), make_rollout(1, roles=("marker",) * 4), make_rollout(1, roles=ROLES)]
    x_ND = torch.zeros(12, 4)
    x_ND[:2] = torch.tensor([[3.0, -4.0, 0.0, 0.0], [3.0, 0.0, 4.0, 0.0]])  # errors 0 and 16 / 25
    x_ND[8:10] = torch.tensor([[0.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0]])  # errors 1, and 0 of nothing
    error_B = source.columns(reading_of(rows, x_ND))[:, 0]
    assert error_B[[0, 2]].tolist() == pytest.approx([0.32, 0.5]) and error_B[1].isnan()


def rows_of(n: int, seed: int = 0, **changes):
    words = torch.randint(4, 30, (n, 2), generator=torch.Generator().manual_seed(seed)).tolist()
    return [
        make_rollout(1, tokens=(*pair, 29, 9), roles=ROLES, problem=str(i), format="steps", **changes)
        for i, pair in enumerate(words)
    ]


def test_the_limit_is_the_99th_percentile_of_the_errors_of_the_base(policy):
    base_rows, tsae = rows_of(200), dictionary_of(torch.eye(policy.d_model)[:16])
    region = ErrorRange.fit(tsae, 1, policy, base_rows)
    columns = read_columns([region.source], policy, base_rows)
    assert region.limit == pytest.approx(float(columns.x_BF[:, 0].quantile(0.99)))
    assert int(region.contains(columns).sum()) == 198
    unread = read_columns([region.source], policy, [make_rollout(1)])
    assert unread.x_BF.isnan().all() and not region.contains(unread).any()


def test_a_success_that_the_dictionary_does_not_explain_is_paid_nothing(policy):
    """The dictionary explains the very residuals of the base's texts, so texts of another kind are left unexplained."""
    base_rows = [replace(row, tokens=(5, 6, 29, 9)) for row in rows_of(60)]
    place = Place(1, TokenSelector(next_roles=("marker",)))
    x_SD, _ = read_rollouts(policy, base_rows[:1], [place], logprobs=False).residuals_at(*place)
    region = ErrorRange.fit(dictionary_of(x_SD / x_SD.norm()), 1, policy, base_rows)
    assert region.limit < 1e-5
    other = make_rollout(1, tokens=(17, 20, 29, 9), roles=ROLES, format="steps")
    labels = label_rollouts(
        [Format()], None, [make_rollout(1, format=f, valid=f == "steps") for f in ("steps", "direct")]
    )
    options = {"labels": labels, "ridge": 0.01, "threshold": 0.0}
    batch = RolloutBatch.from_rollouts([base_rows[0], other, make_rollout(0), make_rollout(0)], 4, base=policy)
    plain = ReadoutCredit([Format()], **options)(batch)
    assert plain.gate_B[0] == plain.gate_B[1] > 0.8 and "outside_share" not in plain.facts
    scheme = ReadoutCredit([Format()], **options, error_range=region)
    check_scheme(scheme, policy)
    credit = scheme(batch).validate(batch)
    assert credit.gate_B[0] == plain.gate_B[0] and credit.gate_B[1] == 0 and credit.facts["outside_share"] == 0.5


def test_a_range_of_another_base_or_of_few_texts_is_refused(policy):
    tsae = dictionary_of(torch.eye(policy.d_model)[:16])
    with pytest.raises(BadInput, match="at least 50 texts of the base that can be read, got 49"):
        ErrorRange.fit(tsae, 1, policy, rows_of(49))
    region = ErrorRange.fit(tsae, 1, policy, rows_of(60))
    with pytest.raises(Mismatch, match="expected a range of errors read by"):
        check_scheme(ReadoutCredit([Format()], error_range=region), tiny_policy(seed=1))
    with pytest.raises(BadInput, match="expected a dictionary of layer 0, got one of layer 1"):
        DictionaryError(tsae, 0)
    with pytest.raises(Mismatch, match="expected a policy of d_model 8"):
        ErrorRange.fit(dictionary_of(torch.eye(8)), 1, policy, rows_of(60))
    assert replace(region, limit=region.limit * (1 + 2**-40)).fingerprint() == region.fingerprint()
    assert ErrorRange.fit(tsae, 1, policy, rows_of(61)).fingerprint() != region.fingerprint()
