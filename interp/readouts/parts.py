"""The parts of a completion, and what sources read in each: for readouts that say where a chain goes wrong.

A part goes from the start of a written step to the start of the next. Text before the first step is a part, text
between the last step and the announcement of the answer is one, and what follows from there is the last. Where a part
begins is known from the parser; whether it is right, only the verifier says.

A part is itself a rollout, to which everything before it is given: its tokens are its own, the rest is its prompt. So
every source reads parts as it reads rollouts. The reader goes over each completion once.

    at the last token of each part       Latents(tsae, layer, selector=STEP_END)
    likelihood of its tokens             Likelihood()
    as many steps as due, up to here     Completeness()
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from interp.features.families import ANSWER_ROLES, TokenSelector
from interp.features.labels import AFTER_END
from interp.policy.policy import Policy
from interp.readouts.columns import Columns, Labels, Origin, columns_of, needs_of
from interp.readouts.reading import MICRO_TOKENS, Place, Reading, read_rollouts, select_tokens
from interp.readouts.sources import Source
from interp.rollouts.record import Rollout, TokenStep

STEP_END = TokenSelector(next_roles=(AFTER_END,))
"""The last token of a part."""
IN_EACH_PART = "in each part"
"""Stands among the sources of labels that are of parts, and not of rollouts."""


# --- parts -----------------------------------------------------------------------------------------------------------


def part_starts(rollout: Rollout) -> tuple[int, ...]:
    """The token at which each part begins, ascending from 0. Empty without tokens."""
    length = len(rollout.tokens)
    last_end = max((step.end for step in rollout.steps), default=0)
    announced = next((at for at in range(last_end, length) if rollout.roles[at] in ANSWER_ROLES), last_end)
    starts = {0, last_end, announced, *(step.start for step in rollout.steps)}
    return tuple(sorted(start for start in starts if start < length))


def split_parts(rollout: Rollout) -> list[Rollout]:
    """The parts of a rollout, as rollouts to which the tokens before them are given."""
    starts = part_starts(rollout)
    return [_part(rollout, start, end) for start, end in pairwise([*starts, len(rollout.tokens)])]


def _part(rollout: Rollout, start: int, end: int) -> Rollout:
    steps = [step for step in rollout.steps if start <= step.start < end]
    before = sum(step.start < start for step in rollout.steps)
    has_error = rollout.first_error is not None and start <= rollout.first_error < end
    return replace(
        rollout,
        prompt_ids=(*rollout.prompt_ids, *rollout.tokens[:start]),
        tokens=rollout.tokens[start:end],
        logprobs=rollout.logprobs[start:end],
        entropies=rollout.entropies[start:end],
        roles=rollout.roles[start:end],
        steps=tuple(
            TokenStep(step.start - start, min(step.end, end) - start, step.holds, step.follows) for step in steps
        ),
        first_error=rollout.first_error - start if has_error and rollout.first_error is not None else None,
        hint_tokens=(rollout.hint_tokens or 0) + start,
        hint_steps=(rollout.hint_steps or 0) + before,
        advantages=None,
        credit=None,
    )


def part_verdicts(rollout: Rollout) -> list[bool | None]:
    """Whether each part is right, given that all before it are: False of the one with the first error, None of those
    behind it. None also from the first part on that was not judged."""
    verdicts: list[bool | None] = []
    bounds = [*part_starts(rollout), len(rollout.tokens)]
    for start, end in pairwise(bounds):
        verdict = _verdict(rollout, start, end) if all(verdicts) else None
        verdicts.append(verdict)
    return verdicts


def _verdict(rollout: Rollout, start: int, end: int) -> bool | None:
    if rollout.first_error is not None and rollout.first_error < end:
        return False
    own = [step for step in rollout.steps if start <= step.start < end]
    if any(step.holds is None or step.follows is None for step in own):
        return None
    return rollout.valid if end == len(rollout.tokens) else True


# --- what is read in them --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartColumns:
    """A row of numbers for each part of some rollouts, one rollout after another."""

    columns: Columns
    rollout_P: Int[Tensor, " P"]
    """Index of the rollout of each part."""
    start_P: Int[Tensor, " P"]
    """The token at which each part begins."""

    def at(self, rollouts: Sequence[int]) -> "PartColumns":
        """The parts of some of the rollouts."""
        rows = [row for one in rollouts for row in (self.rollout_P == one).nonzero()[:, 0].tolist()]
        places = {one: place for place, one in enumerate(rollouts)}
        rollout_P = torch.tensor([places[int(self.rollout_P[row])] for row in rows], dtype=torch.long)
        return PartColumns(self.columns.at(rows), rollout_P, self.start_P[rows])


def read_parts(sources: Sequence[Source], reader: Policy | None, rollouts: Sequence[Rollout]) -> PartColumns:
    """What the sources read in the parts of rollouts, from one pass of `reader` over the rollouts."""
    places, needs_logprobs = needs_of(sources, reader)
    reading = _read_by_part(reader, rollouts, places, logprobs=needs_logprobs)
    starts = [part_starts(rollout) for rollout in rollouts]
    return PartColumns(
        columns_of(sources, reading),
        torch.arange(len(rollouts)).repeat_interleave(_counts(starts)),
        torch.tensor([start for own in starts for start in own], dtype=torch.long),
    )


def _read_by_part(
    reader: Policy | None, rollouts: Sequence[Rollout], places: Sequence[Place], *, logprobs: bool
) -> Reading:
    """A reading with parts in the place of rollouts. The prompt of a part ends at the token before it."""
    by_rollout = [split_parts(rollout) for rollout in rollouts]
    parts = [part for own in by_rollout for part in own]
    if reader is None or not parts or not (places or logprobs):
        return read_rollouts(reader, parts, places, logprobs=logprobs)  # reads no policy
    part_N = torch.arange(len(parts)).repeat_interleave(_counts([part.tokens for part in parts]))
    is_last_N = part_N != torch.cat([part_N[1:], torch.tensor([-1])])
    is_read = {layer: is_last_N for layer, _ in places}
    for layer, selector in dict.fromkeys(places):
        is_read[layer] = is_read[layer] | select_tokens(parts, selector)
    prompts, completions = [row.prompt_ids for row in rollouts], [row.tokens for row in rollouts]
    read = reader.read_completions(prompts, completions, is_read, logprobs=logprobs, micro_tokens=MICRO_TOKENS)
    rollout_P = torch.arange(len(rollouts)).repeat_interleave(_counts(by_rollout))
    is_first_P = torch.tensor([at == 0 for own in by_rollout for at in range(len(own))])
    ends = {
        layer: torch.where(
            is_first_P[:, None],
            read.prompt_ends[layer][rollout_P],
            read.residuals[layer][is_last_N[is_read_N]].roll(1, 0),
        )
        for layer, is_read_N in is_read.items()
    }
    return Reading(parts, part_N, read.logprob_N, read.residuals, ends, is_read)


def _counts(of: Sequence[Sequence[object]]) -> Int[Tensor, " B"]:
    return torch.tensor([len(each) for each in of], dtype=torch.long)


def label_parts(sources: Sequence[Source], reader: Policy | None, rollouts: Sequence[Rollout]) -> Labels:
    """Labels from verified rollouts: of each part up to the first error, whether it is right. Parts that cannot be
    read, or were not judged, are left out."""
    read = read_parts(sources, reader, rollouts)
    rows = _labeled_rows(read, rollouts)
    parts = [part for rollout in rollouts for part in split_parts(rollout)]
    origin = Origin.of(sources, reader, [parts[row] for row in rows])
    return replace(part_labels(read, rollouts), origin=replace(origin, sources=(*origin.sources, IN_EACH_PART)))


def part_labels(read: PartColumns, rollouts: Sequence[Rollout]) -> Labels:
    """The same, of what was read before."""
    verdicts, rows = _verdicts(rollouts), _labeled_rows(read, rollouts)
    is_right_A = torch.tensor([bool(verdicts[row]) for row in rows], dtype=torch.bool)
    return Labels(read.columns.at(rows), is_right_A, torch.ones(len(rows), dtype=torch.float64))


def _verdicts(rollouts: Sequence[Rollout]) -> list[bool | None]:
    return [verdict for rollout in rollouts for verdict in part_verdicts(rollout)]


def _labeled_rows(read: PartColumns, rollouts: Sequence[Rollout]) -> list[int]:
    """The parts that were judged and can be read."""
    readable = read.columns.is_readable_B.tolist()
    return [row for row, verdict in enumerate(_verdicts(rollouts)) if verdict is not None and readable[row]]
