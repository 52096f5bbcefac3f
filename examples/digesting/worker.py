"""The worker, as a process of its own: `python -m examples.digesting.worker --url sqlite:///digest.db --slots 4`."""

import argparse
import asyncio
import logging
import sys
from typing import Final

import aiq
from examples.digesting.model import client
from examples.digesting.tasks import QUEUE, TASKS
from examples.digesting.tether import when_input_ends

GRACE_S: Final = 0.5
"""Nobody waits for a stream to end after Ctrl-C: the job is given back, and no attempt is counted."""


def main() -> int:
    """Work until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m examples.digesting.worker")
    parser.add_argument("--url", required=True)
    parser.add_argument("--slots", type=int, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    asyncio.run(_work(options.url, options.slots))
    return 0


async def _work(url: str, slots: int) -> None:
    stopped = asyncio.Event()
    client()  # now, and not when the first job has been admitted: its request would be late
    async with aiq.Worker(url, tasks=TASKS, slots={QUEUE: slots}, grace=GRACE_S):
        when_input_ends(stopped.set)
        sys.stdout.write('{"ready": true}\n')
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
