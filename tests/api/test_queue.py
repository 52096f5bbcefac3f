"""The queue: opening, enqueueing, and what is said when it cannot be done."""

from collections.abc import Sequence

import pytest

import aiq
from aiq.bounds import MAX_BATCH, MAX_PAYLOAD_BYTES
from aiq.model import JobFilter, JobSpec, Lease, Succeeded
from aiq.testing import Clock, Faulty, LoseReply, Refuse
from aiq.testing.actions import claim_some, end_one


@aiq.task
def shout(text: str) -> str:
    return text.upper()


@aiq.task(queue="slow")
def crawl(text: str) -> None: ...


class Counting(Faulty):
    """Remembers the size of each batch."""

    def __init__(self, storage: aiq.Storage) -> None:
        super().__init__(storage)
        self.batches: list[int] = []

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[aiq.model.Enqueued]:
        self.batches.append(len(batch))
        return await super().enqueue(batch, parent)


async def test_a_queue_opens_its_storage_and_closes_it() -> None:
    async with aiq.Queue("memory://") as queue:
        job = await queue.enqueue(shout.job("x"))
        assert await job.state() is aiq.State.READY

    with pytest.raises(aiq.InvalidInput, match="The queue is not open"):
        await queue.enqueue(shout.job("x"))


async def test_a_storage_that_was_handed_in_stays_open(storage: Faulty) -> None:
    async with aiq.Queue(storage) as queue:
        await queue.enqueue(shout.job("x"))

    assert sum((await aiq.Queue(storage).count()).values()) == 1


async def test_a_queue_entered_twice_is_closed_by_the_last_who_leaves() -> None:
    queue = aiq.Queue("memory://")
    async with queue:
        async with queue["bulk"] as bulk:
            await bulk.enqueue(shout.job("x"))
        assert sum((await bulk.count()).values()) == 1


def test_nothing_is_opened_before_it_is_entered() -> None:
    queue = aiq.Queue("nonsense://")

    with pytest.raises(aiq.InvalidInput, match="async with"):
        _ = queue.storage


@pytest.mark.parametrize("url", ["nonsense://x", "jobs.db", "mysql://localhost"])
async def test_an_unknown_scheme_is_refused_with_those_that_there_are(url: str) -> None:
    with pytest.raises(aiq.Misconfigured, match="memory://"):
        async with aiq.Queue(url):
            pass


@pytest.mark.parametrize("name", ["", "two words", "a/b", "x" * 129])
def test_a_queue_with_a_name_outside_the_alphabet_is_refused(name: str, queue: aiq.Queue) -> None:
    with pytest.raises(aiq.InvalidName):
        aiq.Queue("memory://", name)
    with pytest.raises(aiq.InvalidName):
        queue[name]


async def test_a_job_goes_to_the_queue_that_it_names_or_its_task_or_this_one(queue: aiq.Queue) -> None:
    jobs = [
        await queue["bulk"].enqueue(shout.job("x")),
        await queue["bulk"].enqueue(crawl.job("x")),
        await queue["bulk"].enqueue(crawl.job("x"), queue="special"),
        await queue.enqueue(shout.job("x")),
    ]

    assert [(await job.record()).queue for job in jobs] == ["bulk", "slow", "special", "default"]


async def test_options_of_the_call_win_over_those_of_the_job(queue: aiq.Queue) -> None:
    job = await queue.enqueue(shout.job("x").using(band="batch", tenant="acme"), band="high", delay=5)

    record = await job.record()
    assert (record.band, record.tenant, record.state) == (aiq.Band.HIGH, "acme", aiq.State.SCHEDULED)


async def test_an_option_that_does_not_exist_is_refused_and_nothing_is_stored(queue: aiq.Queue) -> None:
    with pytest.raises(aiq.InvalidInput, match="There is no option 'uniq'"):
        await queue.enqueue(shout.job("x"), uniq="x")  # type: ignore[call-arg]
    assert await queue.count() == {}


async def test_the_same_id_and_content_are_one_job(queue: aiq.Queue) -> None:
    one = await queue.enqueue(shout.job("x"), id="mine")
    two = await queue.enqueue(shout.job("x"), id="mine")

    assert (one.id, one.existed) == ("mine", False)
    assert (two.id, two.existed) == ("mine", True)
    assert sum((await queue.count()).values()) == 1


async def test_the_same_id_with_other_content_is_a_conflict(queue: aiq.Queue) -> None:
    await queue.enqueue(shout.job("x"), id="mine")

    with pytest.raises(aiq.Conflict) as caught:
        await queue.enqueue(shout.job("y"), id="mine")
    assert caught.value.reason == "content"


async def test_a_payload_over_its_bound_is_refused_and_nothing_is_stored(queue: aiq.Queue) -> None:
    with pytest.raises(aiq.TooLarge, match=r"The payload is .* at most 262,144 .* pass their address"):
        await queue.enqueue(shout.job("x" * MAX_PAYLOAD_BYTES))
    assert await queue.count() == {}


async def test_a_lost_reply_does_not_store_the_job_twice(queue: aiq.Queue, storage: Faulty) -> None:
    storage.plan(LoseReply("enqueue"), LoseReply("enqueue"))

    await queue.enqueue(shout.job("x"))

    assert sum((await queue.count()).values()) == 1


async def test_an_enqueue_that_surely_did_not_happen_is_not_repeated(queue: aiq.Queue, storage: Faulty) -> None:
    storage.plan(Refuse("enqueue"))

    with pytest.raises(aiq.Unavailable) as caught:
        await queue.enqueue(shout.job("x"))
    assert not caught.value.outcome_unknown
    assert await queue.count() == {}


async def test_what_was_unknown_once_is_reported_as_unknown(queue: aiq.Queue, storage: Faulty) -> None:
    storage.plan(LoseReply("enqueue"), Refuse("enqueue"), Refuse("enqueue"))

    with pytest.raises(aiq.Unavailable) as caught:
        await queue.enqueue(shout.job("x"))

    assert caught.value.outcome_unknown
    (note,) = caught.value.__notes__
    job_id = note.partition("id=")[2].strip("').")
    assert (await queue.enqueue(shout.job("x"), id=job_id)).existed


async def test_many_jobs_are_stored_in_batches_and_answered_in_order(storage: Faulty) -> None:
    counting = Counting(storage)
    queue = aiq.Queue(counting)

    jobs = await queue.enqueue_many(shout.job(str(n)) for n in range(2 * MAX_BATCH + 1))

    assert counting.batches == [MAX_BATCH, MAX_BATCH, 1]
    payloads = [record.payload for record in await storage.get([job.id for job in jobs[:3]]) if record]
    assert payloads == [b'{"v":1,"a":["0"],"k":{}}', b'{"v":1,"a":["1"],"k":{}}', b'{"v":1,"a":["2"],"k":{}}']


async def test_large_jobs_are_stored_in_batches_by_their_bytes(storage: Faulty) -> None:
    counting = Counting(storage)

    await aiq.Queue(counting).enqueue_many(shout.job("x" * 250_000) for _ in range(20))

    assert counting.batches == [16, 4]


async def test_no_jobs_are_stored_without_a_call(storage: Faulty) -> None:
    counting = Counting(storage)

    assert await aiq.Queue(counting).enqueue_many([]) == []
    assert counting.batches == []


async def test_a_job_that_is_refused_stops_the_others_before_any_is_stored(queue: aiq.Queue) -> None:
    jobs = [*(shout.job("x") for _ in range(300)), shout.job("x" * MAX_PAYLOAD_BYTES)]

    with pytest.raises(aiq.TooLarge):
        await queue.enqueue_many(jobs)
    assert await queue.count() == {}


async def test_a_batch_of_unknown_outcome_is_repeated_under_the_ids_of_the_error(
    queue: aiq.Queue, storage: Faulty
) -> None:
    jobs = [shout.job(str(n)) for n in range(300)]
    storage.plan(*[LoseReply("enqueue")] * 3)

    with pytest.raises(aiq.PartlyEnqueued, match="0 of 300 jobs are stored") as caught:
        await queue.enqueue_many(jobs)

    rest = zip(jobs, caught.value.rest, strict=True)
    await queue.enqueue_many(job.using(id=job_id) for job, job_id in rest)
    assert sum((await queue.count()).values()) == 300


async def test_the_stored_part_of_many_jobs_is_named(queue: aiq.Queue, storage: Faulty) -> None:
    jobs = [shout.job(str(n)) for n in range(300)]
    conflicting = await queue.enqueue(shout.job("another"), id="taken")

    with pytest.raises(aiq.PartlyEnqueued, match="256 of 300 jobs are stored") as caught:
        await queue.enqueue_many([*jobs[:299], shout.job("x").using(id=conflicting.id)])

    assert isinstance(caught.value.__cause__, aiq.Conflict)
    assert len(caught.value.stored) == MAX_BATCH
    assert all(await storage.get(caught.value.stored))
    assert len(caught.value.rest) == 44


async def test_many_jobs_cannot_share_one_id(queue: aiq.Queue) -> None:
    with pytest.raises(aiq.InvalidInput, match="One id cannot be that of many jobs"):
        await queue.enqueue_many([shout.job("x")], id="mine")


async def test_asking_gives_the_result(queue: aiq.Queue, storage: Faulty) -> None:
    class Answering(Faulty):
        """Does the job as soon as somebody looks for its result."""

        async def get(self, job_ids: Sequence[str]) -> list[aiq.JobRecord | None]:
            await end_one(storage, Succeeded(b'"X"'))
            return await super().get(job_ids)

    assert await aiq.Queue(Answering(storage)).ask(shout.job("x"), timeout=0) == "X"


async def test_asking_in_vain_leaves_the_job_to_be_found_again(queue: aiq.Queue, storage: Faulty) -> None:
    with pytest.raises(aiq.ResultTimeout) as caught:
        await queue.ask(shout.job("x"), timeout=0)
    await end_one(storage, Succeeded(b'"X"'))

    assert await queue.job(caught.value.job_id, shout).result(timeout=0) == "X"


async def test_a_handle_without_a_task_gives_plain_json(queue: aiq.Queue, storage: Faulty) -> None:
    job = await queue.enqueue(shout.job("x"))
    await end_one(storage, Succeeded(b'["plain"]'))

    assert await queue.job(job.id).result() == ["plain"]


async def test_a_paused_queue_gives_nothing_until_it_is_resumed(queue: aiq.Queue, storage: Faulty) -> None:
    await queue.enqueue(shout.job("x"))
    await queue.pause()
    assert await claim_some(storage, 1) == []

    await queue.resume()

    assert len(await claim_some(storage, 1)) == 1


async def test_a_queue_lists_and_counts_its_own_jobs(queue: aiq.Queue, clock: Clock) -> None:
    mine = await queue.enqueue(shout.job("x"))
    other = await queue["bulk"].enqueue(shout.job("x"))

    assert [record.id for record in (await queue.list()).jobs] == [mine.id]
    assert [record.id for record in (await queue.list(JobFilter())).jobs] == [mine.id, other.id]
    assert await queue["bulk"].count() == {aiq.State.READY: 1}
    assert await queue["empty"].count() == {}


async def test_cancelling_takes_any_number_of_jobs(queue: aiq.Queue) -> None:
    jobs = await queue.enqueue_many(shout.job("x") for _ in range(MAX_BATCH + 10))

    answers = await queue.cancel([*(job.id for job in jobs), "nobody"])

    assert {answer.state for answer in answers[:-1]} == {aiq.State.CANCELLED}
    assert answers[-1].state is None
    assert await queue.count() == {aiq.State.CANCELLED: MAX_BATCH + 10}


async def test_one_id_where_many_are_meant_is_refused_and_not_taken_letter_by_letter(queue: aiq.Queue) -> None:
    job = await queue.enqueue(shout.job("x"))

    with pytest.raises(aiq.InvalidInput, match="Pass a list of ids"):
        await queue.cancel(job.id)
    assert await job.state() is aiq.State.READY
