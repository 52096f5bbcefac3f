"""What the run of other queues beside ours measures; how fast anything is is not asserted."""

import asyncio
import sys
from collections.abc import Callable, Sequence

import pytest

from benchmarks.peers import race
from benchmarks.peers.__main__ import times
from benchmarks.peers.lap import lap
from benchmarks.peers.places import place
from benchmarks.peers.queues import QUEUES, NotInstalled, Queue, queues_of
from benchmarks.peers.race import Course, Lap
from benchmarks.spread import Spread, spread


class Listed:
    """A queue that is a list, with no call for many."""

    def __init__(self) -> None:
        self.jobs: list[int] = []

    async def open(self, url: str, concurrency: int, done: Callable[[], None]) -> None:
        self._done = done

    async def put(self, number: int) -> None:
        self.jobs.append(number)

    async def work(self) -> None:
        for _ in range(len(self.jobs)):
            self._done()
        self.numbers = sorted(self.jobs)
        self.jobs.clear()
        await asyncio.Event().wait()

    async def left(self) -> int:
        return len(self.jobs)


class Bulky(Listed):
    """The same, with one."""

    async def put_many(self, numbers: Sequence[int]) -> None:
        self.jobs.extend(numbers)


async def test_every_job_of_a_lap_is_put_in_once() -> None:
    peer = Bulky()

    found = await lap(peer, "", 300, 10, lambda: 0)

    assert found["bulk"] is not None
    assert peer.numbers == list(range(300))


async def test_a_queue_with_no_call_for_many_has_no_figure_for_it() -> None:
    peer = Listed()

    found = await lap(peer, "", 300, 10, lambda: 0)

    assert found["bulk"] is None
    assert peer.numbers == list(range(300))


async def test_bytes_a_job_are_those_that_came_to_the_empty_store() -> None:
    weights = iter([1_000, 4_000, 7_000])

    found = await lap(Listed(), "", 300, 10, lambda: next(weights))

    assert (found["bytes_queued"], found["bytes_finished"]) == (10, 20)


async def test_jobs_that_were_lost_are_no_rate() -> None:
    class Losing(Listed):
        async def work(self) -> None:
            return

    with pytest.raises(SystemExit, match="ended after 0 of 300 jobs"):
        await lap(Losing(), "", 300, 10, lambda: 0)


def test_a_lap_of_ours_runs_in_a_process_of_its_own() -> None:
    (ours,) = queues_of("sqlite", ["aiq"])

    with place("sqlite", None) as here:
        found = race.lap(ours, sys.executable, here, jobs=60, concurrency=10)

    assert found["drain"]
    assert found["bytes_finished"]


def test_queues_take_turns_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def remember(queue: Queue, python: str, course: Course) -> Lap:
        ran.append(queue.name)
        return {"drain": len(ran)}

    monkeypatch.setattr(race, "turn", remember)
    queues = [Queue(name, "sqlite", name) for name in ("a", "b")]
    found, _ = race.race(queues, Course("sqlite", None, 10, (1,), 3))

    assert ran == ["a", "b", "b", "a", "a", "b"]
    assert found["a"]["drain"] == Spread(4, 1, 5)


def test_a_queue_that_cannot_be_installed_is_told_of_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(queue: Queue) -> str:
        if queue.packages:
            raise NotInstalled("No matching distribution")
        return "python"

    monkeypatch.setattr(Queue, "python", refuse)
    found, missing = race.interpreters([Queue("ours", "sqlite", "a"), Queue("other", "sqlite", "b", ("other==1",))])

    assert found == {"ours": "python"}
    assert missing == {"other": "other==1 could not be installed: No matching distribution"}


def test_what_depends_on_concurrency_is_told_for_each_and_the_rest_once() -> None:
    found = race.one_of({100: {"drain": 9.0, "one_by_one": 2.0}, 10: {"drain": 3.0, "one_by_one": 4.0}})

    assert found == {"drain c=100": 9, "drain c=10": 3, "one_by_one": 3}


def test_what_a_job_costs_the_server_is_what_it_spent_between_two_weighings() -> None:
    found = race.served([10.0, 12.0, 15.0], jobs=1_000, done=500)

    assert found == {"put_server_cpu_ms_per_job": 2, "drain_server_cpu_ms_per_job": 6}


def test_what_a_server_elsewhere_spends_is_no_figure() -> None:
    found = race.served([0.0, 0.0, 0.0], jobs=1_000, done=500)

    assert set(found.values()) == {None}


def test_ours_is_compared_with_the_best_of_the_others() -> None:
    found = {name: {"drain c=100": spread([rate])} for name, rate in (("aiq", 30.0), ("a", 20.0), ("b", 10.0))}

    assert times(found, "drain c=100") == "1.50"


@pytest.mark.parametrize("queue", [queue for queue in QUEUES if queue.packages], ids=lambda queue: queue.name)
def test_every_release_is_pinned(queue: Queue) -> None:
    assert all("==" in package for package in queue.packages)
