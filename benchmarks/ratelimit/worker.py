"""A worker process of ours: a plain `aiq.Worker` on the store of the run."""

import argparse
import asyncio
from pathlib import Path

import aiq
from benchmarks.ratelimit.client import Client
from benchmarks.ratelimit.ours import tasks
from benchmarks.ratelimit.plan import Plan, tell, until_told, wait_for_start
from benchmarks.ratelimit.scenarios import SLOTS


async def work(plan: Plan) -> None:
    """Serve the store until told that the run is over."""
    client = Client(plan.base_url)
    async with aiq.Worker(plan.store_url, tasks(plan, client).all, slots=SLOTS, grace=0):
        await wait_for_start(plan.compress)
        await until_told()
    client.close()
    tell({})


def main() -> None:
    """Parse and work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--index", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(work(Plan.load(arguments.plan)))


if __name__ == "__main__":
    main()
