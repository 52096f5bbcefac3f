"""Does a job cost more with many stored than with few? (At most a fifth more is asked for.)

    python -m benchmarks.growth --store postgres
    python -m benchmarks.growth --store redis --queued 200000 --finished 1000000 --json

Two storages on one server: one has 20,000 jobs in line and nothing else, the other has many that have ended and many in
line. They were made by the storage's own enqueue and exchange, and nothing that they left is let go while it is
measured. In turns each gets new jobs, one by one and many at once, and a worker with a hundred slots does as many.
The figures are microseconds a job, of wall time and of CPU time (this process and the server, where that runs on this
machine), and the ratio of both sides of each round. On a machine that others share only CPU time means something.
"""

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import Final

from aiq.bounds import MAX_BATCH
from aiq.model import ClaimRequest, JobRecord, Settlement, Succeeded, Want
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.report import about, report
from benchmarks.stores import refuse_existing, remove
from benchmarks.turns import Plan, Side, beside, measure, show

FEW: Final = 20_000
QUEUE: Final = "default"

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Size:
    """What a storage has in it."""

    queued: int
    finished: int

    async def fill(self, side: Side) -> None:
        """Make what is in it, as it is made by use, and as fast as that goes."""
        await finish(side, self.finished)
        await side.put(self.queued)


async def finish(side: Side, jobs: int) -> None:
    """Jobs that have ended. While one step settles and claims, the next ones come in."""
    storage, runs = side.queue.storage, tuple[JobRecord, ...]()
    left, ended = jobs, 0
    while ended < jobs:
        number, new = next(_numbers), min(left, MAX_BATCH)
        claim = ClaimRequest("growth", number, f"{number:032x}", (Want(QUEUE, MAX_BATCH),))
        settlements = [Settlement(run.lease, "settled", Succeeded(b"1")) for run in runs]
        answer, _ = await asyncio.gather(storage.exchange(settlements, claim), side.put(new))
        left, ended, runs = left - new, ended + len(runs), answer.claimed


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--queued", type=int, default=50_000, help="in the large storage; default: %(default)s")
    parser.add_argument("--finished", type=int, default=200_000, help="in the large storage; default: %(default)s")
    parser.add_argument("--few", type=int, default=FEW, help="queued in the small storage; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=3_000, help="of one turn; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with asked_storage(parser, given) as url:
        urls = (beside(url, "few"), beside(url, "many"))
        for one in urls:
            refuse_existing(parser, one)
            remove(one)
        told = about(url, queued=given.queued, finished=given.finished, few=given.few, jobs=given.jobs)
        sizes = (Size(given.few, 0), Size(given.queued, given.finished))
        few, many = (Plan(one, size.fill) for one, size in zip(urls, sizes, strict=True))
        try:
            grown = asyncio.run(measure((few, many), given.jobs, given.rounds))
        finally:
            for one in urls if given.url else ():
                remove(one)
    report(told, {"grown": grown}, [show(grown)], as_json=given.json)


if __name__ == "__main__":
    main()
