"""What a worker may believe of a lease, by its own clock."""

import pytest

from aiq.engine.leases import Held, Leases, local_end_ms
from aiq.errors import LostReason
from aiq.model import Lease


class Nobody:
    def cancel_requested(self) -> None: ...

    def lost(self, reason: LostReason) -> None: ...


def held(lease_ms: int = 30_000, sent_ms: int = 0, job: str = "job") -> Held:
    return Held(Lease(job, 1, "lease"), lease_ms, sent_ms, Nobody())


@pytest.mark.parametrize(
    ("lease_ms", "margin_ms"), [(100, 10), (5_000, 500), (10_000, 1_000), (30_000, 1_000), (3_600_000, 1_000)]
)
def test_a_lease_ends_here_a_tenth_of_it_before_it_ends_there_and_at_most_a_second(
    lease_ms: int, margin_ms: int
) -> None:
    assert local_end_ms(0, lease_ms) == lease_ms - margin_ms


def test_a_lease_is_live_up_to_its_local_end_and_not_at_it() -> None:
    lease = held(10_000, sent_ms=5_000)

    assert lease.live(13_999)
    assert not lease.live(14_000)


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    lease = held(10_000)
    lease.renewed(sent_ms=8_000, lease_ms=10_000)

    assert lease.live(16_999)
    assert not lease.live(17_000)


def test_a_renewal_for_a_shorter_time_ends_earlier() -> None:
    lease = held(10_000)
    lease.renewed(sent_ms=1_000, lease_ms=1_000)

    assert not lease.live(1_900)


def test_an_expired_lease_stays_expired() -> None:
    lease = held(10_000)
    lease.ran_out(sent_ms=1_000)
    lease.renewed(sent_ms=1_001, lease_ms=10_000)

    assert not lease.live(1_002)


def test_silence_begins_one_lease_after_the_local_end() -> None:
    lease = held(10_000)

    assert not lease.silent(18_999)
    assert lease.silent(19_000)


def test_an_answer_that_the_lease_has_expired_is_no_silence() -> None:
    lease = held(10_000)
    lease.ran_out(sent_ms=15_000)

    assert not lease.silent(33_999)
    assert lease.silent(34_000)


def test_two_runs_of_one_job_are_two_leases() -> None:
    leases = Leases()
    zombie, owner = held(), Held(Lease("job", 2, "other"), 30_000, 0, Nobody())
    leases.add([zombie, owner])
    leases.drop([zombie.lease, Lease("unknown", 1, "x")])

    assert leases.all() == [owner]
