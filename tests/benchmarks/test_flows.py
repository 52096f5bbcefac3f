"""What the benchmark of children measures; how long anything takes is not asserted."""

from pathlib import Path

import pytest

import aiq
from benchmarks.cost import Clocks, Cost
from benchmarks.flows import Families, Turn, measure, ratio

NOTHING = Clocks(lambda: 0.0)


async def test_families_of_a_width_have_as_many_children_together_as_those_of_another() -> None:
    async with aiq.Queue("memory://") as queue:
        await Families(queue, width=5, children=20).measure(NOTHING)
        counts = await queue["parts"].count()

    assert counts == {aiq.State.SUCCEEDED: 20}


async def test_every_width_is_measured_in_every_round(tmp_path: Path) -> None:
    narrow, wide = await measure(f"sqlite:///{tmp_path}/a.db", [2, 8], children=8, rounds=2)

    assert len(narrow) == len(wide) == 2


async def test_a_parent_without_the_results_of_its_children_makes_the_figures_void() -> None:
    async with aiq.Queue("memory://") as queue:
        families = Families(queue, width=3, children=3)
        families._width = 4

        with pytest.raises(SystemExit, match="mean nothing"):
            await families.measure(NOTHING)


def test_a_ratio_compares_the_cpu_time_of_one_round() -> None:
    narrow = [Turn(Cost(9, 5, 5), Cost(9, 10, 10), 1, 1), Turn(Cost(9, 10, 10), Cost(9, 10, 10), 1, 1)]
    wide = [Turn(Cost(9, 5, 10), Cost(9, 10, 10), 1, 1), Turn(Cost(9, 5, 5), Cost(9, 20, 20), 1, 1)]

    found = ratio(narrow, wide)

    assert (found["store"].min, found["store"].max) == (0.5, 1.5)
    assert (found["run"].min, found["run"].max) == (1, 2)
