"""What bounds our figures; how fast anything is is not asserted."""

import pytest

from benchmarks.ceiling import bare
from benchmarks.ceiling.__main__ import LEAST, compare
from benchmarks.ceiling.bare import Bare
from benchmarks.ceiling.operations import Operations
from benchmarks.peers.places import place
from benchmarks.spread import Spread


@pytest.mark.parametrize("store", LEAST)
@pytest.mark.parametrize("least", [True, False], ids=["the least", "our operations"])
async def test_every_job_that_was_put_in_is_taken_once(store: str, least: bool) -> None:
    work: Bare = LEAST[store]() if least else Operations()
    with place(store, None) as here:
        await work.open(here.url)
        await work.put(1)
        await work.put(8)
        taken = [await work.turn(6), await work.turn(6), await work.turn(6)]
        await work.close()

    assert taken == [6, 3, 0]


async def test_every_drain_has_something_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare, "SECONDS", 0.01)

    class Greedy:
        jobs = 0

        async def put(self, jobs: int) -> None:
            self.jobs += jobs

        async def turn(self, jobs: int) -> int:
            taken, self.jobs = self.jobs, 0
            return taken

        async def open(self, url: str) -> None: ...

        async def close(self) -> None: ...

    assert all((await bare.measure(Greedy(), "")).values())


async def test_a_rate_ends_with_the_jobs() -> None:
    answers = iter([5, 5, 0])

    async def step() -> int:
        return next(answers)

    assert await bare.rate(step)


def test_the_ceiling_of_a_round_is_the_higher_of_both() -> None:
    def rates(number: float) -> dict[str, float]:
        return dict.fromkeys(("one_by_one", "concurrent", "bulk", "drain c=10", "drain c=100"), number)

    found = compare([rates(5), rates(5)], [rates(10), rates(20)], [rates(20), rates(10)])

    assert found["bulk"].part == Spread(0.25, 0.25, 0.25)
