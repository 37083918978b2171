"""The roles study: texts that differ in one thing alone, rules that turn records into verdicts, and what is written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput, fingerprint_config
from interp.features import Roles, RolesConfig, Trial
from interp.features.ablation import Effect, Mean
from interp.features.falsification import Falsified
from interp.features.interchange import Interchanged, Pair
from interp.organism import shipped
from interp.policy import Policy
from interp.policy.sample import Samples
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import judge
from interp.studies.roles.claims import ABOUT, CLAIMS
from interp.studies.roles.config import RolesStudyConfig
from interp.studies.roles.pairs import cue_pairs, operand_pairs, token_of
from interp.studies.roles.study import write
from interp.studies.roles.truth import agreement, truth
from interp.studies.roles.verdicts import judge as judged_by
from interp.studies.roles.work import GATES, Job, held_against, key_of, organism_config
from interp.studies.verdict import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from interp.tasks import Chain
from interp.tasks.base import seeded
from interp.tasks.chain import demonstrate, parse_prompt
from interp.tasks.chain.program import apply

TASK = Chain(cue_rate=0.5)

# --- pairs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(shipped(), device="cpu")


def written(policy: Policy, index: int, habit: str, *, level: Any = None, skip: float = 0.0) -> Rollout:
    """What the organism would have written in a habit, judged by its task."""
    problem = TASK.problem("train", level, index)
    text = demonstrate(TASK.program(problem), habit, seeded(index, skip), skip=skip)
    (prompt,) = policy.encode([problem.prompt])
    tokens_1L = torch.tensor([[*policy.tokenizer(text, add_special_tokens=False)["input_ids"], policy.stop[0]]])
    nothing_1L, length = torch.zeros(tokens_1L.shape), tokens_1L.shape[1]
    samples = Samples(tokens_1L, nothing_1L, nothing_1L, torch.tensor([length]), torch.tensor([True]))
    (row,) = judge(policy, TASK, [problem], [prompt], samples, run="hand", step=0, bar=False)
    return row


def words_of(policy: Policy, ids: tuple[int, ...]) -> list[str]:
    """After the word that every text begins with."""
    return [word.strip() for word in policy.words(ids)[1:]]


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.sampled_from(["direct", "copy", "cue"]))
def test_texts_of_a_cue_pair_differ_in_the_cue_alone_and_call_for_their_cues(policy, index, habit):
    row = written(policy, index, habit)
    (pair,) = cue_pairs(policy, [row], TASK.modulus)
    text, other = words_of(policy, pair.text), words_of(policy, pair.other)
    assert text == [*row.prompt.split(), "#"], "up to the answer, which is to come"
    (at,) = [at for at in range(len(text)) if text[at] != other[at]]
    assert text[at - 1] == "@" and other[at].isdigit() and int(other[at]) < TASK.modulus
    assert (pair.next, pair.other_next) == (token_of(policy, int(text[at])), token_of(policy, int(other[at])))


def test_only_answers_at_once_beside_a_cue_make_cue_pairs(policy):
    rows = [written(policy, at, "steps") for at in range(5)]
    assert cue_pairs(policy, rows, TASK.modulus) == []
    row = written(policy, 0, "direct")
    assert cue_pairs(policy, [replace(row, prompt=row.prompt.split(" @")[0] + " ?")], TASK.modulus) == []
    assert cue_pairs(policy, [replace(row, roles=("text",) * len(row.roles))], TASK.modulus) == []


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 10), st.sampled_from([0.0, 0.3]))
def test_texts_of_an_operand_pair_differ_in_it_alone_and_call_for_their_right_results(policy, index, depth, skip):
    """In question and step; and what each calls for is what its own words come to."""
    row = written(policy, index, "steps", level=depth, skip=skip)
    pairs = operand_pairs(policy, [row], TASK.modulus)
    assert len(pairs) <= 1
    for pair in pairs:
        text, other = words_of(policy, pair.text), words_of(policy, pair.other)
        asked = len(row.prompt.split())
        assert text[:asked] == row.prompt.split() and text[-1] == other[-1] == "=", "the result is to come"
        question, step = [at for at in range(len(text)) if text[at] != other[at]]
        assert question < asked < step == len(text) - 2
        for told, called in ((text, pair.next), (other, pair.other_next)):
            left, op, right = told[-4:-1]
            assert called == token_of(policy, apply(op, int(left), int(right), TASK.modulus))
            program = parse_prompt(" ".join(told[:asked]), TASK.modulus)
            at = (len(told) - asked) // 6
            assert program.rest[at] == (op, int(right)) and [program.first, *program.values()][at] == int(left)
            assert called == token_of(policy, list(program.values())[at])
        assert pair.next != pair.other_next


def test_only_right_steps_of_right_beginnings_make_operand_pairs(policy):
    right = [written(policy, at, "steps", level=4) for at in range(30)]
    assert len(operand_pairs(policy, right, TASK.modulus)) > 20
    wrong = [replace(row, steps=tuple(replace(step, holds=False) for step in row.steps)) for row in right]
    assert operand_pairs(policy, wrong, TASK.modulus) == []
    late = [replace(r, steps=(r.steps[0], *(replace(step, follows=None) for step in r.steps[1:]))) for r in right]
    assert {len(pair.text) - len(row.prompt_ids) for row in late for pair in operand_pairs(policy, [row], 5)} == {4}
    assert operand_pairs(policy, [written(policy, at, "values", level=4) for at in range(9)], TASK.modulus) == []
    assert operand_pairs(policy, [written(policy, at, "direct") for at in range(9)], TASK.modulus) == []


def test_an_operand_that_leads_nowhere_else_makes_no_pair(policy):
    """Zero times anything is zero."""
    rows = [written(policy, at, "steps", level=1) for at in range(200)]
    idle = [row for row in rows if row.prompt.startswith("0 *")]
    assert idle and operand_pairs(policy, idle, TASK.modulus) == []


# --- truth -------------------------------------------------------------------------------------------------------


def test_where_the_whole_residual_moves_nothing_nothing_carries():
    """A policy that does not heed value 4: what one latent does there is no share of anything."""
    pairs = [Pair((1,), (2,), 4, 6)] * 9 + [Pair((1,), (2,), 5, 7)] * 9
    moved_PF, whole_P = np.tile([0.5, 0.0], (18, 1)), np.r_[np.full(9, -1.0), np.full(9, 2.0)]
    known = truth(pairs, Interchanged(moved_PF, whole_P))
    assert known.carriers == {0} and known.effect_F.tolist() == [0.25, 0]
    nothing = truth(pairs[:9], Interchanged(moved_PF[:9], whole_P[:9]))
    assert nothing.carriers == set() and agreement(nothing, [0])["recall"] is None
    assert truth([], Interchanged(np.zeros((0, 2)), np.zeros(0))).carriers == set()


# --- verdicts ----------------------------------------------------------------------------------------------------


def record(seed: int, *, precision: Any, effect: Any = 0.9, first: Any = 0.5, alarms: Any = 0.0) -> dict[str, Any]:
    """What an organism would have to say, the same of both things."""

    def gate(name: str) -> dict[str, Any]:
        told = precision if name == "all three" else first
        counts = {"said": 4, "hits": 2, "carriers": 8, "precision": told, "recall": 0.25, "recall by effect": effect}
        return {**counts, "false alarms": {"others": 90, "passed": 1, "rate": alarms}}

    gates = {name: gate(name) for name in GATES}
    return {"seed": seed, "things": {thing: {"gates": gates, "at random": {"precision": 0.05}} for thing in ABOUT}}


def verdicts(**told: tuple[Any, ...]) -> dict[str, str]:
    named = [dict(zip(told, values, strict=True)) for values in zip(*told.values(), strict=True)]
    records = [record(seed, **{"precision": 0.5} | one) for seed, one in enumerate(named)]
    judged = {j.claim.name: j.verdict for j in judged_by(records)}
    for name, verdict in judged.items():
        thing = next(thing for thing in ABOUT if name.startswith(thing))
        assert judged[name.replace(thing, "cue")] == verdict, "the same records, the same verdicts"
    return {name.removeprefix("cue-"): verdict for name, verdict in judged.items() if name.startswith("cue-")}


HIGH, MIDDLE, LOW = (0.9, 0.92, 0.94), (0.5, 0.8, 1.0), (0.1, 0.12, 0.14)


@pytest.mark.parametrize(
    ("measure", "claim", "values", "verdict"),
    [
        ("precision", "precise", HIGH, SUPPORTED),
        ("precision", "precise", LOW, NOT_SUPPORTED),
        ("precision", "precise", MIDDLE, INCONCLUSIVE),
        ("precision", "precise", (None, None, 0.99), INCONCLUSIVE),
        ("precision", "precise", (None, 0.99, 0.98), SUPPORTED),
        ("effect", "found", HIGH, SUPPORTED),
        ("effect", "found", LOW, NOT_SUPPORTED),
        ("effect", "found", (0.3, 0.5, 0.8), INCONCLUSIVE),
        ("precision", "gates-matter", HIGH, SUPPORTED),
        ("precision", "gates-matter", LOW, NOT_SUPPORTED),
        ("precision", "gates-matter", (0.5, 0.51, 0.49), NOT_SUPPORTED),  # surely no more than next to nothing
        ("precision", "gates-matter", (0.4, 0.5, 0.7), INCONCLUSIVE),
        ("precision", "gates-matter", (None, None, None), INCONCLUSIVE),
        ("alarms", "chance", (0.0, 0.0, 0.0), SUPPORTED),
        ("alarms", "chance", (0.01, 0.012, 0.014), SUPPORTED),
        ("alarms", "chance", HIGH, NOT_SUPPORTED),
        ("alarms", "chance", (0.0, 0.05, 0.1), INCONCLUSIVE),
    ],
)
def test_each_claim_is_judged_by_its_rule(measure, claim, values, verdict):
    assert verdicts(**{measure: values})[claim] == verdict


def test_every_claim_has_a_rule_and_one_organism_decides_nothing():
    judged = judged_by([record(101, precision=1.0)])
    assert [j.claim for j in judged] == list(CLAIMS) and {j.verdict for j in judged} == {INCONCLUSIVE}
    assert all("Supported" in claim.rule and "inconclusive" in claim.rule for claim in CLAIMS)


def test_the_result_is_written_as_data_as_a_table_and_as_a_page(tmp_path):
    out, config = tmp_path / "results" / "roles", RolesStudyConfig()
    records = [record(101 + at, precision=p, first=0.5) for at, p in enumerate(HIGH)]
    judged = write(records, config, out)
    data = json.loads((out / "result.json").read_text())
    assert data["verdict"] == {j.claim.name: j.verdict for j in judged} and data["verdict"]["cue-precise"] == SUPPORTED
    assert data["seeds"] == [101, 102, 103] and data["config"]["width"] == config.width
    assert data["arms"]["computation"]["all three"]["precision"]["value"] == pytest.approx(0.92)
    assert set(data["arms"]["cue"]) == set(GATES) and data["command"] == "interp study roles"
    text = (out / "README.md").read_text()
    assert "| all three | 4.0 [4.0, 4.0] | 8.0 [8.0, 8.0] | 0.92 [" in text
    assert "| drawn at random |  |  | 0.05 [0.05, 0.05] |" in text
    assert all(claim.claim in text and claim.rule in text for claim in CLAIMS)
    page, script = (out / "figure.html").read_text(), tmp_path / "results" / "plotly.min.js"
    assert 'src="../plotly.min.js"' in page and "https://cdn" not in page and script.exists()


# --- jobs --------------------------------------------------------------------------------------------------------


def test_a_record_hangs_on_what_was_run_and_not_on_where_or_how_many():
    job = Job(101, RolesStudyConfig(), Path("runs"))
    more = replace(job.config, seeds=9, first_seed=50, processes=1)
    assert key_of(job) == key_of(Job(101, more, Path("elsewhere")))
    others = [Job(102, job.config, job.runs), *(replace(job, config=replace(job.config, **{name: value}))
              for name, value in (("width", 64), ("problems", 9), ("follows", 0.2), ("most", 5)))]  # fmt: skip
    assert len({fingerprint_config(key_of(one)) for one in (job, *others)}) == 6


def test_an_organism_lies_where_its_own_settings_say_and_is_taught_the_habit():
    job = Job(101, RolesStudyConfig(), Path("runs"))
    assert job.organism == replace(job, config=replace(job.config, width=64, problems=9)).organism
    assert job.organism != replace(job, config=replace(job.config, follows=0.2)).organism
    made = organism_config(job)
    assert made.task.cue_rate == 0.6 and made.habits.shares() == pytest.approx(
        {"steps": 0.45, "direct": 0.25, "values": 0, "copy": 0, "cue": 0.3}
    )
    assert made.seed == 101 and made.start == shipped()


def test_strange_settings_of_the_study_are_refused():
    with pytest.raises(BadInput, match="width must be at least 1; got 0"):
        RolesStudyConfig(width=0)
    with pytest.raises(BadInput, match=r"^cue_rate must lie between 0 and 1; got 1.5$"):
        RolesStudyConfig(cue_rate=1.5)
    with pytest.raises(BadInput, match="expected at most 1 together, got 0.8 and 0.3"):
        RolesStudyConfig(follows=0.8, direct=0.3)


def test_latents_are_held_against_the_truth_gate_by_gate():
    """0 carries and passes all, 1 carries and is stopped by the last gate, 2 and 3 carry nothing, 4 was not tried."""

    def trial(latent: int, *, tells: bool = True, void: float = 0.0, nats: float = -1.0, name: str = "cue 7") -> Trial:
        withstood, lost = Falsified(0, 1, "", 0, void), Mean(nats, nats - 0.1, nats + 0.1)
        return Trial(latent, "shortcut", name, 0.9, 1, 0, 0.9, tells, withstood, Effect(lost, lost), None, (0.0,))

    tried = (trial(0), trial(1, nats=-0.01), trial(2, void=1.0), trial(3, name="result 4"))
    drawn = (trial(0), trial(3, tells=False), trial(2))
    roles = Roles(tried, drawn, 5, (), {}, RolesConfig(), 2)
    moved_PF = np.array([[3.0, 1.0, 0.0, 0.0, 1.0]] * 4)
    known = truth([Pair((1,), (2,), 7, 8)] * 4, Interchanged(moved_PF, np.full(4, 4.0)))
    assert known.carriers == {0, 1, 4}
    found = held_against(roles, "cue", known)
    shares = {name: (told["said"], told["hits"], told["false alarms"]["rate"]) for name, told in found["gates"].items()}
    assert shares == {
        "the first gate": (3, 2, 0.5),
        "the first two": (2, 2, 0.5),
        "the first and the third": (2, 1, 0.5),
        "all three": (1, 1, 0.5),
    }
    assert found["gates"]["all three"]["recall by effect"] == pytest.approx(0.6)
    assert found["at random"]["precision"] == pytest.approx(1 / 3)
