"""A worker as a process of its own: python -m tests.chaos.program URL OPTIONS, the options of Worker as JSON.

It notes when it is up, that is when it has asked the storage for jobs and hears signals.
"""

import asyncio
import json
import logging
import os
import sys
from typing import Any

import aiq
from tests.chaos import notes, storm, tasks


async def tell_when_up(worker: aiq.Worker) -> None:
    await notes.until(lambda: worker.statistics.exchanges > 0, "the first exchange")
    (notes.place() / f"up.{os.getpid()}").touch()
    notes.write("up")


# Any: options of Worker, as they came.
async def main(url: str, options: dict[str, Any]) -> None:
    worker = aiq.Worker(aiq.Queue(url), tasks=[*tasks.TASKS, *storm.TASKS], **options)
    telling = asyncio.create_task(tell_when_up(worker))
    await worker.run()
    telling.cancel()
    notes.write("down", detail=json.dumps({"stuck": worker.statistics.stuck, "lost": worker.statistics.lost}))


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
