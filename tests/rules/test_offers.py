"""What many pools offer to a claim: chapter 12."""

import pytest

from aiq.model import Band, LimitSpec
from aiq.rules.books import Front
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


def test_of_the_only_pool_nobody_asks_whose_turn_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    asked: list[str] = []
    ledger.put(LimitSpec(name="l", requests=1_000))
    for number in range(5):
        ledger.add(f"{number}", limits=("l",))
    monkeypatch.setattr(ledger, "front", asked.append)
    monkeypatch.setattr(ledger, "fronts", lambda: [Front(Band.NORMAL, 1, "l|")])

    assert ids(ledger.claim(5)) == ["0", "1", "2", "3", "4"]
    assert asked == []


def test_an_urgent_job_of_one_pool_goes_before_those_of_all_others() -> None:
    ledger = spread_over_pools([Band.NORMAL] * 20 + [Band.HIGH])
    ledger.looked = 0

    assert ids(ledger.claim(2)) == ["20", "0"]
    assert ledger.looked == 2


def test_a_pool_of_which_a_job_was_given_waits_for_those_that_came_before_its_next() -> None:
    ledger = spread_over_pools([Band.NORMAL] * 3)
    ledger.add("3", limits=("l0",))

    assert ids(ledger.claim(4)) == ["0", "1", "2", "3"]
