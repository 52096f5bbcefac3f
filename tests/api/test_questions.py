"""How questions of several callers go to a storage together."""

import asyncio
import gc
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from aiq import questions
from aiq.bounds import MAX_BATCH
from aiq.errors import Corrupt, NotFound, Unavailable
from aiq.questions import Questions

SPAN: ContextVar[str] = ContextVar("SPAN", default="none")


class Desk:
    """It answers a question with the number of the call, once it is let. Of "ghost" it knows nothing."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.failures: dict[int, Exception] = {}
        """What calls come to instead, by their numbers."""
        self.contexts: list[str] = []
        self.open = asyncio.Event()

    async def ask(self, questions: Sequence[str]) -> list[int | Exception]:
        self.calls.append(list(questions))
        self.contexts.append(SPAN.get())
        number = len(self.calls)
        await self.open.wait()
        if number in self.failures:
            raise self.failures[number]
        return [NotFound(question) if question == "ghost" else number for question in questions]


class Storage:
    """Whatever it is that is asked."""


async def asked(together: "Questions[str, int]", *names: str) -> "list[asyncio.Task[int]]":
    """A call that is under way for the first of these, while the others wait."""
    first = asyncio.create_task(together.answer(names[0]))
    await turns()
    others = [asyncio.create_task(together.answer(name)) for name in names[1:]]
    await turns()
    return [first, *others]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def answers(desk: Desk, *callers: "asyncio.Task[int]") -> list[object]:
    desk.open.set()
    told = await asyncio.gather(*callers, return_exceptions=True)
    return [type(one) if isinstance(one, BaseException) else one for one in told]


async def test_who_is_alone_asks_by_himself() -> None:
    desk = Desk()
    desk.open.set()
    SPAN.set("of the first")

    assert await Questions(desk.ask).answer("a") == 1
    assert desk.contexts == ["of the first"]


async def test_those_who_ask_in_the_same_turn_of_the_loop_make_one_call() -> None:
    desk = Desk()
    together = Questions(desk.ask)
    callers = [asyncio.create_task(together.answer(name)) for name in "aab"]

    assert await answers(desk, *callers) == [1, 1, 1]
    assert desk.calls == [["a", "b"]]


async def test_who_is_told_to_ask_at_once_does_not_wait_for_the_turn_to_end() -> None:
    desk = Desk()
    together = Questions(desk.ask)
    callers = [asyncio.create_task(together.answer(name, at_once=True)) for name in "abc"]
    await turns()

    assert await answers(desk, *callers) == [1, 2, 2]
    assert desk.calls == [["a"], ["b", "c"]]


async def test_what_is_asked_while_a_call_is_under_way_goes_with_the_next_and_the_same_question_once() -> None:
    desk = Desk()
    callers = await asked(Questions(desk.ask), "a", "a", "b", "a")

    assert await answers(desk, *callers) == [1, 2, 2, 2]
    assert desk.calls == [["a"], ["a", "b"]]


async def test_those_who_are_answered_together_and_ask_again_stay_together() -> None:
    desk = Desk()
    together = Questions(desk.ask)

    async def follow() -> None:
        for name in "abc":
            await together.answer(name)

    desk.open.set()
    await asyncio.gather(*[follow() for _ in range(9)])

    assert desk.calls == [["a"], ["b"], ["c"]]


async def test_a_call_takes_no_more_than_its_bound() -> None:
    desk = Desk()
    callers = await asked(Questions(desk.ask), *(str(number) for number in range(MAX_BATCH + 2)))
    await answers(desk, *callers)

    assert [len(call) for call in desk.calls] == [1, MAX_BATCH, 1]


async def test_one_who_is_refused_hears_of_it_alone() -> None:
    desk = Desk()
    callers = await asked(Questions(desk.ask), "ghost", "a", "ghost", "b")

    assert await answers(desk, *callers) == [NotFound, 2, NotFound, 2]


async def test_those_who_wait_have_the_next_call_when_whoever_asked_is_cancelled() -> None:
    desk = Desk()
    first, *others = await asked(Questions(desk.ask), "a", "a", "b")
    first.cancel()

    assert await answers(desk, first, *others) == [asyncio.CancelledError, 2, 2]


async def test_a_question_that_nobody_has_any_more_is_not_asked() -> None:
    desk = Desk()
    first, gone, other = await asked(Questions(desk.ask), "a", "b", "c")
    gone.cancel()

    assert await answers(desk, first, gone, other) == [1, asyncio.CancelledError, 2]
    assert desk.calls == [["a"], ["c"]]


async def test_who_leaves_while_others_share_his_question_takes_nothing_from_them() -> None:
    desk = Desk()
    first, gone, other = await asked(Questions(desk.ask), "a", "b", "b")
    first.cancel()
    await turns()
    gone.cancel()

    assert await answers(desk, first, gone, other) == [asyncio.CancelledError] * 2 + [2]
    assert desk.calls == [["a"], ["b"]]


async def test_a_storage_that_is_away_is_told_to_each_by_an_error_of_his_own() -> None:
    desk = Desk()
    _, *others = await asked(Questions(desk.ask), "a", "b", "c", "c")
    desk.failures = {2: Unavailable("gone")}
    desk.open.set()
    errors = await asyncio.gather(*others, return_exceptions=True)

    assert [str(error) for error in errors] == ["gone"] * 3
    assert len({id(error) for error in errors}) == 3
    assert desk.calls == [["a"], ["b", "c"]]


async def test_a_call_that_fails_for_one_question_is_made_again_for_each() -> None:
    desk = Desk()
    callers = await asked(Questions(desk.ask), "a", "b", "c")
    desk.failures = {2: Corrupt("one of them"), 4: Corrupt("this one")}

    assert await answers(desk, *callers) == [1, 3, Corrupt]
    assert desk.calls[1:] == [["b", "c"], ["b"], ["c"]]


async def test_nobody_lends_his_context_to_what_is_asked_for_others() -> None:
    desk = Desk()
    SPAN.set("of the first")
    callers = await asked(Questions(desk.ask), "a", "b")
    await answers(desk, *callers)

    assert desk.contexts == ["of the first", "none"]


async def test_nobody_is_left_waiting_when_the_task_that_asks_for_all_is_told_to_end() -> None:
    desk = Desk()
    together = Questions(desk.ask)
    first, waiting = await asked(together, "a", "b")
    first.cancel()
    await turns()
    later = asyncio.create_task(together.answer("c"))
    await turns()
    (driver,) = asyncio.all_tasks() - {asyncio.current_task(), first, waiting, later}
    driver.cancel()

    assert await answers(desk, first, waiting, later) == [asyncio.CancelledError, Unavailable, 3]


def test_a_loop_that_is_closed_with_callers_in_it_leaves_nothing_behind() -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        await asked(questions.questions(Storage(), "name", Desk().ask), "a", "b")  # type: ignore[arg-type]

    loop.run_until_complete(begin())
    loop.close()
    del loop
    gc.collect()

    assert not questions._open


@pytest.mark.parametrize("same", [True, False])
async def test_questions_about_one_thing_are_gathered_and_others_are_not(same: bool) -> None:
    storage, desk = Storage(), Desk()
    one = questions.questions(storage, "name", desk.ask)  # type: ignore[arg-type]
    other = questions.questions(storage, "name" if same else "other", desk.ask)  # type: ignore[arg-type]

    assert (one is other) == same
