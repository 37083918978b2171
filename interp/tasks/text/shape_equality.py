"""Equality of shapes: of their kind, and of the formulae inside, by value.

Every formula is worked out once, at points that both shapes share. Then members are matched, so the work is at most one
comparison of values for every pair of members.
"""

from typing import Any

from interp.tasks.text.formulas import Apply, Node
from interp.tasks.text.shapes import Member, Shape, as_shape, is_assignment, is_infinite, letters_in
from interp.tasks.text.values import NEEDED_POINTS, agree, is_near, points_for, value_at


def same_shape(truth: Shape, answer: Shape, *key: str) -> bool:
    """Whether an answer is equal to the truth. `key` seeds the points of comparison."""
    comparison = _Comparison(points_for(letters_in(truth) | letters_in(answer), *key))
    if (truth.kind == "relation") != (answer.kind == "relation"):
        truth, answer = (comparison.right_side(shape) for shape in (truth, answer))
    return comparison.same(truth, answer)


class _Comparison:
    def __init__(self, points: list[dict[str, Any]]) -> None:
        self.points = points
        self.values_of: dict[Node, list[Any]] = {}

    def right_side(self, shape: Shape) -> Shape:
        """The right side of `x = 7`, and of an identity such as `5x - 3x = 2x`; any other shape as it is."""
        if is_assignment(shape):
            return as_shape(shape.members[1])
        is_identity = shape.kind == "relation" and shape.sign == "=" and self.same_member(*shape.members)
        return as_shape(shape.members[1]) if is_identity else shape

    def same(self, truth: Shape, answer: Shape) -> bool:
        kinds = (truth.kind, answer.kind)
        if kinds in (("list", "list"), ("union", "union")):
            return len(truth.members) == len(answer.members) and self.is_matched(truth, answer)
        if set(kinds) <= {"list", "set"}:
            return self.is_matched(truth, answer)
        if truth.kind == "list" and len(answer.kind) == 2:  # the truth has no brackets, so any may be put around it
            return self.same_in_order(truth, answer)
        if kinds == ("relation", "relation"):
            return self.same_relation(truth, answer)
        return (truth.kind, truth.columns) == (answer.kind, answer.columns) and self.same_in_order(truth, answer)

    def same_in_order(self, truth: Shape, answer: Shape) -> bool:
        pairs = zip(truth.members, answer.members, strict=False)
        return len(truth.members) == len(answer.members) and all(self.same_member(*pair) for pair in pairs)

    def is_matched(self, truth: Shape, answer: Shape) -> bool:
        """Whether every member of one is in the other; without a set among them, as often."""
        equal = [[self.same_member(left, right) for right in answer.members] for left in truth.members]
        if "set" in (truth.kind, answer.kind):
            return all(any(row) for row in equal) and all(any(column) for column in zip(*equal, strict=True))
        free = set(range(len(answer.members)))
        for row in equal:
            match = next((i for i in sorted(free) if row[i]), None)
            if match is None:
                return False
            free.remove(match)
        return not free

    def same_member(self, truth: Member, answer: Member) -> bool:
        if isinstance(truth, Shape) or isinstance(answer, Shape):
            return self.same(as_shape(truth), as_shape(answer))
        if is_infinite(truth) or is_infinite(answer):
            return truth == answer
        return agree(self.values(truth), self.values(answer))

    def values(self, node: Node) -> list[Any]:
        if node not in self.values_of:
            self.values_of[node] = [value_at(node, point) for point in self.points]
        return self.values_of[node]

    def same_relation(self, truth: Shape, answer: Shape) -> bool:
        if truth.sign != answer.sign or len(truth.members) != len(answer.members):
            return False
        if is_assignment(truth) and is_assignment(answer) and truth.members[0] == answer.members[0]:
            return self.same_member(truth.members[1], answer.members[1])
        sides = [member for shape in (truth, answer) for member in shape.members if not isinstance(member, Shape)]
        if len(sides) != 4:
            return self.same_in_order(truth, answer)
        left, right = Apply("-", (sides[0], sides[1])), Apply("-", (sides[2], sides[3]))
        return self.is_multiple(self.values(left), self.values(right), truth.sign in ("=", "!="))

    def is_multiple(self, truth: list[Any], answer: list[Any], either_sign: bool) -> bool:
        """Whether the values of an answer are those of the truth times one factor, not 0."""
        pairs = [(a, b) for a, b in zip(truth, answer, strict=True) if a is not None]
        if len(pairs) < min(NEEDED_POINTS, len(truth)) or any(a == 0 or not b for a, b in pairs):
            return False
        ratios = [b / a for a, b in pairs]
        is_constant = all(is_near(ratio, ratios[0]) for ratio in ratios)
        return is_constant and (either_sign or (ratios[0].imag == 0 and ratios[0].real > 0))
