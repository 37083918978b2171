"""What belongs together: tracks and what they are made from, buckets and their base, roles and their dictionary."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import Mismatch, fingerprint
from interp.rollouts.buckets import Buckets
from interp.rollouts.series import Checkpoint
from interp.tasks.base import Task
from interp.tracking.tracker import Asked
from interp.tsae import TSAE

if TYPE_CHECKING:
    from interp.features import Roles
    from interp.policy import Policy


def making(tsae: TSAE, chosen: Sequence[Checkpoint], task: Task, asked: Mapping[str, Asked]) -> dict[str, str]:
    """Fingerprints of all that tracks are made from: also of which problems are asked, and in which buckets."""
    policies = {f"policy-{member.step}": member.fingerprint() for member in chosen}
    problems = {corpus: fingerprint(*(f"{b} {p.id}" for b, _, p in one.everything)) for corpus, one in asked.items()}
    return {"tsae": tsae.fingerprint(), "task": task.fingerprint(), **policies, **problems}


def expect_measured_on(buckets: Buckets | None, base: Checkpoint) -> None:
    if buckets is not None and buckets.made_from.get("policy") != (wanted := base.fingerprint()):
        raise Mismatch(
            f"expected buckets measured on the base, {wanted}; got some of {buckets.made_from.get('policy')}: "
            "measure them on this base (interp bucket)"
        )


def expect_width(policy: "Policy", tsae: TSAE, member: Checkpoint) -> None:
    if policy.d_model != tsae.d_model:
        raise Mismatch(
            f"{member.path}: expected a policy of d_model {tsae.d_model}, as the dictionary's; got "
            f"{policy.d_model}: fit a dictionary on this series"
        )


def expect_roles_of(roles: "Roles | None", tsae: str) -> None:
    """Of the dictionary with this fingerprint."""
    if roles is not None and (made := roles.made_from.get("tsae", tsae)) != tsae:
        raise Mismatch(
            f"expected roles of the latents of this dictionary, {tsae}; got some of another's, {made}: earn them with "
            "this one (earn_roles)"
        )


def expect_one_vocabulary(members: Sequence[Checkpoint]) -> None:
    """Text is read by all as the same tokens. Where a tokenizer says its words in another file, nobody looks."""
    first, words = members[0], _words(members[0].path)
    for member in members[1:]:
        if words is not None and (theirs := _words(member.path)) not in (None, words):
            raise Mismatch(
                f"{member.path}: expected the tokenizer of {first.path}, {len(words)} words; got another, "
                f"{len(theirs or ())} words: the same text would be other tokens, so compare policies that share one"
            )


def _words(path: Path) -> "dict[str, int] | list[object] | None":
    file = path / "tokenizer.json"
    return (json.loads(file.read_text()).get("model") or {}).get("vocab") if file.exists() else None
