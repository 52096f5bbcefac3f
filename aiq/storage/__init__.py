"""The contract between aiq and whatever holds its jobs.

A Storage is made of small Protocols by noun; each method is one atomic step of the table of states
(spec/01-jobs.md), or of none. What holds for all of them:

- **Repeat.** Every write can be repeated with the same ids, and the repeat gives the first answer. After
  `Unavailable(outcome_unknown=True)` that is how the caller learns what happened.
- **Fence.** Every write of a running job carries its Lease. One that is not current is answered with
  `LeaseLost` and has no effect of any kind.
- **Time.** The clock is the store's, read inside the step. Callers pass durations in milliseconds.
- **Bounds.** Every list has a limit from `aiq.bounds`; more is `TooLarge`. Answers come in the order of
  the input.
- **Cancellation.** A cancelled call has happened wholly or not at all.
- **Errors.** Only those of `aiq.errors`: `Unavailable`, `StorageFull`, `ReadOnly` and `Corrupt` may come
  from any method and are not listed again.

A new backend implements these, satisfies `Storage` structurally, and runs `aiq.testing.conformance`.
"""

from aiq.storage.budgets import Budgets
from aiq.storage.contract import Storage, all_records, append, claim, read, settle
from aiq.storage.dead import DeadLetters
from aiq.storage.events import Events
from aiq.storage.jobs import Jobs
from aiq.storage.limits import Limits
from aiq.storage.moving import Moving
from aiq.storage.schedules import Schedules
from aiq.storage.signals import Signals
from aiq.storage.steps import Steps
from aiq.storage.streams import AppendRefused, ReadRefused, Streams
from aiq.storage.topics import events_topic, job_topic, limit_topic, queue_topic, room_topic, stream_topic
from aiq.storage.transactional import Left, Transactional
from aiq.storage.upkeep import Upkeep
from aiq.storage.wakeups import Wakeups
from aiq.storage.workers import Workers, every_worker

__all__ = [
    "AppendRefused",
    "Budgets",
    "DeadLetters",
    "Events",
    "Jobs",
    "Left",
    "Limits",
    "Moving",
    "ReadRefused",
    "Schedules",
    "Signals",
    "Steps",
    "Storage",
    "Streams",
    "Transactional",
    "Upkeep",
    "Wakeups",
    "Workers",
    "all_records",
    "append",
    "claim",
    "events_topic",
    "every_worker",
    "job_topic",
    "limit_topic",
    "queue_topic",
    "read",
    "room_topic",
    "settle",
    "stream_topic",
]
