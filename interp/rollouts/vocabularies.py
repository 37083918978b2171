"""One tokenizer for a whole series: the same text must be the same tokens at every checkpoint.

Equal files are equal. Where they differ, as another version of a library writes them, the tokens decide: each that two
checkpoints have must have one id in both. A checkpoint may have tokens that the other lacks, as a trainer adds a
padding token. Without a tokenizer.json nothing is compared.
"""

import filecmp
from pathlib import Path

from interp.artifacts import Mismatch, reading
from interp.policy.files import read_object


def expect_same_tokens(first: Path, other: Path) -> None:
    """Refuse a directory whose tokenizer gives other ids to the tokens of the first one's."""
    files = [directory / "tokenizer.json" for directory in (first, other)]
    if not all(file.exists() for file in files) or filecmp.cmp(*files, shallow=False):
        return
    ids, other_ids = map(_token_ids, files)
    differing = {token for token in ids.keys() & other_ids.keys() if ids[token] != other_ids[token]}
    tokens, other_tokens = ({id_: token for token, id_ in each.items()} for each in (ids, other_ids))
    exchanged = {tokens[id_] for id_ in tokens.keys() & other_tokens.keys() if tokens[id_] != other_tokens[id_]}
    if different := sorted(differing | exchanged, key=lambda token: ids[token]):
        token = different[0]
        got = f"id {other_ids[token]}" if token in other_ids else f"{other_tokens[ids[token]]!r} for that id"
        raise Mismatch(
            f"{other}: expected the tokenizer of {first}, {len(ids)} words; got another, in which {len(different)} of "
            f"them differ, e.g. {token!r}: expected id {ids[token]}, got {got}: a series is one policy in training, so "
            "the same text must be the same tokens"
        )


def _token_ids(file: Path) -> dict[str, int]:
    """The id of each token of a tokenizer.json, added ones too."""
    with reading(file, "a tokenizer as JSON", remedy="copy it again"):
        content = read_object(file)
        vocabulary = content["model"].get("vocab", {})
        if isinstance(vocabulary, list):  # unigram models: the id is the place
            vocabulary = {token: i for i, (token, _) in enumerate(vocabulary)}
        return {**vocabulary, **{token["content"]: token["id"] for token in content.get("added_tokens") or []}}
