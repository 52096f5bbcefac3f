"""Budgets as a tree: each knows how long the chains below it are, so that nobody looks at all of those below."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from aiq.bounds import MAX_BATCH, MAX_CHAIN
from aiq.errors import AiqError, Conflict
from aiq.model import TOKENS, BudgetSpec
from aiq.storage import Storage
from aiq.testing.clock import Clock
from tests import stores
from tests.backends.redis.test_bounds import commands_of

IDS = "abcdefghijklmn"
ROUNDS = 400


@pytest.fixture
async def storage(clock: Clock) -> AsyncIterator[Storage]:
    async with stores.redis(clock) as made:
        yield made


def budget(name: str, parent: str | None = None) -> BudgetSpec:
    return BudgetSpec(id=name, parent=parent, caps={TOKENS: 1})


async def told(storage: Storage, budgets: list[BudgetSpec]) -> str | list[BudgetSpec]:
    try:
        return await storage.put_budgets(budgets)
    except AiqError as error:
        return type(error).__name__


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_moves_is_stored_or_refused_as_in_memory(storage: Storage, clock: Clock, seed: int) -> None:
    rng, moved = Random(seed), 0
    async with stores.memory(clock) as memory:
        for _ in range(ROUNDS):
            batch = [budget(rng.choice(IDS), rng.choice((None, *IDS))) for _ in range(rng.choice((1, 1, 2, 3, 5)))]
            answer = await told(storage, batch)
            assert answer == await told(memory, batch)
            moved += isinstance(answer, list)

    assert moved > ROUNDS / 10
    assert await storage.audit() == []


async def test_a_budget_with_thousands_below_it_moves_without_a_look_at_each(storage: Storage) -> None:
    await storage.put_budgets([budget("top"), budget("many"), budget("long")])
    for first in range(0, 8 * MAX_BATCH, MAX_BATCH):
        await storage.put_budgets([budget(f"one {first + place}", "many") for place in range(MAX_BATCH)])

    found = await commands_of(lambda: storage.put_budgets([budget("many", "top")]))
    assert found.total() < 60


async def test_what_stands_deepest_decides_how_deep_a_budget_may_stand(storage: Storage) -> None:
    above = [budget("0"), *(budget(f"{place + 1}", f"{place}") for place in range(MAX_CHAIN - 3))]
    await storage.put_budgets([*above, budget("moves"), budget("below", "moves"), budget("deep", "below")])
    await storage.put_budgets([budget(f"flat {place}", "moves") for place in range(MAX_BATCH)])

    with pytest.raises(Conflict, match='from budget "deep"'):
        await storage.put_budgets([budget("moves", above[-1].id)])
    await storage.put_budgets([budget("deep")])
    await storage.put_budgets([budget("moves", above[-1].id)])

    assert await storage.audit() == []
