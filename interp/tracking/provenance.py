"""Checks that inputs belong together (buckets and base, roles and dictionary, tokenizers), and the spec of tracks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import Mismatch, parse_json, reading, same_fingerprint, to_json
from interp.policy.files import MAX_TOKENIZER
from interp.rollouts.buckets import Buckets
from interp.rollouts.series import Checkpoint
from interp.tasks.base import Task
from interp.tracking.config import ON_POLICY, CorpusProblems, TrackConfig
from interp.tsae import TSAE

if TYPE_CHECKING:
    from interp.features import Roles
    from interp.policy import Policy


def track_spec(
    tsae: TSAE,
    checkpoints: Sequence[Checkpoint],
    task: Task,
    config: TrackConfig,
    problems: Mapping[str, CorpusProblems],
    **options: Any,
) -> dict[str, Any]:
    """Everything that decides tracks: config and options, and fingerprints of the dictionary, the task, the checkpoints
    and the problems of each corpus in their buckets."""
    made_from = {"tsae": tsae.fingerprint(), "task": task.fingerprint()}
    made_from |= {f"policy-{checkpoint.step}": checkpoint.fingerprint() for checkpoint in checkpoints}
    made_from |= {corpus: each.fingerprint() for corpus, each in problems.items()}
    prompts = {bucket: len(each) for bucket, each in problems[ON_POLICY].buckets.items()}
    steps = [checkpoint.step for checkpoint in checkpoints]
    return {"config": {**to_json(config), **options, "steps": steps, "prompts": prompts}, "made_from": made_from}


def expect_measured_on(buckets: Buckets | None, base: Checkpoint) -> None:
    """Refuse buckets that were measured on another base."""
    if buckets is None:
        return
    measured_on, expected = buckets.made_from.get("policy"), base.fingerprint()
    if not same_fingerprint(expected, measured_on):
        raise Mismatch(
            f"expected buckets measured on the base, {expected}; got buckets measured on {measured_on}: measure them "
            "on this base (interp bucket)"
        )


def expect_width(tsae: TSAE, policy: "Policy", checkpoint: Checkpoint) -> None:
    if policy.d_model != tsae.d_model:
        raise Mismatch(
            f"{checkpoint.path}: expected a policy of d_model {tsae.d_model}, as the dictionary's; got "
            f"{policy.d_model}: fit a dictionary on this series"
        )


def expect_roles_of(roles: "Roles | None", tsae: str) -> None:
    """Refuse roles of another dictionary than the one with this fingerprint."""
    if roles is not None and (earned_by := roles.made_from.get("tsae", tsae)) != tsae:
        raise Mismatch(
            f"expected roles of the latents of this dictionary, {tsae}; got roles of another's, {earned_by}: earn them "
            "with this one (earn_roles)"
        )


def role_of_each_latent(roles: "Roles | None", tsae: str, width: int) -> tuple[str, ...] | None:
    """Role of each latent, of the dictionary with this fingerprint and width. None without roles."""
    expect_roles_of(roles, tsae)
    if roles is not None and roles.width != width:
        raise Mismatch(f"expected roles of a dictionary of {width} latents, got {roles.width}: earn them again")
    return None if roles is None else tuple(roles.role_of(latent) for latent in range(width))


def expect_one_vocabulary(checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse checkpoints whose tokenizers map words to other tokens. Not checked without a tokenizer.json."""
    first, vocabulary = checkpoints[0], _vocabulary(checkpoints[0].path)
    for checkpoint in checkpoints[1:]:
        if vocabulary is not None and (other := _vocabulary(checkpoint.path)) not in (None, vocabulary):
            raise Mismatch(
                f"{checkpoint.path}: expected the tokenizer of {first.path}, {len(vocabulary)} words; got another, "
                f"{len(other or ())} words: the same text would be other tokens, so compare policies that share one"
            )


def _vocabulary(path: Path) -> "dict[str, int] | list[object] | None":
    if not (file := path / "tokenizer.json").exists():
        return None
    tokenizer = parse_json(file, "a tokenizer", max_bytes=MAX_TOKENIZER)
    with reading(file, "a tokenizer"):
        return (tokenizer.get("model") or {}).get("vocab")
