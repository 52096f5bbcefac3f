"""Steps without the cyclic garbage collector."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiq.backends.relational.collector import without_collector
from aiq.backends.relational.exchange import exchange
from aiq.backends.relational.graves import graves
from aiq.backends.relational.keys import keys_of
from aiq.backends.relational.transaction import Transaction
from aiq.backends.sqlite.atomic import write
from aiq.model import BudgetSpec, Exchanged, LimitSpec, Settlement, Succeeded
from aiq.testing.actions import claim_some, job, wish
from tests.backends.sqlite_files import opened


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if enabled else gc.disable)()


def test_the_collector_pauses_until_the_last_of_several_steps_is_over() -> None:
    with without_collector():
        with without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_step_that_fails_gives_the_collector_back() -> None:
    with pytest.raises(ValueError, match="broken"), without_collector():
        raise ValueError("broken")

    assert gc.isenabled()


def test_a_collector_that_somebody_else_has_paused_stays_paused() -> None:
    gc.disable()

    with without_collector():
        pass

    assert not gc.isenabled()


async def test_what_a_step_has_read_goes_with_it_and_is_not_left_to_the_collector(tmp_path: Path) -> None:
    steps: list[weakref.ref[Transaction]] = []

    async with opened(tmp_path / "jobs.db") as storage:
        await storage.put_limits([LimitSpec(name="api", requests=100, tokens=1_000_000)])
        await storage.put_budgets([BudgetSpec(id="team", caps={"tokens": 1_000_000})])
        await storage.enqueue([job(f"job {n}", limits=("api",), budgets=("team",)) for n in range(3)])
        ended = [Settlement(run.lease, "1", Succeeded(b"")) for run in await claim_some(storage, 1)]

        def step(tx: Transaction) -> Exchanged:
            steps.append(weakref.ref(tx))
            graves(tx), keys_of(tx)
            return exchange(tx, ended, wish(1))

        gc.disable()
        answer = await storage._writer.perform(lambda raw, unwanted: write(storage._home, raw, unwanted, step))

    assert len(answer.claimed) == 1
    assert steps[0]() is None
