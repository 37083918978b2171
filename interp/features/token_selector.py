"""Where a contrast is told: tokens known by what they do and what comes after them, before anybody judges.

A contrast holds some of these tokens against others by how rollouts ended (`contrasts.py`). Who reads a latent in a
rollout that is not to be judged has to look at the very same tokens, of either kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from interp.artifacts import BadInput
from interp.features.contrasts import ANSWERING
from interp.features.labels import END


@dataclass(frozen=True)
class Ground:
    roles: tuple[str, ...] = ()
    """Of its tokens. None given: any."""
    next_roles: tuple[str, ...] = ()
    """Of the tokens after them, which they foretell. None given: any."""

    @property
    def everywhere(self) -> bool:
        return not self.roles and not self.next_roles

    def told(self, roles: Sequence[str]) -> list[bool]:
        """Of the tokens of one rollout."""
        pairs = zip(roles, [*roles[1:], END], strict=False)
        return [
            (not self.roles or role in self.roles) and (not self.next_roles or after in self.next_roles)
            for role, after in pairs
        ]


AT_ONCE = Ground(roles=ANSWERING)
GROUNDS = {
    "result": Ground(next_roles=("result",)),
    "valid chain": Ground(),
    "valid end": Ground(next_roles=("marker",)),
    "valid answer": Ground(next_roles=("answer", "end")),
    "direct": AT_ONCE,
    "copy": AT_ONCE,
    "cue": AT_ONCE,
    "arranging": Ground(),
}
"""By a contrast's name, or by its kind where there is one for each value."""


def ground_of(contrast: str) -> Ground:
    for name in (contrast, contrast.split()[0]):
        if name in GROUNDS:
            return GROUNDS[name]
    raise BadInput(f"expected a contrast of {', '.join(GROUNDS)}, got {contrast!r}: it is told nobody knows where")
