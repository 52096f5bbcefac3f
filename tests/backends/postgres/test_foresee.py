"""What a step is about to ask goes together, and is answered as if it were asked one by one."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiq.backends.postgres import session as sessions
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.session import QUESTIONS_AT_ONCE, Session
from aiq.backends.postgres.sql import TEXTS, together
from aiq.backends.postgres.storage import PostgresStorage
from aiq.backends.relational.connection import Question
from aiq.model import CallRequest, CallState, ClaimRequest, Estimate, Lease, LimitSpec, Report, Usage, Want
from aiq.testing.actions import job
from aiq.testing.clock import Clock
from tests import stores

TOLD: Question = ("watch.news", {"seen": 0, "many": 1_000})
COUNTERS: Question = ("transaction.counters", {})
NOBODY: Question = ("retire.read", {})
"""A question that has no row to answer."""


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each round trip."""
    counted: list[int] = []
    do = Session.do

    def count(session: Session, awaited: Awaitable[Any]) -> Any:
        counted.append(len(counted))
        return do(session, awaited)

    monkeypatch.setattr(Session, "do", count)
    return counted


@asynccontextmanager
async def opened() -> AsyncIterator[PostgresStorage]:
    async with stores.postgres(Clock()) as storage:
        assert isinstance(storage, PostgresStorage)
        yield storage


async def within(storage: PostgresStorage, act: Callable[[Session], None]) -> None:
    """Do something within a transaction of which nothing stays."""

    def work(line: Line, _: object) -> None:
        session = line.session(time.monotonic() + 5)
        session.begin(f"BEGIN; SET LOCAL search_path TO '{line.address.schema}'", 0)
        try:
            act(session)
        finally:
            session.forget_writes()
            session.script("ROLLBACK")

    await storage._writer.perform(work)


async def test_what_was_foreseen_is_asked_in_one_round_trip(trips: list[int]) -> None:
    def act(session: Session) -> None:
        alone = [session.rows(*question) for question in (TOLD, COUNTERS, NOBODY)]
        trips.clear()
        session.foresee([TOLD, COUNTERS, NOBODY])
        assert [list(session.rows(*question)) for question in (TOLD, COUNTERS, NOBODY)] == alone
        assert len(trips) == 1

    async with opened() as storage:
        await storage.enqueue([job("a")])
        await within(storage, act)


async def test_what_was_foreseen_is_asked_anew_once_something_is_written() -> None:
    def act(session: Session) -> None:
        session.foresee([COUNTERS, NOBODY])
        (before,) = session.rows(*COUNTERS)
        session.write("transaction.count", {"jobs": 7, "positions": 8, "changes": 9, "events": 0})
        (after,) = session.rows(*COUNTERS)
        assert (tuple(before[:3]), tuple(after[:3])) == ((0, 0, 0), (7, 8, 9))

    async with opened() as storage:
        await within(storage, act)


async def test_nothing_that_one_transaction_has_foreseen_is_an_answer_in_the_next() -> None:
    async with opened() as storage:
        await within(storage, lambda session: session.foresee([COUNTERS, NOBODY]))
        await storage.enqueue([job("a")])

        def act(session: Session) -> None:
            assert session.rows(*COUNTERS)[0][0] == 1

        await within(storage, act)


async def test_more_than_go_together_are_asked_one_by_one(trips: list[int]) -> None:
    questions: list[Question] = [("sweeps.impatience", {"now_ms": n}) for n in range(QUESTIONS_AT_ONCE + 1)]

    def act(session: Session) -> None:
        trips.clear()
        session.foresee(questions)
        for question in questions:
            assert len(session.rows(*question)) == 1
        assert len(trips) == 2

    async with opened() as storage:
        await within(storage, act)


def test_the_parameters_of_each_question_stand_behind_those_of_the_others() -> None:
    text = together(("sweeps.impatience", "sweeps.due"))

    places = len(TEXTS["sweeps.impatience"].parameters) + len(TEXTS["sweeps.due"].parameters)
    assert [f"${n}" in text for n in range(1, places + 2)] == [True] * places + [False]


async def call(storage: PostgresStorage, lease: Lease, number: int) -> None:
    """Reserve for a call, and report what it has used."""
    await storage.acquire([CallRequest(lease=lease, number=number, estimate=Estimate(model="m", input=5, output=5))])
    used = (Usage(model="m", input=5, output=5),)
    await storage.report([Report(lease=lease, call=number, state=CallState.SETTLED, used=used)])


async def test_a_call_is_reserved_and_reported_in_seven_round_trips_each(trips: list[int]) -> None:
    async with opened() as storage:
        await storage.put_limits([LimitSpec(name="a", requests=600, tokens=60_000)])
        await storage.enqueue([job("a", limits=("a",))])
        claimed = await storage.exchange([], ClaimRequest("w", 1, "c", (Want("default", 1),)))
        (lease,) = [record.lease for record in claimed.claimed]
        # The first call finds nothing prepared on its connection.
        await call(storage, lease, 1)
        trips.clear()
        await call(storage, lease, 2)

    # Begin; whether it may be written; the run; what stands for it; where it stood; what is written; commit.
    assert len(trips) <= 2 * 7


async def test_beyond_so_many_combinations_questions_are_asked_one_by_one(
    trips: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "COMBINATIONS", 0)

    def act(session: Session) -> None:
        trips.clear()
        # In an order in which nobody else asks: a connection may have been used before.
        session.foresee([NOBODY, TOLD, COUNTERS])
        assert trips == []
        assert session.rows(*COUNTERS)

    async with opened() as storage:
        await within(storage, act)
