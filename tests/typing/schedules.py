"""What a type checker knows of schedules."""

from typing import assert_type

import aiq


@aiq.task
async def digest(folder: str) -> int:
    return len(folder)


NIGHTLY = aiq.Schedule("nightly", digest.job("docs"), cron="0 3 * * *", tz="Europe/Berlin")


async def use(queue: aiq.Queue) -> None:
    assert_type(NIGHTLY, aiq.Schedule[int])
    assert_type(await queue.admin.put_schedule(NIGHTLY), aiq.ScheduleReport)
    assert_type(await (await queue.admin.run_now(NIGHTLY)).result(), int)
    assert_type(await (await queue.admin.run_now("nightly")).result(), object)
    aiq.Worker(queue, tasks=[digest], schedules=[NIGHTLY])
    aiq.Schedule("nightly", digest.job("docs"), every=60, overlap="never")  # type: ignore[arg-type]
    aiq.Schedule("nightly", digest, every=60)  # type: ignore[arg-type]
