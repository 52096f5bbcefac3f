"""What many pools offer to a claim: chapter 12."""

from aiq.model import Band, LimitSpec
from tests.rules.ledger import Ledger
from tests.rules.test_dispatch import ids


def spread_over_pools(bands: list[Band]) -> Ledger:
    """One job behind each of as many limits, in the order in which they came."""
    ledger = Ledger()
    for number, band in enumerate(bands):
        ledger.put(LimitSpec(name=f"l{number}", requests=1_000))
        ledger.add(f"{number}", limits=(f"l{number}",), band=band)
    return ledger


def test_a_claim_looks_at_no_more_pools_than_it_takes_jobs_from() -> None:
    ledger = spread_over_pools([Band.NORMAL] * 50)
    ledger.looked = 0

    assert ids(ledger.claim(3)) == ["0", "1", "2"]
    assert ledger.looked == 3


def test_an_urgent_job_of_one_pool_goes_before_those_of_all_others() -> None:
    ledger = spread_over_pools([Band.NORMAL] * 20 + [Band.HIGH])
    ledger.looked = 0

    assert ids(ledger.claim(2)) == ["20", "0"]
    assert ledger.looked == 2


def test_a_pool_of_which_a_job_was_given_waits_for_those_that_came_before_its_next() -> None:
    ledger = spread_over_pools([Band.NORMAL] * 3)
    ledger.add("3", limits=("l0",))

    assert ids(ledger.claim(4)) == ["0", "1", "2", "3"]
