"""Chapter 11: how budgets are stored, listed, granted, and come with jobs and flows."""

import pytest

from aiq.bounds import MAX_CHAIN, MAX_MONEY
from aiq.errors import Conflict, InvalidInput, NotFound, TooLarge
from aiq.model import (
    BudgetSpec,
    BudgetStatus,
    CallState,
    OnExceeded,
    State,
    Usage,
)
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one, job, start, states
from aiq.testing.marks import clause
from aiq.testing.spending import (
    balance,
    need,
    offered,
    put_budget,
    tell,
    the_budget,
)

C, S = CallState, State
PURSE = ("purse",)


@clause("BUDGET-9")
async def test_a_budget_stored_again_keeps_what_was_spent_and_held(storage: Storage) -> None:
    await put_budget(storage, tokens=2_000)
    run = await start(storage, budgets=PURSE, estimate=need(1_000, 500))
    await tell(storage, run, 0, C.OPEN, Usage(input=1_000))
    await storage.grant("purse", "g", {"tokens": 7})
    stored = await put_budget(storage, tokens=5_000, weights={"output": 2_000}, on_exceeded=OnExceeded.FAIL)

    status = await the_budget(storage)
    assert status.spec == stored
    assert (await balance(storage), dict(status.state.granted)) == ((1_000, 500), {"tokens": 7})


@clause("BUDGET-9")
async def test_storing_what_is_absent_changes_no_budget_that_is_stored(storage: Storage) -> None:
    old = await put_budget(storage, tokens=1)
    new, other = BudgetSpec(id="purse", caps={"tokens": 2}), BudgetSpec(id="other", caps={"tokens": 3})
    assert await storage.put_budgets([new, other], absent_only=True) == [old, other]
    assert [status.spec for status in await storage.get_budgets()] == [other, old]


@clause("BUDGET-9")
async def test_budgets_are_listed_by_id_a_page_at_a_time(storage: Storage) -> None:
    for name in ("c", "a", "b"):
        await put_budget(storage, name, tokens=1)
    assert [status.spec.id for status in await storage.get_budgets(limit=2)] == ["a", "b"]
    assert [status.spec.id for status in await storage.get_budgets(after="b")] == ["c"]
    assert [status.spec.id for status in await storage.get_budgets(["c", "ghost", "a"])] == ["c", "a"]


@clause("BUDGET-9")
async def test_a_tree_of_budgets_has_roots_and_bounded_chains(storage: Storage) -> None:
    await put_budget(storage, "0", tokens=1)
    for n in range(1, MAX_CHAIN):
        await put_budget(storage, str(n), tokens=1, parent=str(n - 1))
    for wrong in (
        [BudgetSpec(id="deep", parent=str(MAX_CHAIN - 1))],
        [BudgetSpec(id="0", parent="1")],
        [BudgetSpec(id="a", parent="b"), BudgetSpec(id="b", parent="a")],
    ):
        with pytest.raises(Conflict) as refused:
            await storage.put_budgets(wrong)
        assert refused.value.reason == "parent"
    with pytest.raises(NotFound):
        await storage.put_budgets([BudgetSpec(id="new"), BudgetSpec(id="orphan", parent="ghost")])
    assert len(await storage.get_budgets()) == MAX_CHAIN


WRONG = [
    BudgetSpec(id=""),
    BudgetSpec(id="a", parent="a"),
    BudgetSpec(id="a", caps={"tokens": -1}),
    BudgetSpec(id="a", caps={"usd_micros": MAX_MONEY + 1}),
    BudgetSpec(id="a", caps={"dollars": 1}),
    BudgetSpec(id="a", caps={"tokens.two words": 1}),
    BudgetSpec(id="a", weights={"output": -1}),
    BudgetSpec(id="a", window="week"),  # type: ignore[arg-type]
]


@clause("BUDGET-9")
@pytest.mark.parametrize("spec", WRONG, ids=range(len(WRONG)))
async def test_a_budget_that_is_out_of_range_is_refused(storage: Storage, spec: BudgetSpec) -> None:
    with pytest.raises(InvalidInput):
        await storage.put_budgets([BudgetSpec(id="good"), spec])
    assert await storage.get_budgets() == []


@clause("BUDGET-10")
async def test_a_grant_adds_to_the_caps_and_the_same_grant_again_changes_nothing(storage: Storage) -> None:
    await put_budget(storage, caps={"tokens": 100, "usd_micros": 50})
    first = await storage.grant("purse", "one", {"tokens": 10})
    assert isinstance(first, BudgetStatus)
    assert dict(first.state.granted) == {"tokens": 10}
    assert await storage.grant("purse", "one", {"tokens": 10}) == first
    assert await storage.grant("purse", "one", {"tokens": 99}) == first
    assert dict((await storage.grant("purse", "two", {"tokens": 5, "usd_micros": 3})).state.granted) == {
        "tokens": 15,
        "usd_micros": 3,
    }
    await put_budget(storage, "other", tokens=1)
    assert dict((await storage.grant("other", "one", {"tokens": 1})).state.granted) == {"tokens": 1}

    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": 100})])
    await start(storage, budgets=("purse",), estimate=need(115))


@clause("BUDGET-10")
async def test_a_grant_to_an_unknown_budget_or_of_wrong_amounts_is_refused(storage: Storage) -> None:
    await put_budget(storage, tokens=1)
    with pytest.raises(NotFound):
        await storage.grant("ghost", "one", {"tokens": 1})
    for amounts in ({"tokens": -1}, {"dollars": 1}):
        with pytest.raises(InvalidInput):
            await storage.grant("purse", "one", amounts)
    with pytest.raises(InvalidInput):
        await storage.grant("purse", "", {"tokens": 1})


@clause("BUDGET-10")
async def test_a_grant_of_what_a_budget_does_not_cap_is_refused_and_changes_nothing(storage: Storage) -> None:
    await put_budget(storage, tokens=1)
    before = await the_budget(storage)
    for amounts in ({"usd_micros": 1}, {"tokens": 1, "tokens.output": 1}, {"usd_micros": 0}):
        with pytest.raises(InvalidInput, match=r"caps tokens, and not (money|output tokens)"):
            await storage.grant("purse", "one", amounts)
    assert await the_budget(storage) == before

    granted = await storage.grant("purse", "one", {"tokens": 1})
    assert dict(granted.state.granted) == {"tokens": 1}
    await storage.put_budgets([BudgetSpec(id="purse", caps={"usd_micros": 1})])
    # What was granted before stays granted, whoever did not hear so.
    assert dict((await storage.grant("purse", "one", {"tokens": 1})).state.granted) == {"tokens": 1}


@clause("BUDGET-11")
async def test_a_budget_that_comes_with_a_job_is_stored_with_it_where_absent(storage: Storage) -> None:
    mine, other = BudgetSpec(id="job:job", caps={"tokens": 100}), BudgetSpec(id="job:job", caps={"tokens": 1})
    await storage.enqueue([job(budgets=("job:job",), creates=(mine,), estimate=need(60))])
    await storage.enqueue([job("second", budgets=("job:job",), creates=(other,), estimate=need(60))])

    assert (await the_budget(storage, "job:job")).spec == mine
    assert (await offered(storage))[0] == ["job"]


@clause("BUDGET-11", "ENQ-4")
async def test_a_batch_that_is_refused_stores_no_budget(storage: Storage) -> None:
    mine = BudgetSpec(id="job:job", caps={"tokens": 100})
    for wrong in (job("wrong", budgets=("ghost",)), job("wrong", depends_on=("ghost",))):
        with pytest.raises(NotFound):
            await storage.enqueue([job(budgets=("job:job",), creates=(mine,)), wrong])
    assert await storage.get_budgets() == []
    assert await states(storage, "job") == [None]


@clause("BUDGET-11")
async def test_a_chain_that_is_too_long_is_refused_at_enqueue(storage: Storage) -> None:
    for n in range(MAX_CHAIN + 1):
        await put_budget(storage, str(n), tokens=1)
    names = tuple(str(n) for n in range(MAX_CHAIN + 1))
    with pytest.raises(TooLarge):
        await enqueue_one(storage, budgets=names)
    await enqueue_one(storage, budgets=names[:MAX_CHAIN])
    await put_budget(storage, "0", tokens=1, parent=names[-1])
    with pytest.raises(TooLarge):
        await enqueue_one(storage, "another", budgets=names[:MAX_CHAIN])
