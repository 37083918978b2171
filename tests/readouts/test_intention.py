"""The lens from latents to the next token, and the surprise of what stands there."""

from dataclasses import replace

import pytest
import torch

from interp.artifacts import BadInput
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.readouts import Intention, fit_lens, intention, lucky_edits, read_columns
from interp.rollouts import roll_out
from interp.tsae import TSAE


def test_a_lens_finds_which_latent_says_which_token():
    next_N = torch.arange(300) % 3 + 10
    codes_NF = torch.eye(4)[next_N - 10]
    lens = fit_lens(codes_NF, next_N, ridge=0.01)
    assert lens.tokens == (10, 11, 12)
    assert lens.surprise(codes_NF[:3], next_N[:3]).max() < 0.1
    wrong_N = lens.surprise(codes_NF[:3], (next_N[:3] - 9) % 3 + 10)
    assert wrong_N.min() > 2
    assert torch.allclose(
        lens.surprise(codes_NF[:1], torch.tensor([99])), lens.surprise(codes_NF[:1], next_N[1:2]), atol=0.1
    )


def test_a_lens_that_knows_nothing_gives_the_frequency_of_tokens():
    next_N = torch.tensor([5] * 150 + [6] * 50)
    lens = fit_lens(torch.zeros(200, 2), next_N)
    assert lens.surprise(torch.zeros(1, 2), torch.tensor([5])).exp().item() == pytest.approx(4 / 3, rel=1e-3)


def test_too_few_tokens_are_refused():
    with pytest.raises(BadInput, match="at least 100 tokens to fit a lens on, got 3"):
        fit_lens(torch.zeros(3, 2), torch.tensor([1, 2, 3]))


def test_steps_that_were_not_due_surprise_the_latents_of_the_base():
    """On the organism, with its residual as dictionary: edits of valid chains against the chains themselves."""
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    sampling = SampleConfig(group=8, rows=256)
    rows = roll_out(base, task, task.problems("train", 3, 60), sampling, progress=False).rows
    eye_DF, zeros_F = torch.cat([torch.eye(64), -torch.eye(64)], 1), torch.zeros(128)
    tsae = TSAE(eye_DF, zeros_F, eye_DF.T.clone(), torch.zeros(64), zeros_F, (128,), layer=2)
    source = Intention.fit(tsae, 2, base, rows[: len(rows) // 2])
    valid = [row for row in rows[len(rows) // 2 :] if row.valid]
    strays = [row for row in lucky_edits(base, task, valid) if row.run in ("operand", "operator")]
    surprises = {
        name: read_columns([source], base, some).x_BF[:, 1] for name, some in (("valid", valid), ("strays", strays))
    }
    above = (surprises["strays"][:, None] > surprises["valid"]).double().mean()
    assert len(valid) > 10 and len(strays) > 10 and float(above) > 0.9


def test_the_first_token_of_a_text_is_read_at_the_end_of_its_prompt():
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    sampling = SampleConfig(group=4, rows=256)
    rows = roll_out(base, task, task.problems("train", 3, 60), sampling, progress=False).rows
    eye_DF, zeros_F = torch.cat([torch.eye(64), -torch.eye(64)], 1), torch.zeros(128)
    tsae = TSAE(eye_DF, zeros_F, eye_DF.T.clone(), torch.zeros(64), zeros_F, (128,), layer=2)
    source = Intention.fit(tsae, 2, base, rows)
    written = [row for row in rows if row.roles and row.roles[0] in source.roles]
    others = [
        replace(row, tokens=(written[at - 1].tokens[0], *row.tokens[1:]))
        for at, row in enumerate(written)
        if written[at - 1].tokens[0] != row.tokens[0]
    ]
    own_BF, other_BF = (read_columns([source], base, some).x_BF for some in (written, others))
    assert len(others) > 30 and float(other_BF[:, 1].mean()) > float(own_BF[:, 1].mean()) + 1


def test_a_dictionary_in_half_precision_is_read_a_part_at_a_time_as_a_whole_one(monkeypatch):
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    rows = roll_out(base, task, task.problems("train", 3, 12), SampleConfig(group=4, rows=64), progress=False).rows
    eye_DF, zeros_F = torch.eye(64).bfloat16(), torch.zeros(64).bfloat16()
    tsae = TSAE(eye_DF, zeros_F, eye_DF.clone(), zeros_F.clone(), zeros_F.clone(), (64,), layer=2)
    source = Intention.fit(tsae, 2, base, rows)
    whole_BF = read_columns([source], base, rows).x_BF
    monkeypatch.setattr(intention, "ENTRIES", 7 * 64)
    parts_BF = read_columns([source], base, rows).x_BF
    assert whole_BF.isfinite().any() and torch.allclose(parts_BF, whole_BF, atol=0.1, equal_nan=True)


def test_a_rollout_without_such_tokens_cannot_be_read():
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    rows = roll_out(base, task, task.problems("train", 2, 40), SampleConfig(group=4, rows=256), progress=False).rows
    eye_DF, zeros_F = torch.eye(64), torch.zeros(64)
    tsae = TSAE(eye_DF, zeros_F, eye_DF.clone(), torch.zeros(64), zeros_F, (64,), layer=2)
    x_BF = read_columns([Intention.fit(tsae, 2, base, rows)], base, rows).x_BF
    is_direct = torch.tensor([row.format == "direct" for row in rows])
    assert torch.equal(x_BF.isnan().all(1), is_direct) and x_BF[~is_direct].isfinite().all()
