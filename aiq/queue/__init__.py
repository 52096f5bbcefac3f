"""The queue: what producers hold. It opens a storage, hands jobs to it, and gives their handles back.

`queue` has the class, with all that enqueues; behind it are `jobs` (what is done with jobs that are stored) and `line`
(the name, and opening and closing the storage).
"""

from aiq.queue.queue import Queue

__all__ = ["Queue"]
