"""What the surroundings of a storage mean, whatever the storage is."""

from typing import Final

from aiq.model import Fact, Level

_STEP_MS: Final = 1_000
"""Clocks that are corrected all the time step back by less."""


def clock_fact(newest_ms: int, now_ms: int) -> Fact:
    """Compare the newest instant that is stored with now: a clock that was put back lets everything due wait."""
    ahead_ms = newest_ms - now_ms
    if ahead_ms > _STEP_MS:
        return Fact(
            "clock",
            Level.FAIL,
            f"The clock stands {ahead_ms / 1000:,.1f} s before the newest thing stored: it was put back, or other "
            "machines run ahead. Leases, delays and windows last so much longer.",
            "Keep the clock right by NTP (chronyc tracking, timedatectl), and wait until it has caught up.",
        )
    return Fact("clock", Level.OK, "The clock stands behind nothing that is stored.")
