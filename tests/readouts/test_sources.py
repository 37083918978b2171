"""What is read: from a policy's reading of the text, and from the text alone."""

from dataclasses import replace

import pytest
import torch
from conftest import FAMILIES, tiny_policy
from grpo_fixtures import make_rollout
from readouts_fixtures import make_dictionary, rows_of

from interp.artifacts import BadInput, Mismatch
from interp.readouts import (
    BEFORE_MARKER,
    Completeness,
    Format,
    Latents,
    Likelihood,
    Residual,
    TextCounts,
    TextRange,
    WithRoles,
    controls,
    label_rollouts,
    read_columns,
    with_base_rate,
)
from interp.readouts.columns import Columns
from interp.readouts.controls import Permuted, random_dictionary, random_latents
from interp.readouts.reading import read_rollouts
from interp.readouts.sources import places_of


def as_lists(rows):
    return [list(row.prompt_ids) for row in rows], [list(row.tokens) for row in rows]


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


@pytest.mark.parametrize("family", FAMILIES)
def test_one_pass_gives_what_scoring_and_reading_residuals_give(tiny, family):
    policy = tiny[family]
    rows = rows_of(policy)
    prompts, completions = [row.prompt_ids for row in rows], [row.tokens for row in rows]
    read = policy.read_completions(prompts, completions, [0, 1], micro_tokens=32)
    scored_BT, _ = policy.score(*as_lists(rows))
    assert torch.allclose(
        read.logprob_N, torch.cat([scored_BT[i, : len(row.tokens)] for i, row in enumerate(rows)]), atol=1e-4
    )
    for layer in (0, 1):
        expected_ND = policy.completion_residuals(prompts, completions, layer)
        assert torch.allclose(read.residuals[layer], expected_ND, atol=1e-4)
        ends_BD = policy.completion_residuals(
            [row.prompt_ids[:-1] for row in rows], [row.prompt_ids[-1:] for row in rows], layer
        )
        assert torch.allclose(read.prompt_ends[layer], ends_BD, atol=1e-4)


def test_likelihood_is_the_mean_and_the_least_log_probability(policy):
    rows = rows_of(policy)
    scored_BT, _ = policy.score(*as_lists(rows))
    x_BF = read_columns([Likelihood()], policy, rows).x_BF
    for i, row in enumerate(rows):
        logprobs = scored_BT[i, : len(row.tokens)]
        assert x_BF[i].tolist() == pytest.approx([float(logprobs.mean()), float(logprobs.min())], abs=1e-4)


def test_a_residual_is_read_at_the_token_before_the_marker_and_is_nan_without_one(policy):
    rows = rows_of(policy)
    x_BF = read_columns([Residual(1)], policy, rows).x_BF
    assert BEFORE_MARKER.mask(rows[0].roles).index(True) == len(rows[0].tokens) - 2
    resid_TD = policy.completion_residuals([rows[0].prompt_ids], [rows[0].tokens], 1)
    assert torch.allclose(x_BF[0].float(), resid_TD[-2], atol=1e-4)
    assert x_BF[3].isnan().all() and not x_BF[:3].isnan().any()


def test_before_a_direct_answer_the_end_of_the_prompt_is_read(policy):
    row = make_rollout(1, length=2, tokens=(27, 11), roles=("marker", "answer"))
    x_BF = read_columns([Residual(1)], policy, [row]).x_BF
    end_1D = policy.completion_residuals([row.prompt_ids[:-1]], [row.prompt_ids[-1:]], 1)
    assert torch.allclose(x_BF.float(), end_1D, atol=1e-4)


def test_latents_are_codes_of_that_residual_or_their_pre_activations(policy):
    tsae = make_dictionary(policy.d_model, 12)
    rows = rows_of(policy)
    columns = read_columns([Residual(1), Latents(tsae, 1), Latents(tsae, 1, before_threshold=True)], policy, rows)
    assert columns.widths == (policy.d_model, 12, 12) and columns.is_readable_B.tolist() == [True] * 3 + [False]
    resid_BD, codes_BF, hidden_BF = columns.x_BF[:3].float().split(columns.widths, 1)
    assert torch.allclose(codes_BF, tsae.encode(resid_BD), atol=1e-4)
    assert torch.allclose(hidden_BF, tsae.pre_activations(resid_BD), atol=1e-4)


def test_the_parser_says_format_and_whether_all_steps_are_there():
    rows = [make_rollout(1, format="steps", depth=2, steps=[(0, 1, True, True)] * n) for n in (2, 1, 3)] + [
        make_rollout(1, format="direct", depth=None)
    ]
    columns = read_columns([Format(("steps", "direct")), Completeness()], None, rows)
    assert columns.x_BF[:3].tolist() == [[1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert columns.x_BF[3, :2].tolist() == [0, 1] and columns.x_BF[3, 2:].isnan().all()


def test_the_codes_of_a_dictionary_that_loses_nothing_are_the_residual():
    x_ND, whole = torch.randn(5, 8), controls.residual_dictionary(8, 2)
    assert torch.equal(whole.reconstruct(x_ND), x_ND) and (whole.encode(x_ND) > 0).sum(1).tolist() == [8] * 5


def test_a_text_without_a_token_of_some_roles_cannot_be_read_and_any_other_says_nothing():
    rows = [
        make_rollout(1, roles=("carry", "end")),
        make_rollout(1, roles=("result", "end")),
        make_rollout(1, roles=()),
    ]
    x_BF = read_columns([WithRoles()], None, rows).x_BF
    assert x_BF[0].tolist() == [0] and x_BF[1:].isnan().all()


def test_the_text_says_how_its_tokens_differ_from_those_of_the_prompt():
    row = make_rollout(1, length=3, tokens=(1, 1, 2), prompt_ids=(1, 3), roles=("carry", "carry", "end"))
    x_F = read_columns([TextCounts(buckets=4)], None, [row]).x_BF[0]
    assert x_F[:12].tolist() == [0, 1, 0, 1, 0, 2, 1, 0, 0, 1, 1, 1]
    assert x_F[12:-1].sum() == 3 and x_F[-1] == 3


def test_without_a_reader_only_the_text_is_read():
    with pytest.raises(BadInput, match="expected a policy to read likelihood, got none"):
        read_columns([Likelihood()], None, [make_rollout(1)])


@pytest.mark.parametrize("sources", [[], Likelihood(), [3]])
def test_what_is_no_list_of_sources_is_refused(sources):
    from interp.credit import ReadoutCredit

    with pytest.raises(BadInput, match="expected a list of sources"):
        ReadoutCredit(sources)


def test_a_dictionary_of_another_size_layer_or_policy_is_refused(policy):
    tsae = make_dictionary(policy.d_model, 12)
    with pytest.raises(Mismatch, match=f"expected a policy of d_model {policy.d_model + 1}"):
        Latents(make_dictionary(policy.d_model + 1, 12), 1).expect_reader(policy)
    with pytest.raises(Mismatch, match="fitted on other policies"):
        Latents(replace(tsae, made_from={"policy-0": "other"}), 1).expect_reader(policy)
    Latents(replace(tsae, made_from={"policy-0": policy.fingerprint()}), 1).expect_reader(policy)
    with pytest.raises(BadInput, match="expected a dictionary of layer 0, got one of layer 1"):
        Latents(replace(tsae, layer=1), 0)
    with pytest.raises(Mismatch, match=f"expected a layer below {policy.n_layers}"):
        Residual(7).expect_reader(policy)


# --- labels, range, controls ---------------------------------------------------------------------------------------


def test_labels_leave_out_what_was_not_judged_or_cannot_be_read(policy):
    rows = rows_of(policy)
    rows[0] = make_rollout(1, length=2, tokens=(4, 5), roles=("text", "marker"), valid=None)
    labels = label_rollouts([Residual(1)], policy, rows)
    assert len(labels) == 2 and labels.is_valid_A.tolist() == [False, False]


def test_edits_in_any_number_count_as_few_audits_at_the_base_rate():
    is_valid_A = [True, True, False, False, False, False]
    rows = [make_rollout(1, format="steps" if flag else "direct", valid=flag) for flag in is_valid_A]
    labels = with_base_rate(label_rollouts([Format(("steps",))], None, rows), 0.1, 20)
    assert labels.weight_A.tolist() == pytest.approx([1, 1, 4.5, 4.5, 4.5, 4.5])
    assert float((labels.weight_A * labels.is_valid_A).sum()) == pytest.approx(2)


def test_texts_like_those_of_the_base_lie_in_its_range_and_others_do_not(policy):
    generator = torch.Generator().manual_seed(0)
    texts = [
        tuple(torch.randint(4, 30, (int(n),), generator=generator).tolist())
        for n in torch.randint(3, 9, (400,), generator=generator)
    ]
    rows = [make_rollout(1, length=len(text), tokens=text, problem=str(i)) for i, text in enumerate(texts)]
    source = TextCounts(buckets=2)
    region = TextRange.fit([source], policy, rows[:200])
    inside_B = region.contains(read_columns([source], policy, rows[200:]))
    assert 0.93 < float(inside_B.double().mean()) <= 1
    far = make_rollout(1, length=60, tokens=(5,) * 60)
    assert not region.contains(read_columns([source], policy, [far])).item()
    with pytest.raises(Mismatch, match="expected the base whose texts set the range"):
        region.expect_reader(tiny_policy(seed=1))
    with pytest.raises(BadInput, match="at least 50 texts"):
        TextRange.fit([source], policy, rows[:49])
    with pytest.raises(BadInput, match="expected texts of many problems"):
        TextRange.fit([source], policy, [replace(row, problem="one") for row in rows])


def test_answers_to_new_problems_lie_in_the_range_though_answers_to_one_problem_are_alike(policy):
    generator = torch.Generator().manual_seed(0)

    def answers(problem: int):
        words = torch.randint(4, 30, (8,), generator=generator).tolist()
        return [
            make_rollout(1, length=9, tokens=(*words, 4 + i), prompt_ids=tuple(words), problem=str(problem), sample=i)
            for i in range(4)
        ]

    rows = [row for problem in range(160) for row in answers(problem)]
    source = TextCounts(buckets=13)
    region = TextRange.fit([source], policy, rows[:320])
    assert float(region.contains(read_columns([source], policy, rows[320:])).double().mean()) > 0.9


def test_numbers_that_never_differ_are_a_range_of_their_own(policy):
    rows = [make_rollout(1, format="steps", problem=str(i)) for i in range(60)]
    region = TextRange.fit([Format(("steps",))], policy, rows)
    others = [rows[0], make_rollout(1, format="direct")]
    assert region.contains(read_columns([Format(("steps",))], policy, others)).tolist() == [True, False]


def test_permuted_numbers_are_those_of_other_rollouts_and_the_same_each_time(policy):
    rows = rows_of(policy)
    source = Permuted(Likelihood(), seed=3)
    x_BF = read_columns([Likelihood()], policy, rows).x_BF
    permuted_BF = read_columns([source], policy, rows).x_BF
    assert sorted(permuted_BF.tolist()) == sorted(x_BF.tolist())
    assert not (permuted_BF == x_BF).all(1).any(), "none has its own"
    assert torch.equal(permuted_BF, read_columns([source], policy, rows).x_BF)
    assert read_columns([source], policy, []).x_BF.shape[0] == 0
    assert not read_columns([source], policy, rows[:1]).is_readable_B.any(), "one alone has no other"


def test_random_latents_are_active_as_often_and_as_long_as_those_they_replace():
    generator = torch.Generator().manual_seed(0)
    x_ND = torch.randn(500, 8, generator=generator)
    tsae = make_dictionary(8, 20)
    other = random_dictionary(tsae, x_ND, seed=1)
    assert torch.allclose(other.W_dec.norm(dim=1), tsae.W_dec.norm(dim=1), atol=1e-5)
    share_F, other_F = ((each.encode(x_ND) > 0).double().mean(0) for each in (tsae, other))
    assert float((share_F - other_F).abs().max()) < 1e-9
    cosine_F = torch.nn.functional.cosine_similarity(other.W_dec, tsae.W_dec, dim=1)
    assert cosine_F.abs().mean() < 0.5
    assert not torch.equal(other.W_enc, random_dictionary(tsae, x_ND, seed=2).W_enc)


def test_random_latents_are_the_same_if_few_codes_fit_into_memory(monkeypatch):
    x_ND = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    tsae = make_dictionary(8, 20)
    whole = random_dictionary(tsae, x_ND, seed=1)
    monkeypatch.setattr(controls, "ENTRIES", 3 * 200)
    parts = random_dictionary(tsae, x_ND, seed=1)
    assert torch.equal(parts.W_enc, whole.W_enc) and torch.allclose(parts.b_enc, whole.b_enc, atol=1e-5)
    assert parts.width == 20 and parts.block_widths == tsae.block_widths


def test_a_reading_of_no_rollouts_has_no_rows():
    assert isinstance(columns := read_columns([Format()], None, []), Columns) and len(columns.x_BF) == 0


def test_random_latents_are_active_as_often_where_they_are_read(policy):
    ids = torch.randint(4, 24, (60, 4), generator=torch.Generator().manual_seed(1)).tolist()
    roles = ("text", "text", "text", "marker")
    rows = [make_rollout(1, tokens=tuple(own), roles=roles, sample=at) for at, own in enumerate(ids)]
    source = Latents(make_dictionary(policy.d_model, 12), 1)
    other = random_latents(source, policy, rows, 0)
    assert not torch.equal(other.tsae.W_enc, source.tsae.W_enc)
    reading = read_rollouts(policy, rows, places_of(source), logprobs=False)
    x_SD, _ = reading.residuals_at(1, source.selector)
    ours_F, theirs_F = ((one.tsae.encode(x_SD) > 0).double().mean(0) for one in (other, source))
    assert len(x_SD) == 60 and ours_F.tolist() == pytest.approx(theirs_F.tolist(), abs=1e-9)
