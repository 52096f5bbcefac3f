"""What the benchmark of growth compares; how long anything takes is not asserted."""

import aiq
from benchmarks.growth import Size
from benchmarks.turns import Side


async def test_what_a_side_is_filled_with_is_in_line_and_ended() -> None:
    async with aiq.Queue("memory://") as queue:
        await Size(queued=300, finished=600).fill(Side("memory://", queue))
        counts = await queue.count()

    assert counts == {aiq.State.READY: 300, aiq.State.SUCCEEDED: 600}
