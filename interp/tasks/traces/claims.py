"""What a text claims to have computed: its links, joined with the calculator annotations that repeat them.

`48+24 = <<48+24=72>>72` is one claim, not two. What stands outside the brackets is what a reader is told, so it
decides; the annotation steps in where the outer equation cannot be read or judged (`$5/person * the number of guests =
$<<5*2=10>>10`), and stands for itself where there is no outer equation (`she has <<16-3=13>>13 left`).
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from fractions import Fraction

from interp.tasks.traces.equations import Link, find_links
from interp.tasks.traces.judge import judge, running_head
from interp.tasks.traces.lexer import Token, lex
from interp.tasks.traces.nodes import Node, Number, Operation, as_written, work_out


@dataclass(frozen=True, slots=True)
class Claim:
    start: int
    end: int
    holds: bool | None
    left: Node | None
    """Whose operands have to come from somewhere."""
    result: Fraction | None
    links: tuple[Link, ...]
    """The outer link, and those inside its annotation: where the roles of the characters come from."""


def find_claims(text: str) -> list[Claim]:
    tokens = lex(text)
    plain = [t for t in tokens if t.kind != "note"]
    starts = [t.start for t in plain]
    claims = {link.at: _claim(link) for link in find_links(plain)}
    alone = []
    for note in (t for t in tokens if t.kind == "note"):
        inner = [_claim(link) for link in find_links(lex(text, note.start + 2, note.end - 2))]
        before = bisect_left(starts, note.start) - 1  # the note belongs to the sign it stands right behind
        if not inner:
            continue
        if before in claims:
            claims[before] = _joined(claims[before], _whole(note, inner))
        elif isinstance(inner[0].left, Operation):
            alone.append(_whole(note, inner))
    ordered = sorted([*claims.values(), *alone], key=lambda c: (c.start, c.end))
    return _disjoint(ordered)


def _claim(link: Link) -> Claim:
    head = running_head(link)
    end = head.end if head is not None else link.end
    return Claim(link.start, end, judge(link), link.left, _result(head or link.right), (link,))


def _result(right: Node | None) -> Fraction | None:
    return None if right is None else as_written(right) if isinstance(right, Number) else work_out(right)


def _whole(note: Token, inner: list[Claim]) -> Claim:
    """An annotation as one claim, even if it is a chain: it holds if every link does."""
    verdicts = [c.holds for c in inner]
    holds = False if False in verdicts else None if None in verdicts else True
    links = tuple(link for c in inner for link in c.links)
    return Claim(note.start, note.end, holds, inner[0].left, inner[-1].result, links)


def _joined(outer: Claim, note: Claim) -> Claim:
    end = max(outer.end, note.end)
    if outer.holds is not None:
        return replace(outer, end=end, links=outer.links + note.links)
    left = outer.left if isinstance(outer.left, Operation) else note.left
    result = note.result if outer.result is None else outer.result
    return Claim(outer.start, end, note.holds, left, result, outer.links + note.links)


def _disjoint(claims: list[Claim]) -> list[Claim]:
    """A link of a chain begins where the one before it ended: characters belong to one step."""
    kept: list[Claim] = []
    for claim in claims:
        start = max(claim.start, kept[-1].end) if kept else claim.start
        if start < claim.end:
            kept.append(replace(claim, start=start))
    return kept
