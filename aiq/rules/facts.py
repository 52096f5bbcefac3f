"""What the surroundings of a storage mean, whatever the storage is."""

from typing import Final

from aiq.model import Fact, Level

MOVING: Final = "moving"
"""The name of the fact that says whether the storage can be used at all."""
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


def inbox_fact(aside: int, left: int, *, moved: bool) -> Fact:
    """Tell of jobs that were left in a transaction and cannot be stored. Spec: ENQ-10"""
    if left and moved:
        return Fact(
            "inbox",
            Level.FAIL,
            f"Jobs of {left} calls were left in a transaction after the storage had moved: nobody stores them here.",
            "Let producers use the new address, and enqueue again what aiq_inbox.content tells.",
        )
    if aside:
        return Fact(
            "inbox",
            Level.FAIL,
            f"Jobs of {aside} calls that were left in a transaction cannot be stored.",
            "aiq_inbox.error tells why. Mend the cause and set it to NULL to try again, or delete the row.",
        )
    return Fact("inbox", Level.OK, "All jobs that were left in transactions could be stored.")


def moving_fact(moved_to: str | None, loading: str | None, give_up: str) -> Fact:
    """Say whether a storage has moved, or is being loaded, and by which move. `give_up` is how to be rid of half a one.

    Spec: FACT-3
    """
    if moved_to is not None:
        return Fact(
            MOVING,
            Level.FAIL,
            f"This storage has moved to {moved_to}: every write is refused, and nothing happens here any more.",
            "Start producers and workers with that address. If the move failed: aiq export --undo.",
        )
    if loading is not None:
        return Fact(
            MOVING,
            Level.FAIL,
            f"The move {loading} is being taken in and is not over yet: until then every other write is refused.",
            "If no import is under way, it broke off: repeat it with all of the export (aiq import FILE) to go on. "
            f"To give it up, {give_up}, and open the source again with aiq export --undo.",
        )
    return Fact(MOVING, Level.OK, "The storage has not moved, and nothing is being moved into it.")
