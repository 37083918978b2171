"""Names of the chain task's levels in studies' arms and ledgers, which were written before the levels were renamed."""

from interp.tasks import Chain

LEVEL_OF_ARM = dict(Chain.RENAMED_FIELDS)
"""easy -> shallow, medium -> middle, hard -> deep."""
