"""All checkpoints of a series have one tokenizer: the same text is the same tokens, or the series is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_policy

from interp.artifacts import BadInput, Mismatch
from interp.rollouts import Series


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("run")
    for step in (0, 1):
        tiny_policy(seed=step, vocab_size=40).save(root / f"checkpoint-{step}")
    return root


@pytest.fixture
def run(shared, tmp_path) -> Path:
    return Path(shutil.copytree(shared, tmp_path / "run"))


def edit(run: Path, change: Callable[[Any], None], **options: Any) -> None:
    file = run / "checkpoint-1" / "tokenizer.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content, **options))


def swap(content: Any) -> None:
    words = content["model"]["vocab"]
    words["+"], words["-"] = words["-"], words["+"]


def rename(content: Any) -> None:
    words = content["model"]["vocab"]
    words["plus"] = words.pop("+")


def move_special(content: Any) -> None:
    [end] = [token for token in content["added_tokens"] if token["content"] == "<eos>"]
    end["id"] = 33


def add_padding(content: Any) -> None:
    added = dict(content["added_tokens"][0])
    content["added_tokens"].append(added | {"id": 30, "content": "<|pad|>"})


def test_a_file_that_was_written_otherwise_with_the_same_tokens_is_the_same(run):
    edit(run, lambda content: None, indent=4, sort_keys=True)
    assert Series.from_dir(run).steps == (0, 1)


def test_a_token_that_only_one_checkpoint_has_is_accepted(run):
    edit(run, add_padding)
    assert Series.from_dir(run).steps == (0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap, r"30 words; got another, in which 2 of them differ, e.g. '\+': expected id 24, got id 25"),
        (
            rename,
            r"30 words; got another, in which 1 of them differ, e.g. '\+': expected id 24, got 'plus' for that id",
        ),
        (move_special, "30 words; got another, in which 1 of them differ, e.g. '<eos>': expected id 2, got id 33"),
    ],
)
def test_other_tokens_are_refused_naming_both_checkpoints(run, change, message):
    edit(run, change)
    for opens in (Series.from_dir, lambda path: Series.from_dirs([path / "checkpoint-0", path / "checkpoint-1"])):
        with pytest.raises(Mismatch, match=message) as caught:
            opens(run)
        assert str(caught.value).startswith(f"{run / 'checkpoint-1'}: expected the tokenizer of {run / 'checkpoint-0'}")


def test_it_can_be_left_out_with_the_reason(run):
    edit(run, swap)
    series = Series.from_dir(run, skip_bad=True)
    assert series.steps == (0,) and series.skipped[0][0] == 1 and "got another" in series.skipped[0][1]


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 5}', '{"model": {"vocab": {}}, "added_tokens": [1]}'])
def test_a_damaged_tokenizer_is_refused_by_name(run, content):
    (run / "checkpoint-1" / "tokenizer.json").write_text(content)
    with pytest.raises(BadInput, match=r"checkpoint-1/tokenizer.json: expected"):
        Series.from_dir(run)


def test_pieces_with_scores_are_compared_by_their_place(run):
    for step, pieces in ((0, ["a", "b"]), (1, ["b", "a"])):
        content = {"model": {"vocab": [[piece, -1.0] for piece in pieces]}}
        (run / f"checkpoint-{step}" / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(
        Mismatch, match="2 words; got another, in which 2 of them differ, e.g. 'a': expected id 0, got id 1"
    ):
        Series.from_dir(run)


def test_another_number_of_tokens_in_the_model_is_refused_naming_both(run):
    tiny_policy(seed=2, vocab_size=48).save(run / "checkpoint-2")
    with pytest.raises(BadInput, match=r"checkpoint-2: expected the architecture of .*checkpoint-0 \(vocab_size 40\)"):
        Series.from_dir(run)
