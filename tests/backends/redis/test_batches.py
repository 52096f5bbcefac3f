"""Many rows come and go in one command, so that a step is as many commands for a hundred jobs as for ten."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from aiq.model import TOKENS, BudgetSpec, JobRecord, JobSpec, LimitSpec, QueueSettings, Released, Settlement, Succeeded
from aiq.storage import Storage
from aiq.testing.actions import claim_some, enqueue_one, job, wish
from aiq.testing.burials import redrive
from aiq.testing.clock import Clock
from aiq.testing.spending import need, tokens
from tests import stores
from tests.keys import clean
from tests.servers import server

# A hash is written and read a thousand fields at a time, and ids by number are packed 128 to a hash; a look at the next
# jobs of a lane is a command for as many as there are, and what leaves one takes a few for each shelf of 64, but never
# any for each of them.
SLACK = 14


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with stores.redis(Clock()) as made:
        yield made


async def commands_of(call: Callable[[], Awaitable[object]]) -> Counter[str]:
    """How many commands of Redis a call comes to, those inside of its script counted."""
    server().ask("CONFIG", "RESETSTAT")
    await call()
    stats = server().ask("INFO", "commandstats")
    return Counter({name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()})


def settled(runs: Sequence[JobRecord], result: bytes = b"done") -> list[Settlement]:
    return [Settlement(run.lease, "1", Succeeded(result)) for run in runs]


def released(runs: Sequence[JobRecord]) -> list[Settlement]:
    return [Settlement(run.lease, "1", Released()) for run in runs]


async def test_an_enqueue_of_a_hundred_is_as_many_commands_as_one_of_ten(storage: Storage) -> None:
    await storage.enqueue([job("first")])
    ten = await commands_of(lambda: storage.enqueue([job(f"a{n}") for n in range(10)]))
    hundred = await commands_of(lambda: storage.enqueue([job(f"b{n}") for n in range(100)]))

    assert hundred.total() <= ten.total() + SLACK


async def test_many_leases_are_not_looked_at_one_by_one() -> None:
    name = "batches"
    async with stores.opened(server().url(name), Clock()) as storage:
        await storage.enqueue([job(f"{n}") for n in range(30)])
        await claim_some(storage, 30)

        assert server().ask("OBJECT", "ENCODING", f"{{aiq:{name}}}:leases") == "skiplist"
        assert server().ask("ZCARD", f"{{aiq:{name}}}:leases") == 30
    clean(server(), name)


async def test_so_it_is_where_the_newest_goes_first(storage: Storage) -> None:
    await storage.configure("default", QueueSettings(lifo=True))
    await storage.enqueue([job(f"first {n}") for n in range(100)])
    ten = await commands_of(lambda: storage.enqueue([job(f"a{n}") for n in range(10)]))
    hundred = await commands_of(lambda: storage.enqueue([job(f"b{n}") for n in range(100)]))

    assert hundred.total() <= ten.total() + SLACK


async def test_so_it_is_where_jobs_come_back(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(250)])
    few, many = await claim_some(storage, 10), await claim_some(storage, 100)
    ten = await commands_of(lambda: storage.exchange(released(few)))
    hundred = await commands_of(lambda: storage.exchange(released(many)))

    assert hundred.total() <= ten.total() + SLACK


async def test_whoever_meets_many_jobs_that_somebody_removed_looks_for_all_of_them_at_once(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(200)])
    owner = storage.url.rpartition("=")[2]
    server().ask("DEL", f"{{aiq:{owner}}}:jobs")
    found = await commands_of(lambda: claim_some(storage, 1))

    assert found["zscore"] == 0
    assert found.total() < 100


@pytest.mark.parametrize("size", [10, 1000], ids=["small", "large"])
async def test_an_exchange_of_a_hundred_is_as_many_commands_as_one_of_ten(storage: Storage, size: int) -> None:
    await storage.enqueue([job(f"job {n}", payload=b"p" * size) for n in range(220)])
    few, many = await claim_some(storage, 10), await claim_some(storage, 100)
    ten = await commands_of(lambda: storage.exchange(settled(few, b"r" * size), wish(10)))
    hundred = await commands_of(lambda: storage.exchange(settled(many, b"r" * size), wish(100)))

    assert hundred.total() <= ten.total() + SLACK


def bound(number: int) -> JobSpec:
    """A job with two limits, a budget that all draw from, and one of its own."""
    job_id = f"{number:032x}"
    own = BudgetSpec(id=f"job:{job_id}", caps={TOKENS: 1_000})
    return job(job_id, limits=("gpt", "all"), estimate=need(10, 5), budgets=(own.id, "purse"), creates=(own,))


async def test_an_exchange_of_a_hundred_with_limits_and_budgets_is_one_command_more_for_each_that_has_ended(
    storage: Storage,
) -> None:
    await storage.put_limits([tokens(burst_ms=60_000), LimitSpec(name="all", requests=60_000)])
    await storage.put_budgets([BudgetSpec(id="purse", caps={TOKENS: 10**6})])
    await storage.enqueue([bound(n) for n in range(220)])
    few, many = await claim_some(storage, 10), await claim_some(storage, 100)
    ten = await commands_of(lambda: storage.exchange(settled(few), wish(10)))
    hundred = await commands_of(lambda: storage.exchange(settled(many), wish(100)))

    # What a job has used stands in a hash of its own.
    assert hundred.total() - len(many) <= ten.total() - len(few) + SLACK


async def test_an_enqueue_of_a_hundred_with_limits_and_budgets_is_as_many_commands_as_one_of_ten(
    storage: Storage,
) -> None:
    await storage.put_limits([tokens(), LimitSpec(name="all", requests=60_000)])
    await storage.put_budgets([BudgetSpec(id="purse", caps={TOKENS: 10**6})])
    await storage.enqueue([bound(1_000)])
    ten = await commands_of(lambda: storage.enqueue([bound(n) for n in range(10)]))
    hundred = await commands_of(lambda: storage.enqueue([bound(n) for n in range(10, 110)]))

    assert hundred.total() <= ten.total() + SLACK


async def test_a_plain_job_pays_nothing_for_limits_that_others_have(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(20)])
    before = await commands_of(lambda: storage.exchange([], wish(10)))
    await storage.put_limits([LimitSpec(name="narrow", requests=1)])
    after = await commands_of(lambda: storage.exchange([], wish(10)))

    assert after.total() <= before.total() + SLACK


async def test_a_job_that_brings_a_budget_does_not_read_those_of_others(storage: Storage) -> None:
    await storage.put_budgets([BudgetSpec(id=f"budget {n}", caps={TOKENS: 1}) for n in range(20)])
    brings = job("brings", creates=(BudgetSpec(id="own", parent="budget 3", caps={TOKENS: 1}),))
    found = await commands_of(lambda: storage.enqueue([brings]))

    assert not found["hgetall"]
    assert [one.spec.parent for one in await storage.get_budgets(["own"])] == ["budget 3"]


async def cancelled_behind(storage: Storage, number: int) -> None:
    """Cancel a job "wide" that depends on so many."""
    first = [f"first {n}" for n in range(number)]
    await storage.enqueue([job(name) for name in first])
    await enqueue_one(storage, "wide", depends_on=tuple(first))
    await storage.cancel(["wide"])


async def test_a_redrive_is_as_many_commands_for_a_hundred_dependencies_as_for_ten() -> None:
    found = []
    for number in (10, 100):
        async with stores.redis(Clock()) as storage:
            await cancelled_behind(storage, number)
            found.append(await commands_of(lambda: redrive(storage, "wide")))

    assert found[1].total() <= found[0].total() + SLACK


async def test_an_edge_is_two_commands_and_what_the_waiting_job_keeps_of_all_of_them_one(storage: Storage) -> None:
    first = [f"first {n}" for n in range(100)]
    await storage.enqueue([job(name) for name in first])
    few = await commands_of(lambda: storage.enqueue([job("few", depends_on=tuple(first[:10]))]))
    many = await commands_of(lambda: storage.enqueue([job("many", depends_on=tuple(first))]))

    assert many.total() <= few.total() + 2 * 90 + SLACK
