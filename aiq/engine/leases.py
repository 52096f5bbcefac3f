"""What this worker knows of the leases it holds, shared by the loop that runs jobs and the thread that renews.

A worker fences itself. The storage's clock is not ours, but a lease begins no earlier than when its claim or
renewal was sent; so it is certainly live until that moment + its length, measured by our own clock, less a margin
for two clocks that do not run equally fast.
"""

from collections.abc import Iterable
from threading import Lock
from typing import Final, Protocol

from aiq.errors import LostReason
from aiq.model import Lease

MAX_MARGIN_MS: Final = 1_000


class Owner(Protocol):
    """The run that a lease belongs to. Called in the thread of the loop that runs jobs."""

    def cancel_requested(self) -> None:
        """Somebody asked the job to stop."""
        ...

    def lost(self, reason: LostReason) -> None:
        """The lease is no longer good; anything but EXPIRED ends the run."""
        ...


def local_end_ms(sent_ms: int, lease_ms: int) -> int:
    """Until when a lease is certainly live, by the clock that read `sent_ms` before the request went out."""
    return sent_ms + lease_ms - min(MAX_MARGIN_MS, lease_ms // 10)


class Held:
    """One lease and what was last heard of it.

    Live until `ends_ms`; then expired here: the run may settle late and starts nothing new. `silent` one lease
    later, when not even an answer has come that the job is still ours to settle.
    """

    __slots__ = ("asked_to_cancel", "ends_ms", "expired", "gone", "heard_ms", "lease", "lease_ms", "owner")

    def __init__(self, lease: Lease, lease_ms: int, sent_ms: int, owner: Owner) -> None:
        self.lease = lease
        self.lease_ms = lease_ms
        self.ends_ms = local_end_ms(sent_ms, lease_ms)
        self.owner = owner
        self.expired = False
        """The storage said so; no renewal brings it back."""
        self.gone = False
        """The keeper has told the owner that it is over."""
        self.asked_to_cancel = False
        """The keeper has told the owner of a cancel."""
        self.heard_ms = sent_ms

    def renewed(self, sent_ms: int, lease_ms: int) -> None:
        """A renewal sent at `sent_ms` was granted for `lease_ms`."""
        self.lease_ms = lease_ms
        self.ends_ms = local_end_ms(sent_ms, lease_ms)
        self.heard_ms = sent_ms

    def ran_out(self, sent_ms: int) -> None:
        """The storage answered that the lease has expired, and that nobody has taken the job yet."""
        self.expired = True
        self.heard_ms = sent_ms

    def live(self, now_ms: int) -> bool:
        """Whether the run may start something new."""
        return now_ms < self.ends_ms and not self.expired

    def silent(self, now_ms: int) -> bool:
        """Whether nothing was heard for one more lease after its end."""
        return now_ms >= local_end_ms(self.heard_ms, self.lease_ms) + self.lease_ms


class Leases:
    """The leases of one worker, by token. Two threads use it, so each method takes the one lock, shortly."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[Lease, Held] = {}

    def add(self, batch: Iterable[Held]) -> None:
        """Keep these from now on."""
        with self._lock:
            self._held.update((held.lease, held) for held in batch)

    def drop(self, leases: Iterable[Lease]) -> None:
        """Forget these; those that are not here do not matter."""
        with self._lock:
            for lease in leases:
                self._held.pop(lease, None)

    def all(self) -> list[Held]:
        """Those held at this moment, oldest first."""
        with self._lock:
            return list(self._held.values())

    def __len__(self) -> int:
        return len(self._held)
