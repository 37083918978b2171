"""How problems are put to a policy: prefix and suffix, chat turns, stop texts; and how a later stage asks the same."""

import warnings

import pytest

from interp.artifacts import BadInput, Mismatch, from_json, to_json
from interp.policy import PromptFormat
from interp.policy.prompts import PLAIN, same_prompts
from interp.rollouts import BucketConfig

FEW_SHOT = PromptFormat(prefix="Q: 1 + 1\nA: 2\n\nQ: ", suffix="\nA:", stop=("\n\n", "Q:"))


def test_a_problem_stands_between_prefix_and_suffix():
    assert FEW_SHOT.text("2 + 3") == "Q: 1 + 1\nA: 2\n\nQ: 2 + 3\nA:"
    assert PLAIN.text("2 + 3") == "2 + 3"


def test_in_a_chat_the_system_prompt_comes_first():
    prompts = PromptFormat(chat=True, system_prompt="Be brief.", suffix=" Say: The answer is N.")
    user = {"role": "user", "content": "2 + 3? Say: The answer is N."}
    assert prompts.turns("2 + 3?") == [{"role": "system", "content": "Be brief."}, user]
    assert PromptFormat(chat=True).turns("2 + 3?") == [{"role": "user", "content": "2 + 3?"}]


def test_an_answer_ends_before_the_first_stop_text():
    text, offsets = "5\n\nQ: 1", [(0, 1), (1, 2), (2, 4), (4, 5), (5, 7)]
    assert FEW_SHOT.answer(text, offsets) == ("5", [(0, 1)])
    assert PromptFormat(stop=("Q:",)).answer(text, offsets) == ("5\n\n", [(0, 1), (1, 2), (2, 3)])
    assert PLAIN.answer(text, offsets) == (text, offsets)
    assert PromptFormat(stop=("R:",)).answer(text, offsets) == (text, offsets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system_prompt": "Be brief."}, "system_prompt needs chat"),
        ({"stop": ("",)}, "stop must be 1 to 100 characters"),
        ({"stop": ("x" * 101,)}, "stop must be 1 to 100 characters"),
        ({"stop": ("x",) * 17}, "stop must be up to 16 texts"),
        ({"stop": "Q:"}, "stop must be a tuple; got 'Q:'"),
        ({"prefix": "\ud800"}, "prefix must be 0 to 100,000 characters"),
        ({"suffix": 3}, "suffix must be text"),
    ],
)
def test_options_that_no_policy_can_be_asked_with_are_refused(without_type_checks, options, message):
    with pytest.raises(BadInput, match=message):
        PromptFormat(**options)


def test_a_config_carries_the_format_and_older_ones_state_chat_alone():
    config = BucketConfig(n=8, chat=True, stop=("Q:",))
    assert config.prompt_format == PromptFormat(chat=True, stop=("Q:",))
    assert PromptFormat.from_config(to_json(config)) == config.prompt_format
    assert from_json(BucketConfig, to_json(config)) == config
    assert PromptFormat.from_config({"chat": True, "n": 8}) == PromptFormat(chat=True)
    assert PromptFormat.from_config(None) == PLAIN
    assert PromptFormat.stated_in({"n": 8}) is None and PromptFormat.stated_in({"chat": False}) == PLAIN


def test_a_stop_text_with_a_backslash_is_a_warning():
    with pytest.warns(UserWarning, match="holds a backslash"):
        PromptFormat(stop=("\\n",))


def test_a_stage_without_a_format_takes_that_of_the_stage_before():
    config = BucketConfig(n=8)
    with pytest.warns(UserWarning, match=r"asked as the run asked: prefix .*, suffix .*, stop"):
        taken = same_prompts(config, FEW_SHOT, of="the run")
    assert taken.prompt_format == FEW_SHOT and taken.n == 8
    assert same_prompts(config, None, of="the run") == config


def test_a_format_of_its_own_is_a_warning_or_an_error_that_names_what_differs():
    config = BucketConfig(n=8, chat=True)
    with pytest.warns(UserWarning, match=r"the prompts differ from those of the run: chat False there, True here"):
        assert same_prompts(config, PLAIN, of="the run") == config
    with pytest.raises(Mismatch, match=r"differ from those of the buckets: .*stop"):
        same_prompts(config, FEW_SHOT, of="the buckets", is_strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same_prompts(config, PromptFormat(chat=True), of="the run") == config
