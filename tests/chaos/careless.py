"""A program that works on jobs, and ends without care: python -m tests.chaos.careless URL HOW."""

import asyncio
import sys

import aiq
from tests.chaos import notes
from tests.chaos.tasks import hold


async def main(url: str, how: str) -> None:
    queue = await aiq.Queue(url).__aenter__()
    worker = aiq.Worker(queue, tasks=[hold])
    working = asyncio.create_task(worker.run(handle_signals=False))
    await notes.until(lambda: bool(notes.read(notes.place(), "start")), "it works")
    notes.write("over")
    match how:
        case "returns":
            return
        case "raises":
            raise RuntimeError("of the program")
        case "exits":
            sys.exit(3)
        case "breaks the loop":
            asyncio.get_running_loop().call_soon(sys.exit, 3)
        case "is cancelled":
            asyncio.get_running_loop().call_soon(working.cancel)
    await working


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
