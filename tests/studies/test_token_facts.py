"""Facts about tokens, as one reads them off a written answer."""

import polars as pl
import pytest
import torch

from interp.activations import TokenTable, Writer
from interp.studies.dictionary_config import FAST, SLOW
from interp.studies.token_facts import FactSample, sample_facts

STEPS = ["2", "+", "1", "?", "2", "+", "1", "=", "3", ";", "3", "*", "2", "=", "1", ";", "#", "1"]
DIRECT = ["2", "?", "#", "1"]
STEP_ROLES = ["carry", "operator", "operand", "equals", "result", "separator"]


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> FactSample:
    """A written answer and a direct one: 14 and 2 tokens of completions."""
    words = [*STEPS, *DIRECT]
    roles = ["prompt"] * 4 + STEP_ROLES * 2 + ["marker", "answer"] + ["prompt", "prompt", "marker", "answer"]
    names, vocabulary = tuple(dict.fromkeys(roles)), sorted(set(words))
    table = TokenTable(
        ids=torch.tensor([vocabulary.index(word) for word in words], dtype=torch.int32),
        document=(torch.arange(len(words)) >= len(STEPS)).int(),
        position=torch.tensor([*range(len(STEPS)), *range(len(DIRECT))], dtype=torch.int32),
        role=torch.tensor([names.index(role) for role in roles], dtype=torch.uint8),
        completion=torch.tensor([False] * 4 + [True] * 14 + [False, False, True, True]),
    )
    documents = {"length": [18, 4], "prompt": [4, 2], "format": ["steps", "direct"], "valid": [True, False]}
    documents |= {"depth": [2, 2], "problem": ["p", "p"]}
    writer = Writer(tmp_path_factory.mktemp("facts") / "store", layers=(0,), d_model=2, roles=names)
    writer.add({0: torch.zeros(len(words), 2)}, table, pl.DataFrame(documents), {})
    return sample_facts(writer.finish(), 0, vocabulary, 10)


def test_completions_alone_are_sampled_with_their_documents_and_problems(facts):
    assert len(facts.x_ND) == 16 and set(facts.labels) == {*SLOW, *FAST}
    assert facts.document_N.tolist() == [0] * 14 + [1] * 2 and facts.problem_N.tolist() == [0] * 16


@pytest.mark.parametrize(
    ("fact", "labels"),
    [
        ("steps left", [2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]),
        ("running value", [-1, -1, -1, -1, -1, 3, -1, 3, 3, 3, -1, 1, 1, -1]),
        ("digit", [2, -1, 1, -1, 3, -1, 3, -1, 2, -1, 1, -1, -1, 1]),
        ("result", [-1] * 4 + [3] + [-1] * 5 + [1] + [-1] * 3),
        ("operator", [-1, 0, -1, -1, -1, -1, -1, 2] + [-1] * 6),
        ("format", [1] * 14),
        ("valid", [1] * 14),
        ("depth", [2] * 14),
    ],
)
def test_facts_of_a_written_answer_are_those_one_reads_off_it(facts, fact, labels):
    assert facts.labels[fact].tolist()[:14] == labels


def test_facts_about_steps_do_not_apply_to_a_direct_answer(facts):
    direct = {name: labels.tolist()[14:] for name, labels in facts.labels.items()}
    for fact in ("valid", "steps left", "running value", "operator", "result"):
        assert direct[fact] == [-1, -1]
    assert direct["format"] == [0, 0] and direct["digit"] == [-1, 1]
