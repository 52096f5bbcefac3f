"""Chapter 12: more urgent bands go first, and less urgent ones have a floor of a tenth."""

from typing import Any

import pytest

from aiq.model import Band, JobRecord, Lane, LimitSpec, Released
from aiq.storage import Storage
from aiq.testing.actions import claim_some, end, get_one, job, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import need, offered, put_limit, units, wait_of

BANDS = {"i": Band.INTERACTIVE, "h": Band.HIGH, "n": Band.NORMAL, "b": Band.BATCH}
HOUR_MS = 3_600_000
PLENTY = LimitSpec(name="gpt", tokens=10**9)
AT_ONCE = pytest.mark.parametrize("at_once", [1, 7, 200])


async def enqueue_in(storage: Storage, letter: str, count: int, tokens: int | None = None, **options: Any) -> None:
    """Ready jobs of a band, by its first letter; with `tokens` each takes so many of a limit, else they take none."""
    if tokens is not None:
        options |= {"limits": ("gpt",), "estimate": need(tokens)}
    place = sum(sum(states.values()) for states in (await storage.count()).values())
    await storage.enqueue([job(f"{letter}{place + n}", band=BANDS[letter], **options) for n in range(count)])


def letters(runs: list[JobRecord]) -> str:
    return "".join(run.band.name[0].lower() for run in runs)


async def order(storage: Storage, count: int, at_once: int = 1) -> str:
    """The bands of the next jobs that claims give."""
    told = ""
    while len(told) < count:
        runs = await claim_some(storage, min(at_once, count - len(told)))
        if not runs:
            break
        told += letters(runs)
    return told


@clause("BAND-1")
@pytest.mark.parametrize("tenant", ["", "acme"])
async def test_the_most_urgent_band_of_a_pool_goes_first(storage: Storage, tenant: str) -> None:
    for letter in "bnhi":
        await enqueue_in(storage, letter, 2, tenant=tenant)
    assert await order(storage, 8) == "iihhnnbb"


@clause("BAND-1")
async def test_the_most_urgent_head_of_all_pools_goes_first(storage: Storage) -> None:
    await storage.put_limits([units("x", 99), units("y", 99)])
    await enqueue_in(storage, "n", 2, limits=("x",))
    await enqueue_in(storage, "h", 2, limits=("y",))
    await enqueue_in(storage, "i", 1)
    await enqueue_in(storage, "h", 1, tenant="acme")
    assert await order(storage, 6) == "ihhhnn"


@clause("BAND-1")
@AT_ONCE
async def test_within_a_band_the_pools_go_by_position(storage: Storage, at_once: int) -> None:
    await storage.put_limits([units("x", 99), units("y", 99)])
    places: list[dict[str, Any]] = [
        {"limits": ("y",)},
        {},
        {"limits": ("x",)},
        {"tenant": "acme"},
        {"limits": ("x", "y")},
    ]
    for n in range(15):
        await storage.enqueue([job(f"job {n:02}", **places[n * 7 % 5])])
    given: list[str] = []
    while len(given) < 15:
        given += [run.id for run in await claim_some(storage, min(at_once, 15))]
    assert given == [f"job {n:02}" for n in range(15)]


@clause("BAND-2")
@AT_ONCE
@pytest.mark.parametrize("tenant", ["", "acme"])
async def test_after_ten_of_a_more_urgent_band_one_of_a_less_urgent_one_goes(
    storage: Storage, at_once: int, tenant: str
) -> None:
    await enqueue_in(storage, "b", 3, tenant=tenant)
    await enqueue_in(storage, "i", 40, tenant=tenant)
    assert await order(storage, 33, at_once) == ("i" * 10 + "b") * 3


@clause("BAND-2")
async def test_each_less_urgent_band_has_a_floor_of_its_own(storage: Storage) -> None:
    for letter in "bni":
        await enqueue_in(storage, letter, 40)
    # The normal job gives the batch band its share too; both have enough after ten, and the more urgent one goes first.
    assert await order(storage, 24) == ("i" * 10 + "nb") * 2


@clause("BAND-2")
async def test_a_job_that_displaces_another_gives_credit_to_those_below_its_own_band(storage: Storage) -> None:
    await enqueue_in(storage, "n", 40)
    await enqueue_in(storage, "i", 40)
    assert await order(storage, 9) == "i" * 9
    await enqueue_in(storage, "b", 3)
    # The batch band has 100 from the tenth, and 100 from the normal job that goes then.
    assert await order(storage, 2) == "in"
    assert await order(storage, 9) == "i" * 8 + "b"


@clause("BAND-2")
@AT_ONCE
async def test_the_floor_counts_costs(storage: Storage, at_once: int) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_in(storage, "b", 3, 2_500)
    await enqueue_in(storage, "i", 40, 5_000)
    # Each of 5,000 adds 500,000 to a head that must have 2,500,000.
    assert await order(storage, 18, at_once) == "iiiiib" * 3


@clause("BAND-2")
async def test_credit_is_at_most_what_the_head_costs(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_in(storage, "b", 1, 100)
    await enqueue_in(storage, "b", 1, 400)
    await enqueue_in(storage, "i", 10, 5_000)
    assert await order(storage, 1) == "i"
    await storage.cancel(["b0"])
    # 100,000 of the 500,000 that were given: the next head has yet to be passed over.
    assert await order(storage, 2) == "ib"


@clause("BAND-2")
async def test_what_goes_by_credit_pays_what_it_cost(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_in(storage, "b", 1, 2_500)
    await enqueue_in(storage, "b", 3, 500)
    await enqueue_in(storage, "i", 20, 5_000)
    # 2,500,000 after five; then the next head needs 500,000, which one more gives.
    assert await order(storage, 11) == "iiiiibibibi"


@clause("BAND-2")
async def test_what_a_dearer_head_has_saved_goes_with_the_next_one(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_in(storage, "b", 1, 2_500)
    await enqueue_in(storage, "b", 4, 500)
    await enqueue_in(storage, "i", 20, 5_000)
    assert await order(storage, 4) == "iiii"
    await storage.cancel(["b0"])
    # 2,000,000 would be enough for four of them in a row.
    assert await order(storage, 5) == "bibib"


@clause("BAND-2")
async def test_a_band_that_is_given_a_job_in_its_own_place_has_no_credit_left(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_in(storage, "b", 3, 1_000)
    await enqueue_in(storage, "i", 1, 9_000)
    # After the urgent job nobody is displaced, and 900,000 have been saved.
    assert await order(storage, 2) == "ib"
    await enqueue_in(storage, "i", 10, 1_000)
    assert await order(storage, 12) == "i" * 10 + "bb"


@clause("BAND-2", "POOL-2")
async def test_what_passes_the_head_of_a_pool_takes_its_own_cost_of_the_credit(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_in(storage, "b", 1, 900, tenant="b")
    await enqueue_in(storage, "b", 1, 100, tenant="a")
    await enqueue_in(storage, "i", 1, 4_500)
    assert await order(storage, 1) == "i"
    # 450,000 are saved for the head, which waits, and 100,000 of them go with what passes it.
    assert (await offered(storage))[0] == ["b1"]
    clock.advance_ms(10_000)
    await enqueue_in(storage, "i", 4, 2_500)
    assert await order(storage, 4) == "iiib"


@clause("BAND-2")
async def test_a_head_behind_calls_of_its_band_needs_credit_for_them_too(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, "runs", queue="other", band=Band.BATCH, lease_ms=HOUR_MS)
    await wait_of(storage, run, 1, need(5_200), "gpt")
    await enqueue_in(storage, "b", 1, 10)
    await enqueue_in(storage, "i", 20, 5_000)
    # Each adds 500,000, and those that the head displaces wait for 5,210 tokens.
    for _ in range(11):
        assert await order(storage, 1) == "i"
        clock.advance_ms(5_000)
    assert await offered(storage) == ([], 210)
    clock.advance_ms(210)
    assert await order(storage, 2) == "bi"


@clause("BAND-2")
async def test_a_head_needs_no_credit_for_calls_before_those_that_it_displaces(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, "runs", queue="other", band=Band.INTERACTIVE, lease_ms=HOUR_MS)
    await wait_of(storage, run, 1, need(5_200), "gpt")
    clock.advance_ms(5_000)
    await enqueue_in(storage, "b", 1, 100)
    await enqueue_in(storage, "i", 20, 400)
    assert await order(storage, 4) == "iiib"


@clause("BAND-2")
@pytest.mark.parametrize("how", ["cancelled", "held", "given"])
async def test_a_band_that_has_no_job_in_its_lanes_any_more_loses_its_credit(storage: Storage, how: str) -> None:
    await enqueue_in(storage, "b", 1)
    await enqueue_in(storage, "i", 40)
    assert await order(storage, 9) == "i" * 9
    if how == "cancelled":
        await storage.cancel(["b0"])
    elif how == "held":
        await storage.hold(["b0"])
    else:
        assert await order(storage, 2) == "ib"
    await enqueue_in(storage, "b", 1)
    assert await order(storage, 11) == "i" * 10 + "b"


@clause("BAND-2")
async def test_a_band_without_a_head_gains_nothing(storage: Storage) -> None:
    await enqueue_in(storage, "i", 40)
    assert await order(storage, 9) == "i" * 9
    await enqueue_in(storage, "b", 1)
    assert await order(storage, 11) == "i" * 10 + "b"


@clause("BAND-2")
async def test_credit_is_of_one_pool_alone(storage: Storage) -> None:
    await storage.put_limits([units("x", 99)])
    await enqueue_in(storage, "b", 5, limits=("x",))
    await enqueue_in(storage, "i", 30, limits=("x",))
    assert await order(storage, 9) == "i" * 9
    # In the plain pool nothing was given yet.
    await enqueue_in(storage, "b", 1, queue="other")
    await enqueue_in(storage, "i", 11, queue="other")
    assert letters(await claim_some(storage, 11, "other")) == "i" * 10 + "b"


@clause("BAND-3")
@AT_ONCE
async def test_a_pool_of_a_less_urgent_band_has_a_tenth_of_what_is_given(storage: Storage, at_once: int) -> None:
    await storage.put_limits([units("x", 99), units("y", 99)])
    await enqueue_in(storage, "b", 3, limits=("x",))
    await enqueue_in(storage, "i", 40, limits=("y",))
    assert await order(storage, 33, at_once) == ("i" * 10 + "b") * 3


@clause("BAND-3")
async def test_the_floor_between_pools_counts_jobs_and_not_costs(storage: Storage) -> None:
    await storage.put_limits([PLENTY, units("y", 99)])
    await enqueue_in(storage, "b", 3, 100_000)
    await enqueue_in(storage, "i", 40, limits=("y",))
    assert await order(storage, 22) == ("i" * 10 + "b") * 2


@clause("BAND-3")
@pytest.mark.parametrize("how", ["cancelled", "given"])
async def test_a_band_of_a_queue_without_a_job_in_its_lanes_loses_its_credit(storage: Storage, how: str) -> None:
    await storage.put_limits([units("x", 99), units("y", 99)])
    await enqueue_in(storage, "b", 1, limits=("x",))
    await enqueue_in(storage, "i", 40, limits=("y",))
    assert await order(storage, 9) == "i" * 9
    if how == "cancelled":
        await storage.cancel(["b0"])
    else:
        assert await order(storage, 2) == "ib"
    await enqueue_in(storage, "b", 1, limits=("x",))
    assert await order(storage, 11) == "i" * 10 + "b"


@clause("BAND-3")
async def test_what_a_parked_pool_could_offer_gains_no_credit_of_the_queue(storage: Storage) -> None:
    await storage.put_limits([units("x", 1), units("y", 99)])
    await enqueue_in(storage, "b", 2, limits=("x",))
    (run,) = await claim_some(storage, 1)
    assert (await offered(storage))[0] == []
    await enqueue_in(storage, "i", 40, limits=("y",))
    assert await order(storage, 20) == "i" * 20
    await end(storage, run, Released())
    assert await order(storage, 11) == "i" * 10 + "b"


@clause("BAND-4")
async def test_in_one_line_those_that_come_back_go_first_and_then_by_position(storage: Storage) -> None:
    await storage.put_limits([PLENTY])
    await enqueue_in(storage, "n", 5, 100)
    first, second = await claim_some(storage, 2)
    await end(storage, second, Released())
    await end(storage, first, Released())
    given = [run.id for run in await claim_some(storage, 5)]
    assert given == [second.id, first.id, "n2", "n3", "n4"]
    assert (await get_one(storage, first.id)).lane is Lane.RETURNED


@clause("BAND-4", "POOL-2")
async def test_nothing_passes_the_head_of_its_lane(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_in(storage, "n", 1, 5_100)
    await enqueue_in(storage, "n", 5, 1)
    assert await offered(storage) == ([], 100)
    assert await offered(storage) == ([], 100)
