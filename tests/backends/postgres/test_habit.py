"""How often a function of the schema is asked that cannot make the steps of late."""

from typing import Any

import pytest

from aiq.backends.postgres.door import ServerDoor
from aiq.backends.relational.plain.habit import Habit
from aiq.testing.actions import claim_one, enqueue_one, job
from aiq.testing.clock import Clock
from tests.backends.postgres.whole_tables import opened


def asked(habit: Habit, steps: int, *, made: bool) -> str:
    """Which of some steps the function is asked for: A for those, and - for the others."""
    told = ""
    for _ in range(steps):
        is_asked = habit.is_worth_asking()
        told += "A" if is_asked else "-"
        if is_asked:
            habit.learn(made=made)
    return told


def test_a_function_that_makes_the_steps_is_asked_for_each() -> None:
    assert asked(Habit(), 5, made=True) == "AAAAA"


def test_one_that_makes_none_is_asked_ever_less_often_and_never_given_up() -> None:
    assert asked(Habit(), 47, made=False) == "AA-A---A-------A---------------A---------------"


def test_once_it_makes_a_step_it_is_asked_for_each_again() -> None:
    habit = Habit()
    asked(habit, 32, made=False)

    assert asked(habit, 20, made=True).lstrip("-") == "AAAAA"


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that were asked."""
    names: list[str] = []
    ask = ServerDoor._plain

    async def told(self: ServerDoor, step: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(step.__name__)
        return await ask(self, step, *args, **kwargs)

    monkeypatch.setattr(ServerDoor, "_plain", told)
    return names


async def test_steps_that_cannot_be_plain_ask_no_function(plain: list[str]) -> None:
    async with opened(Clock()) as (storage, _):
        await enqueue_one(storage, "a", tenant="acme")

    assert plain == []


async def test_each_kind_of_step_has_a_habit_of_its_own(plain: list[str]) -> None:
    async with opened(Clock()) as (storage, _):
        await enqueue_one(storage, "a")
        run = await claim_one(storage)
        for _ in range(4):
            # Known already, so the step has to tell whether it is the same.
            await storage.enqueue([job("a")])
        await storage.renew([run.lease])

    assert plain == ["enqueue", "exchange", "enqueue", "enqueue", "enqueue", "renew"]
