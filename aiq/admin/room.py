"""What the rooms of `Admin` have in common.

`aiq.schedule.ScheduleAdmin` has the same of its own: if it took this, the two modules would import each other.
"""

from aiq.storage import Storage


class Room:
    """A part of `Admin`: the storage that it asks, and the queue that counts where code names none."""

    def __init__(self, storage: Storage, queue: str = "default") -> None:
        self._storage = storage
        self._queue = queue
