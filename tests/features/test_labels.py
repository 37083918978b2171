"""The facts of every token, read off the rollouts by hand."""

from features_fixtures import label
from grpo_fixtures import make_rollout

from interp.features.labels import AFTER_END

ROLES = ("carry", "operator", "operand", "equals", "result", "separator", "marker", "answer", "end")
CHAIN = {"length": 9, "roles": ROLES, "format": "steps", "depth": 3, "steps": [(0, 6, True, True)]}
DIRECT = {"length": 3, "roles": ("marker", "answer", "end"), "format": "direct", "depth": 3}


def test_every_token_has_the_facts_of_itself_of_the_next_token_and_of_its_rollout():
    labeled = label([make_rollout(1, valid=True, **CHAIN), make_rollout(0, problem="q", **DIRECT)])
    assert labeled["rollout"].tolist() == [0] * 9 + [1] * 3 and labeled["problem"].tolist() == [0] * 9 + [1] * 3
    assert labeled["position"].tolist() == [*range(9), *range(3)]
    assert labeled["role"].tolist() == [*ROLES, *ROLES[6:]]
    assert labeled["next_role"].tolist() == [*ROLES[1:], AFTER_END, *ROLES[7:], AFTER_END]
    assert labeled["next_token"].tolist() == [*range(5, 13), -1, 5, 6, -1]
    assert labeled["next_right"].tolist() == [1] * 5 + [-1] * 7, (
        "the step has tokens 0 to 5, and token 0 has none before"
    )
    assert labeled["valid"].tolist() == [1] * 9 + [0] * 3 and set(labeled["depth"]) == {3}


def test_a_step_is_right_only_if_it_holds_and_follows_and_unknown_if_either_is():
    steps = [(0, 2, True, True), (2, 4, True, False), (4, 6, None, True)]
    labeled = label([make_rollout(length=7, steps=steps)])
    assert labeled["next_right"].tolist() == [1, 0, 0, -1, -1, -1, -1]


def test_the_same_operands_in_another_order_differ():
    chains = [(3, 9, 4, 10, 7, 11, 12, 7, 2), (4, 9, 3, 10, 7, 11, 12, 7, 2), (3, 9, 4, 10, 7, 11, 12, 7, 2)]
    labeled = label([make_rollout(1, **CHAIN, tokens=tokens) for tokens in chains])
    first, second, third = labeled["operands"][labeled["role"] == "equals"]
    assert first == third != second


def test_an_answer_agrees_with_a_planted_shortcut_or_not_or_there_is_none():
    rollouts = [
        make_rollout(answer=answer, prompt=prompt, length=1) for prompt, answer in (("a", "7"), ("a", "8"), ("b", "7"))
    ]
    labeled = label(rollouts, decoys={"a": {"cue": "7"}, "b": {}}.__getitem__)
    assert labeled["cue"].tolist() == [1, 0, -1] and labeled["copy"].tolist() == [-1] * 3
    assert label([make_rollout(answer=None, length=1)], decoys=lambda _: {"cue": "7"})["cue"].tolist() == [-1]
