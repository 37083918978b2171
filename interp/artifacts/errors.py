"""The two errors that a user can cause. Each message says what was expected, what was found, and what to do."""


class BadInput(ValueError):
    """An input that cannot be used."""


class Mismatch(BadInput):
    """Two artifacts that do not belong together."""
