"""A clock that only a test moves."""

_START_MS = 1_700_000_000_000


class Clock:
    """Stands still until it is turned. Call it for the time; a storage opened with it has no other.

    Times are milliseconds since 1970, as in the contract. It may be read from any thread.
    """

    def __init__(self, now_ms: int = _START_MS) -> None:
        self._now_ms = now_ms

    def __call__(self) -> int:
        """The time that it shows."""
        return self._now_ms

    def advance_ms(self, ms: int) -> None:
        """Turn it on by `ms`, or back if that is negative, as a clock that is put right does."""
        self._now_ms += ms

    def set_ms(self, now_ms: int) -> None:
        """Turn it to an instant, such as the very end of a lease."""
        self._now_ms = now_ms

    def __repr__(self) -> str:
        return f"Clock({self._now_ms})"
